package ics_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/ics"
	"github.com/deskline/deskline/xmpp/jid"
)

const one = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20260302T090000Z\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"

var (
	alice = jid.MustParse("alice@example.com")
	from  = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
)

func ask(tag string) calendar.Ask {
	return calendar.Ask{User: alice, From: from, Until: from.AddDate(0, 0, 2), Tag: tag}
}

func open(t *testing.T, c ics.Config) *ics.Source {
	t.Helper()
	s, err := ics.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "alice.ics")
	s := open(t, ics.Config{File: filepath.Join(dir, "{user}.ics")})
	if _, err := s.Fetch(t.Context(), ask("")); err == nil {
		t.Error("a missing file is fine")
	}
	if err := os.WriteFile(path, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := s.Fetch(t.Context(), ask(""))
	if err != nil || len(first.Periods) != 1 {
		t.Fatalf("%+v %v", first, err)
	}
	if same, err := s.Fetch(t.Context(), ask(first.Tag)); err != nil || !same.Same {
		t.Errorf("unchanged: %+v %v", same, err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(one, "T09", "T10", 1)+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, err := s.Fetch(t.Context(), ask(first.Tag))
	if err != nil || changed.Same || changed.Periods[0].From.Hour() != 10 {
		t.Errorf("changed: %+v %v", changed, err)
	}
	// A name that a client may choose leads to no other file.
	if _, err := s.Fetch(t.Context(), calendar.Ask{User: jid.MustParse("..@example.com"), From: from, Until: from}); err == nil {
		t.Error("a user named .. has a file")
	}
}

func TestURL(t *testing.T) {
	full := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/cal/alice.ics", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "alice@example.com" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full++
		_, _ = w.Write([]byte(one))
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Replace(one, "BEGIN:VEVENT", strings.Repeat("X-PAD:x\r\n", 5000)+"BEGIN:VEVENT", 1)))
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://cal.example.com/", http.StatusFound)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in</html>")) })
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	logins := filepath.Join(t.TempDir(), "logins")
	if err := os.WriteFile(logins, []byte("# who, and how\nalice@example.com alice@example.com secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]calendar.ClientConfig{
		"service account": {URL: server.URL + "/cal/{user}.ics", Username: "{jid}", Password: "secret"},
		"own login":       {URL: server.URL + "/cal/{user}.ics", Logins: logins},
	} {
		full = 0
		s := open(t, ics.Config{ClientConfig: c})
		first, err := s.Fetch(t.Context(), ask(""))
		if err != nil || len(first.Periods) != 1 {
			t.Fatalf("%s: %+v %v", name, first, err)
		}
		if same, err := s.Fetch(t.Context(), ask(first.Tag)); err != nil || !same.Same || full != 1 {
			t.Errorf("%s, unchanged: %+v %v, fetched %d times", name, same, err, full)
		}
	}
	for path, own := range map[string]bool{"/big": true, "/loop": false, "/away": false, "/page": true, "/none": true, "/later": false, "/cal/alice.ics": false} {
		s := open(t, ics.Config{ClientConfig: calendar.ClientConfig{URL: server.URL + path, Username: "alice@example.com", Password: "wr0ng"}, Limits: calendar.Limits{Bytes: 10_000}})
		answer, err := s.Fetch(t.Context(), ask(""))
		var f *calendar.Failure
		if err == nil || errors.As(err, &f) && f.Own != own || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: %+v %v", path, answer, err)
		}
		if path == "/later" && f.After != 2*time.Minute {
			t.Errorf("%s: asked again after %v", path, f.After)
		}
	}
	for _, bad := range []string{"http://cal.example.com/x", "https://alice:secret@cal.example.com/x", "ftp://cal.example.com", "cal"} {
		if _, err := ics.New(ics.Config{ClientConfig: calendar.ClientConfig{URL: bad}}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
