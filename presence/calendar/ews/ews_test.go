package ews_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/exchangetest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/ews"
	"github.com/deskline/deskline/xmpp/jid"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func asks(n int) []calendar.Ask {
	list := make([]calendar.Ask, n)
	for i := range list {
		list[i] = calendar.Ask{User: jid.MustParse(fmt.Sprintf("u%d@example.com", i)), From: noon.Add(17 * time.Second), Until: noon.Add(72 * time.Hour)}
	}
	return list
}

// mailbox is that of a user; not all have one.
func mailbox(u jid.JID) string {
	if u.Local() == "nobody" {
		return ""
	}
	return u.Local() + "@mail.example.com"
}

func source(t *testing.T, s *exchangetest.Server, change func(*ews.Config)) *ews.Source {
	t.Helper()
	c := ews.Config{
		URL: s.Address(), Username: exchangetest.Domain + `\` + exchangetest.User, PasswordFile: write(t, exchangetest.Password+"\n"),
		Mailbox: mailbox, AtOnce: 4,
	}
	if s.Certificate() != nil {
		c.CAFile = write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	}
	if change != nil {
		change(&c)
	}
	e, err := ews.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func write(t *testing.T, text string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func people(s *exchangetest.Server, n int, events ...exchangetest.Event) {
	s.Do(func() {
		for i := range n {
			s.Mailboxes[fmt.Sprintf("u%d@mail.example.com", i)] = events
		}
	})
}

func TestBusyTypes(t *testing.T) {
	s := exchangetest.Start(t, false)
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	people(s, 1,
		exchangetest.Event{From: at(2, 11, 0), Until: at(2, 12, 30), Busy: "Busy"},
		exchangetest.Event{From: at(2, 13, 0), Until: at(2, 14, 0), Busy: "Busy"},
		exchangetest.Event{From: at(2, 13, 30), Until: at(2, 15, 0), Busy: "Tentative"},
		exchangetest.Event{From: at(3, 0, 0), Until: at(4, 0, 0), Busy: "OOF"},
		exchangetest.Event{From: at(4, 8, 0), Until: at(4, 9, 0), Busy: "WorkingElsewhere"},
		exchangetest.Event{From: at(4, 9, 0), Until: at(4, 10, 0), Busy: "NoData"},
		exchangetest.Event{From: at(4, 10, 0), Until: at(4, 11, 0), Busy: "Free"},
	)
	results, err := source(t, s, nil).FetchAll(t.Context(), asks(1))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	want := []presence.Period{
		{From: at(2, 11, 0), Until: at(2, 12, 30), Slot: presence.SlotBusy},
		{From: at(2, 13, 0), Until: at(2, 14, 0), Slot: presence.SlotBusy},
		{From: at(2, 14, 0), Until: at(2, 15, 0), Slot: presence.SlotTentative},
		{From: at(3, 0, 0), Until: at(4, 0, 0), Slot: presence.SlotOutOfOffice},
	}
	if got := results[0].Answer; !slices.Equal(got.Periods, want) || got.Flaws != 0 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// One mailbox that is not there, may not be seen or has little to tell spoils no other.
func TestMailboxes(t *testing.T) {
	s := exchangetest.Start(t, false)
	people(s, 250, exchangetest.Event{From: noon.Add(time.Hour), Until: noon.Add(2 * time.Hour), Busy: "Busy"})
	s.Do(func() {
		delete(s.Mailboxes, "u3@mail.example.com")
		s.NoAccess["u5@mail.example.com"] = true
		s.MergedOnly["u7@mail.example.com"] = "0022011300"
		s.MergedOnly["u120@mail.example.com"] = "44444"
	})
	results, err := source(t, s, func(c *ews.Config) { c.AskAs = "o'hara&sons@mail.example.com" }).FetchAll(t.Context(), asks(250))
	if err != nil || len(results) != 250 {
		t.Fatal(err)
	}
	wrong := map[int]string{3: "ErrorMailRecipientNotFound", 5: "may not see", 120: "no data"}
	for i, r := range results {
		var f *calendar.Failure
		switch want := wrong[i]; {
		case want == "" && r.Err != nil, want != "" && (!errors.As(r.Err, &f) || !f.Own || !strings.Contains(f.Error(), want)):
			t.Errorf("%d: %v", i, r.Err)
		case i == 7:
			merged := []presence.Period{
				{From: noon.Add(30 * time.Minute), Until: noon.Add(time.Hour), Slot: presence.SlotBusy},
				{From: noon.Add(75 * time.Minute), Until: noon.Add(105 * time.Minute), Slot: presence.SlotTentative},
				{From: noon.Add(105 * time.Minute), Until: noon.Add(2 * time.Hour), Slot: presence.SlotOutOfOffice},
			}
			if !slices.Equal(r.Answer.Periods, merged) {
				t.Errorf("%+v", r.Answer.Periods)
			}
		case want == "" && (len(r.Answer.Periods) != 1 || !r.Answer.Periods[0].From.Equal(noon.Add(time.Hour))):
			t.Errorf("%d: %+v", i, r.Answer)
		}
	}
	few := asks(3)
	few[1].User = jid.MustParse("nobody@example.com")
	if results, err = source(t, s, nil).FetchAll(t.Context(), few); err != nil || results[0].Err != nil || results[2].Err != nil || !calendar.Own(results[1].Err) {
		t.Errorf("who has no address: %v %+v", err, results)
	}
	list := s.Take()
	if len(list) != 4 || len(list[0].Mailboxes) != 100 || len(list[2].Mailboxes) != 50 || list[0].As != "o'hara&sons@mail.example.com" || list[1].Anchor != list[0].As {
		t.Errorf("%d requests, as %s", len(list), list[0].As)
	}
}

func TestNTLM(t *testing.T) {
	for name, tt := range map[string]struct {
		schemes         []string
		secure, binding bool
	}{
		"as Exchange has it":  {schemes: []string{"Negotiate", "NTLM"}},
		"Negotiate alone":     {schemes: []string{"Negotiate"}},
		"Basic as well":       {schemes: []string{"Basic", "NTLM"}, secure: true},
		"extended protection": {schemes: []string{"Negotiate", "NTLM"}, secure: true, binding: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := exchangetest.Start(t, tt.secure)
			people(s, 3)
			s.Do(func() { s.Schemes, s.Binding = tt.schemes, tt.binding })
			e := source(t, s, nil)
			for range 5 {
				if results, err := e.FetchAll(t.Context(), asks(3)); err != nil || results[2].Err != nil {
					t.Fatal(err, results)
				}
			}
			// Connections stay signed in.
			s.Do(func() {
				if s.SignIns < 1 || s.SignIns > 4 || s.Refused > 1 {
					t.Errorf("%d sign-ins, %d refused", s.SignIns, s.Refused)
				}
			})
			s.CloseClientConnections()
			var g sync.WaitGroup
			for range 20 {
				g.Go(func() {
					if results, err := e.FetchAll(t.Context(), asks(3)); err != nil || results[2].Err != nil {
						t.Errorf("at the same time: %v %v", err, results)
					}
				})
			}
			g.Wait()
		})
	}
}

func TestOtherSignIns(t *testing.T) {
	s := exchangetest.Start(t, false)
	people(s, 3)
	s.Do(func() { s.Schemes = []string{"Basic"} })
	if results, err := source(t, s, func(c *ews.Config) { c.Basic = true }).FetchAll(t.Context(), asks(3)); err != nil || results[0].Err != nil {
		t.Error(err, results)
	}
	s.Do(func() { s.Schemes, s.Token = []string{"Bearer"}, "two" })
	bearer := &tokens{list: []string{"one", "two", "three"}}
	e := source(t, s, func(c *ews.Config) { c.Tokens = bearer; c.PasswordFile = "" })
	if results, err := e.FetchAll(t.Context(), asks(3)); err != nil || results[0].Err != nil || len(bearer.list) != 2 {
		t.Error(err, results, bearer.list)
	}
	s.Do(func() { s.Token = "none" })
	var f *calendar.Failure
	if _, err := e.FetchAll(t.Context(), asks(3)); !errors.As(err, &f) || f.Own || len(bearer.list) != 1 {
		t.Error(err, bearer.list)
	}
}

type tokens struct{ list []string }

func (t *tokens) Token(context.Context) (string, error) { return t.list[0], nil }
func (t *tokens) Refused(token string) {
	if token == t.list[0] {
		t.list = t.list[1:]
	}
}

// A wrong password is tried less and less often, since accounts are locked.
func TestWrongPassword(t *testing.T) {
	s := exchangetest.Start(t, false)
	people(s, 1)
	file := write(t, "wrong")
	e := source(t, s, func(c *ews.Config) { c.PasswordFile = file })
	for _, after := range []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 30 * time.Minute} {
		_, err := e.FetchAll(t.Context(), asks(1))
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own || f.After != after || !strings.Contains(err.Error(), "refuses the sign-in; it offers Negotiate, NTLM") || strings.Contains(err.Error(), "wrong") {
			t.Fatalf("%v %+v, not after %s", err, f, after)
		}
	}
	s.Do(func() {
		if s.Refused != 5 {
			t.Errorf("%d passwords were tried", s.Refused)
		}
	})
	if err := os.WriteFile(file, []byte(exchangetest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.FetchAll(t.Context(), asks(1)); err != nil {
		t.Error("after the password was put right:", err)
	}
	s.Do(func() { s.Schemes = []string{"Basic"} })
	s.CloseClientConnections()
	if _, err := e.FetchAll(t.Context(), asks(1)); err == nil || !strings.Contains(err.Error(), "offers Basic") {
		t.Error(err)
	}
}

func TestFaults(t *testing.T) {
	s := exchangetest.Start(t, false)
	people(s, 3)
	e := source(t, s, nil)
	for code, fewer := range map[string]bool{"ErrorServerBusy": false, "ErrorImpersonateUserDenied": false, "ErrorInternalServerError": true} {
		s.Do(func() { s.Fault, s.BackOff = code, 297749 })
		_, err := e.FetchAll(t.Context(), asks(3))
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own || f.Fewer != fewer || f.After != 297749*time.Millisecond || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v %+v", code, err, f)
		}
	}
	s.Do(func() { s.Status = http.StatusServiceUnavailable })
	var f *calendar.Failure
	if _, err := e.FetchAll(t.Context(), asks(3)); !errors.As(err, &f) || f.Own || !strings.Contains(err.Error(), "503 Service Unavailable") {
		t.Error(err)
	}
	s.Close()
	if _, err := e.FetchAll(t.Context(), asks(3)); err == nil || calendar.Own(err) {
		t.Error(err)
	}
}

// A server that hangs keeps no connection for ever.
func TestServerHangs(t *testing.T) {
	s := exchangetest.Start(t, false)
	people(s, 1)
	e := source(t, s, func(c *ews.Config) { c.AtOnce = 2 })
	if _, err := e.FetchAll(t.Context(), asks(1)); err != nil {
		t.Fatal(err)
	}
	s.Do(func() { s.Hang = true })
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := e.FetchAll(ctx, asks(1))
		if cancel(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	s.Do(func() { s.Hang = false })
	for range 3 {
		if results, err := e.FetchAll(t.Context(), asks(1)); err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
	defer server.Close()
	e, err := ews.New(ews.Config{URL: server.URL, Basic: true, Username: "x", PasswordFile: write(t, "x"), Mailbox: mailbox, AtOnce: 1, Bytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	envelope := func(inner string) string {
		return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + inner + `</s:Body></s:Envelope>`
	}
	some := func(n int) string {
		return envelope(`<GetUserAvailabilityResponse xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"><FreeBusyResponseArray>` + strings.Repeat("<FreeBusyResponse/>", n) +
			`</FreeBusyResponseArray></GetUserAvailabilityResponse>`)
	}
	for name, tt := range map[string]struct {
		answer     string
		n          int
		own, fewer bool
	}{
		"no XML":       {"hello", 1, false, false},
		"entities":     {`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + envelope("&b;"), 2, false, true},
		"another root": {`<html/>`, 2, false, true},
		"no body":      {`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>`, 2, false, true},
		"too few":      {some(1), 2, false, true},
		"too many":     {some(3), 2, false, true},
		"empty ones":   {some(2), 2, true, false},
		"endless":      {envelope(strings.Repeat("<a>", 50_000)), 2, false, true},
		"endless one":  {envelope(strings.Repeat("<a>", 50_000)), 1, true, false},
	} {
		answer = tt.answer
		results, err := e.FetchAll(t.Context(), asks(tt.n))
		if err == nil {
			err = results[0].Err
		}
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own != tt.own || f.Fewer != tt.fewer {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
}
