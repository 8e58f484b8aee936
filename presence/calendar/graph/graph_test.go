package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/entra"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/xmpp/jid"
)

// service is Microsoft Graph with its token endpoint, as the documentation says that
// they behave; what it would refuse fails the test.
type service struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	tokens   int             // given out
	revoked  bool            // no token but the last counts
	missing  map[string]bool // mailboxes that are not there
	malform  string          // an address that spoils a request
	throttle map[string]int  // mailboxes in whose name nothing may be asked now: the status
	items    string          // scheduleItems
	posts    []string        // paths of requests
	asked    []string        // in whose name
	most     int             // schedules of a batch
}

func serve(t *testing.T) *service {
	s := &service{t: t, missing: map[string]bool{}, throttle: map[string]int{}, items: "[]"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodPost {
		s.t.Errorf("%s %s", r.Method, r.URL)
	}
	if r.URL.Path == "/tenant/oauth2/v2.0/token" {
		s.token(w, r, string(body))
		return
	}
	s.posts = append(s.posts, r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	if got := r.Header.Get("Authorization"); got != fmt.Sprintf("Bearer token-%d", s.tokens) || s.revoked {
		s.revoked = false
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"InvalidAuthenticationToken","message":"Access token has expired or is not yet valid."}}`)
		return
	}
	if r.URL.Path != "/v1.0/$batch" {
		status, head, answer := s.schedule(r.URL.EscapedPath(), map[string]string{"content-type": r.Header.Get("Content-Type"), "prefer": r.Header.Get("Prefer")}, body)
		for name, value := range head {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
		return
	}
	s.batch(w, body)
}

func (s *service) batch(w http.ResponseWriter, body []byte) {
	var b struct {
		Requests []struct {
			ID, Method, URL string
			Headers         map[string]string
			Body            json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &b); err != nil || len(b.Requests) == 0 || len(b.Requests) > 20 {
		s.t.Errorf("batch of %d: %v", len(b.Requests), err)
	}
	s.most = max(s.most, len(b.Requests))
	var parts []string
	names := map[string]int{}
	for _, one := range b.Requests {
		head := map[string]string{}
		for name, value := range one.Headers {
			head[strings.ToLower(name)] = value
		}
		if one.Method != "POST" || !strings.HasPrefix(one.URL, "/users/") {
			s.t.Errorf("%s %s in a batch", one.Method, one.URL)
		}
		if names[one.URL]++; names[one.URL] > 4 {
			s.t.Errorf("more than 4 at the same time in the name of %s", one.URL)
		}
		status, out, answer := s.schedule("/v1.0"+one.URL, head, one.Body)
		headers, _ := json.Marshal(out)
		parts = append(parts, fmt.Sprintf(`{"id":%q,"status":%d,"headers":%s,"body":%s}`, one.ID, status, headers, answer))
	}
	slices.Reverse(parts) // the order is not said
	_, _ = fmt.Fprintf(w, `{"responses":[%s]}`, strings.Join(parts, ","))
}

// schedule is the action getSchedule.
func (s *service) schedule(path string, head map[string]string, body []byte) (int, map[string]string, string) {
	none := map[string]string{"Content-Type": "application/json"}
	name, err := url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(path, "/v1.0/users/"), "/calendar/getSchedule"))
	if err != nil || !strings.HasSuffix(path, "/calendar/getSchedule") {
		s.t.Errorf("asked for %s", path)
	}
	s.asked = append(s.asked, name)
	type zoned struct{ DateTime, TimeZone string }
	var ask struct {
		Schedules                []string
		StartTime, EndTime       zoned
		AvailabilityViewInterval int
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ask); err != nil {
		s.t.Errorf("%s: %v", body, err)
	}
	from, err := time.Parse("2006-01-02T15:04:05", ask.StartTime.DateTime)
	until, also := time.Parse("2006-01-02T15:04:05", ask.EndTime.DateTime)
	if err != nil || also != nil || ask.StartTime.TimeZone != "UTC" || ask.EndTime.TimeZone != "UTC" || !until.After(from) || until.Sub(from) >= 62*24*time.Hour {
		s.t.Errorf("from %v until %v", ask.StartTime, ask.EndTime)
	}
	if n := len(ask.Schedules); n == 0 || n > 20 || ask.AvailabilityViewInterval < 5 || ask.AvailabilityViewInterval > 1440 {
		s.t.Errorf("%d schedules, %d minutes", n, ask.AvailabilityViewInterval)
	}
	if head["content-type"] != "application/json" || head["prefer"] != `outlook.timezone="UTC"` {
		s.t.Errorf("headers %v", head)
	}
	switch {
	case s.missing[name]:
		return 404, none, `{"error":{"code":"MailboxNotEnabledForRESTAPI","message":"The mailbox is either inactive, soft-deleted, or is hosted on-premise."}}`
	case s.throttle[name] != 0:
		return s.throttle[name], map[string]string{"Retry-After": "30"}, `{"error":{"code":"ApplicationThrottled","message":"Application is over its MailboxConcurrency limit."}}`
	case s.malform != "" && slices.Contains(ask.Schedules, s.malform):
		return 400, none, `{"error":{"code":"ErrorInvalidRequest","message":"x"}}`
	}
	var list []string
	for _, box := range ask.Schedules {
		if s.missing[box] {
			list = append(list, fmt.Sprintf(`{"scheduleId":%q,"availabilityView":"","error":{"message":"Unable to resolve e-mail address %s to an Active Directory object.","responseCode":"ErrorMailRecipientNotFound"}}`, box, box))
			continue
		}
		list = append(list, fmt.Sprintf(`{"scheduleId":%q,"availabilityView":"0","scheduleItems":%s,"workingHours":{"daysOfWeek":["monday"],"timeZone":{"name":"Pacific Standard Time"}}}`, box, s.items))
	}
	slices.Reverse(list)
	return 200, none, `{"@odata.context":"x","value":[` + strings.Join(list, ",") + `]}`
}

func (s *service) token(w http.ResponseWriter, r *http.Request, body string) {
	form, err := url.ParseQuery(body)
	if err != nil || form.Get("grant_type") != "client_credentials" || form.Get("client_id") != "app" || form.Get("scope") != s.URL+"/.default" ||
		form.Get("client_secret") != "hush" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		s.t.Errorf("asked for a token with %v", form)
	}
	s.tokens++
	_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"token-%d"}`, s.tokens)
}

