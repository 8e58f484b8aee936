package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/exchangetest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// graphOf answers as Microsoft Graph does: everybody is busy at that time.
func graphOf(t *testing.T, begin time.Time) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_secret") != "hush" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}`)
			return
		}
		_, _ = io.WriteString(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"t"}`)
	})
	mux.HandleFunc("POST /v1.0/users/{who}/calendar/getSchedule", func(w http.ResponseWriter, r *http.Request) {
		var ask struct{ Schedules []string }
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || r.Header.Get("Authorization") != "Bearer t" {
			t.Errorf("%v %v", err, r.Header)
		}
		asked.Add(1)
		var list []string
		for _, box := range ask.Schedules {
			list = append(list, fmt.Sprintf(`{"scheduleId":%q,"scheduleItems":[{"status":"busy","subject":"Secret","start":{"dateTime":%q,"timeZone":"UTC"},"end":{"dateTime":%q,"timeZone":"UTC"}}]}`,
				box, begin.Format("2006-01-02T15:04:05.0000000"), begin.Add(time.Hour).Format("2006-01-02T15:04:05.0000000")))
		}
		_, _ = io.WriteString(w, `{"value":[`+strings.Join(list, ",")+`]}`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, &asked
}

func TestExchangeCalendars(t *testing.T) {
	begin := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	cloud, asked := graphOf(t, begin)
	exchange := exchangetest.Start(t, false)
	exchange.Do(func() {
		exchange.Mailboxes["bob@mail.example.com"] = []exchangetest.Event{{From: begin, Until: begin.Add(time.Hour), Busy: "OOF"}}
	})
	dir := t.TempDir()
	for name, text := range map[string]string{"password": exchangetest.Password + "\n", "secret": "hush\n", "wrong": "guess\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yaml := `
domains: [example.com]
data_dir: ` + dir + `/data
http: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
presence:
  calendars:
    - {name: cloud, kind: graph, url: "` + cloud.URL + `/v1.0", token_url: "` + cloud.URL + `/token", client_id: app, client_secret_file: ` + dir + `/secret, users: [alice@example.com]}
    - {name: here, kind: ews, url: "` + exchange.Address() + `", username: 'EXAMPLE\presence', password_file: ` + dir + `/password, watch: true, mailbox: "{mail}"}
`
	cfg, err := configs.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	mail := func(u jid.JID) string { // alice has none
		return map[string]string{"bob": "bob@mail.example.com"}[u.Local()]
	}
	all, err := calendars(cfg, nil, func() []jid.JID {
		return []jid.JID{jid.MustParse("alice@example.com"), jid.MustParse("bob@example.com")}
	}, mail, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(chan presence.Evidence), make(chan error, len(all))
	for _, s := range all {
		go func() { ended <- s.Run(ctx, out) }()
	}
	said := map[string]presence.Evidence{}
	hear := func(what string, is func() bool) {
		for limit := time.After(time.Minute); !is(); {
			select {
			case e := <-out:
				said[e.Source+" "+e.User.String()] = e
			case <-limit:
				t.Fatalf("%s: only %v", what, said)
			}
		}
	}
	hear("both are known", func() bool { return len(said) == 2 })
	before := said["here bob@example.com"]
	for exchange.Subscriptions() == 0 {
		<-time.After(5 * time.Millisecond)
	}
	exchange.Do(func() { exchange.Mailboxes["bob@mail.example.com"] = nil })
	exchange.Change("bob@mail.example.com")
	hear("a change is known long before the next look", func() bool { return len(said["here bob@example.com"].Periods) == 0 })
	said["here bob@example.com"] = before
	cancel()
	for range all {
		<-ended
	}
	for who, slot := range map[string]presence.Slot{"cloud alice@example.com": presence.SlotBusy, "here bob@example.com": presence.SlotOutOfOffice} {
		if e := said[who]; len(e.Periods) != 1 || !e.Periods[0].From.Equal(begin) || e.Periods[0].Slot != slot {
			t.Errorf("%s: %+v", who, e)
		}
	}
	if asked.Load() == 0 || len(exchange.Take()) == 0 {
		t.Error("nobody was asked")
	}
	for _, r := range checkSources(t.Context(), cfg) {
		if r.Err != nil || r.Warning != "" || !strings.Contains(r.Detail, "answer") {
			t.Errorf("%+v", r)
		}
	}
	cfg, err = configs.Parse([]byte(strings.NewReplacer("/secret,", "/wrong,", "/password,", "/wrong,").Replace(yaml)))
	if err != nil {
		t.Fatal(err)
	}
	wrong := checkSources(t.Context(), cfg)
	for i, want := range []string{"401 invalid_client: AADSTS7000215", "refuses the sign-in"} {
		if err := wrong[i].Err; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "guess") {
			t.Errorf("%+v", wrong[i])
		}
	}
}