func (s *service) take() (posts, asked []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	posts, asked, s.posts, s.asked = s.posts, s.asked, nil, nil
	return posts, asked
}

func (s *service) source(change func(*graph.Config)) *graph.Source {
	s.t.Helper()
	secret := s.t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("hush\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	tokens, err := entra.New(entra.Config{URL: s.URL + "/tenant/oauth2/v2.0/token", ClientID: "app", SecretFile: secret, Scope: s.URL + "/.default"})
	if err != nil {
		s.t.Fatal(err)
	}
	c := graph.Config{URL: s.URL + "/v1.0/", Tokens: tokens, Mailbox: "{user}@mail.example.com", AtOnce: 4}
	if change != nil {
		change(&c)
	}
	source, err := graph.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func asks(n int) []calendar.Ask {
	list := make([]calendar.Ask, n)
	for i := range list {
		list[i] = calendar.Ask{User: jid.MustParse(fmt.Sprintf("u%d@example.com", i)), From: noon.Add(17 * time.Second), Until: noon.Add(72 * time.Hour)}
	}
	return list
}

func TestStatuses(t *testing.T) {
	s := serve(t)
	item := func(status, from, until, zone string) string {
		return fmt.Sprintf(`{"isPrivate":false,"status":%q,"subject":"Let's go for lunch","location":"Harry's Bar","start":{"dateTime":%q,"timeZone":%q},"end":{"dateTime":%q,"timeZone":%q}}`, status, from, zone, until, zone)
	}
	s.items = "[" + strings.Join([]string{
		item("busy", "2026-03-02T13:00:00.0000000", "2026-03-02T14:00:00.0000000", "UTC"),
		item("Tentative", "2026-03-02T13:30:00.0000000", "2026-03-02T15:00:00.0000000", "UTC"),
		item("oof", "2026-03-03T00:00:00.0000000", "2026-03-04T00:00:00.0000000", "UTC"),
		item("workingElsewhere", "2026-03-04T08:00:00.0000000", "2026-03-04T10:00:00.0000000", "UTC"),
		item("free", "2026-03-04T10:00:00.0000000", "2026-03-04T11:00:00.0000000", "UTC"),
		item("unknown", "2026-03-04T11:00:00.0000000", "2026-03-04T11:30:00.0000000", "UTC"),
		item("busy", "2026-03-04T08:30:00.0000000", "2026-03-04T09:30:00.0000000", "Pacific Standard Time"),
		item("busy", "2026-03-02T11:00:00.0000000", "2026-03-02T12:30:00.0000000", "tzone://Microsoft/Utc"),
		item("busy", "2026-03-02T09:00:00.0000000", "2026-03-02T10:30:00.0000000", "UTC"), // is over
		item("busy", "2026-03-03T12:00:00.0000000", "2026-03-03T11:00:00.0000000", "UTC"), // ends before
		item("busy", "yesterday", "2026-03-03T11:00:00.0000000", "UTC"),
		item("busy", "2026-03-03T11:00:00", "2026-03-03T12:00:00", "Mars Standard Time"),
	}, ",") + "]"
	results, err := s.source(nil).FetchAll(t.Context(), asks(1))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	want := []presence.Period{
		{From: at(2, 11, 0), Until: at(2, 12, 30), Slot: presence.SlotBusy},
		{From: at(2, 13, 0), Until: at(2, 14, 0), Slot: presence.SlotBusy},
		{From: at(2, 14, 0), Until: at(2, 15, 0), Slot: presence.SlotTentative},
		{From: at(3, 0, 0), Until: at(4, 0, 0), Slot: presence.SlotOutOfOffice},
		{From: at(4, 16, 30), Until: at(4, 17, 30), Slot: presence.SlotBusy},
	}
	if got := results[0].Answer; !slices.Equal(got.Periods, want) || got.Flaws != 3 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if posts, asked := s.take(); len(posts) != 1 || asked[0] != "u0@mail.example.com" {
		t.Errorf("%v %v", posts, asked)
	}
}

func TestBatches(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	results, err := source.FetchAll(t.Context(), asks(1010))
	if err != nil || len(results) != 1010 {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%d: %v", i, r.Err)
		}
	}
	if posts, asked := s.take(); len(posts) != 3 || len(asked) != 51 || s.most != 20 || s.tokens != 1 {
		t.Errorf("%d requests of %d, at most %d in one, %d tokens", len(posts), len(asked), s.most, s.tokens)
	}
	named := s.source(func(c *graph.Config) { c.AskAs = "presence@mail.example.com" })
	if named.Batch() != 80 {
		t.Errorf("%d at once in the name of one", named.Batch())
	}
	if _, err := named.FetchAll(t.Context(), asks(100)); err != nil {
		t.Fatal(err)
	}
	if posts, asked := s.take(); len(posts) != 2 || len(asked) != 5 || asked[0] != "presence@mail.example.com" {
		t.Errorf("%v %v", posts, asked)
	}
}

// A mailbox that is not there, in whose name is asked or not, spoils no other.
func TestMissingMailboxes(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	s.missing = map[string]bool{"u0@mail.example.com": true, "u1@mail.example.com": true, "u7@mail.example.com": true, "u25@mail.example.com": true}
	for round := range 2 {
		results, err := source.FetchAll(t.Context(), asks(60))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if gone := s.missing[fmt.Sprintf("u%d@mail.example.com", i)]; gone != (r.Err != nil) {
				t.Errorf("%d: %v", i, r.Err)
			}
			var f *calendar.Failure
			if r.Err != nil && (!errors.As(r.Err, &f) || !f.Own || !strings.Contains(r.Err.Error(), "ErrorMailRecipientNotFound")) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		posts, _ := s.take()
		if want := []int{3, 1}[round]; len(posts) != want { // who cannot ask is remembered
			t.Errorf("round %d: %v", round, posts)
		}
	}
	s.malform = "u33@mail.example.com"
	results, err := source.FetchAll(t.Context(), asks(60))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if gone := s.missing[fmt.Sprintf("u%d@mail.example.com", i)] || i == 33; gone != (r.Err != nil) {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
}

func TestNothingThere(t *testing.T) {
	s := serve(t)
	for i := range 20 {
		s.missing[fmt.Sprintf("u%d@mail.example.com", i)] = true
	}
	results, err := s.source(nil).FetchAll(t.Context(), asks(20))
	var f *calendar.Failure
	if err != nil || !errors.As(results[5].Err, &f) || !f.Own || !strings.Contains(f.Error(), "404 Not Found MailboxNotEnabledForRESTAPI") {
		t.Errorf("%v %+v", err, results)
	}
	if posts, _ := s.take(); len(posts) != 3 {
		t.Errorf("asked in %d names", len(posts))
	}
}

func TestTokenIsRenewedOnce(t *testing.T) {
	for _, n := range []int{5, 50} {
		s := serve(t)
		source := s.source(nil)
		if _, err := source.FetchAll(t.Context(), asks(n)); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.revoked = true
		s.mu.Unlock()
		results, err := source.FetchAll(t.Context(), asks(n))
		if err != nil || results[0].Err != nil || s.tokens != 2 {
			t.Errorf("%d: %v %+v, %d tokens", n, err, results[0], s.tokens)
		}
		s.mu.Lock()
		s.tokens = 100 // none that is given out counts
		s.mu.Unlock()
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				s.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusUnauthorized)
		})
		results, err = source.FetchAll(t.Context(), asks(n))
		if err == nil {
			err = results[0].Err
		}
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own || s.tokens != 101 {
			t.Errorf("%d: %v, %d tokens", n, err, s.tokens)
		}
	}
}

func TestThrottled(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	s.throttle["u20@mail.example.com"] = http.StatusTooManyRequests
	results, err := source.FetchAll(t.Context(), asks(60))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		var f *calendar.Failure
		switch late := i >= 20 && i < 40; {
		case late != (r.Err != nil):
			t.Errorf("%d: %v", i, r.Err)
		case late && (!errors.As(r.Err, &f) || f.Own || f.After != 30*time.Second):
			t.Errorf("%d: %+v", i, f)
		}
	}
	s.throttle["u0@mail.example.com"] = http.StatusServiceUnavailable
	results, err = source.FetchAll(t.Context(), asks(3))
	var f *calendar.Failure
	if err != nil || !errors.As(results[2].Err, &f) || f.Own || f.After != 30*time.Second {
		t.Errorf("%v %+v", err, results)
	}
}

func TestAnswersThatCannotBeRead(t *testing.T) {
	var answer atomic.Value
	s := serve(t)
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			inner.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, answer.Load().(string))
	})
	source := s.source(func(c *graph.Config) { c.Bytes = 64 << 10 })
	for name, tt := range map[string]struct {
		answer     string
		n          int
		own, fewer bool
	}{
		"no JSON":         {"<html>", 1, false, false},
		"too long":        {`{"value":[` + strings.Repeat(`{"scheduleId":"x"},`, 10_000), 1, true, false},
		"too long of 60":  {`{"responses":[` + strings.Repeat(`{"id":"x"},`, 10_000), 60, false, true},
		"of nobody":       {`{"value":[{"scheduleId":"else@example.com"},{"scheduleId":"x@example.com"}]}`, 1, true, false},
		"twice the same":  {`{"responses":[{"id":"1","status":200,"body":{}},{"id":"1","status":200,"body":{}},{"id":"3","status":200,"body":{}}]}`, 60, false, true},
		"one is missing":  {`{"responses":[{"id":"1","status":200,"body":{}},{"id":"3","status":200,"body":{}}]}`, 60, false, true},
		"no such request": {`{"responses":[{"id":"4","status":200,"body":{}}]}`, 60, false, true},
		"no body":         {`{"responses":[{"id":"1","status":200},{"id":"2","status":200},{"id":"3","status":200}]}`, 60, false, false},
	} {
		answer.Store(tt.answer)
		results, err := source.FetchAll(t.Context(), asks(tt.n))
		if err == nil {
			err = results[0].Err
		}
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own != tt.own || f.Fewer != tt.fewer {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
}

func TestServiceHangs(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	done := make(chan struct{})
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			inner.ServeHTTP(w, r)
			return
		}
		<-done
	})
	defer close(done)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := source.FetchAll(ctx, asks(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
