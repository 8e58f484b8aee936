package app_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
)

// history asks a node's administrator what alice was.
func (s *server) history(query string) (status int, body string) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.ops + "/presence/history?" + query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// was waits until the history of alice ends as wanted, and returns it.
func (s *server) was(want string) (h presence.History) {
	s.t.Helper()
	eventually(s.t, "history "+want, func() bool {
		status, body := s.history("user=alice@localhost")
		if h = (presence.History{}); status != http.StatusOK || json.Unmarshal([]byte(body), &h) != nil {
			s.t.Fatalf("%d %s", status, body)
		}
		return strings.HasSuffix(states(h), want)
	})
	return h
}

func states(h presence.History) string {
	all := []string{string(h.State)}
	for _, c := range h.Changes {
		all = append(all, string(c.State)+" by "+c.Why)
	}
	return strings.Join(all, ", ")
}

// line tells a node what 2001 does.
func (s *server) line(state string) {
	s.t.Helper()
	eventually(s.t, "the report is taken", func() bool {
		status := s.report(state)
		if status != http.StatusOK && status != http.StatusServiceUnavailable { // as on a machine that stands still for seconds
			s.t.Fatal(status)
		}
		return status == http.StatusOK
	})
}

// report tells a node once what 2001 does, and returns the status.
func (s *server) report(state string) int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, "http://"+s.addr+"/presence/v1/lines/2001", strings.NewReader(`{"state":"`+state+`"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+lineToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		s.t.Error("503 without Retry-After")
	}
	return resp.StatusCode
}

const lineToken = "a-token-for-this-test"

func withHistory(c *configs.Config) {
	c.Presence.Lines = []string{"2001=alice"}
	c.Presence.HTTP.Token = lineToken
	c.Presence.Supervisors = []string{"Leads > Agents"}
}

// live has alice sign in at one node, be called as another is told, and sign out; whoever is asked knows each once.
func live(t *testing.T, desk, phone, asked *server) {
	t.Helper()
	begin := time.Now()
	alice := desk.login("alice")
	alice.ask("<presence xmlns='jabber:client'/>")
	asked.was(", available by resource")
	phone.line("in-call")
	asked.was("available by resource, on-the-phone by http")
	alice.ask("<presence xmlns='jabber:client'><status>In a hurry</status></presence>")
	phone.line("idle")
	asked.was("on-the-phone by http, available by resource")
	alice.ask("<presence xmlns='jabber:client' type='unavailable'/>")
	const all = ", available by resource, on-the-phone by http, available by resource, unavailable by resource"
	h := asked.was("unavailable by resource")
	if states(h) != all {
		t.Errorf("was %s", states(h))
	}
	sum := 0.0
	for state, s := range h.Seconds {
		sum += s
		if s < 0 || state == presence.Away {
			t.Errorf("%s for %v s", state, s)
		}
	}
	if known := h.Until.Sub(h.Changes[0].At).Seconds(); math.Abs(sum-known) > 0.01 || h.Changes[0].At.Before(begin.Add(-time.Second)) {
		t.Errorf("%v s in states of %v s: %+v", sum, known, h)
	}

	// The call alone, and what cannot be asked.
	call, end := h.Changes[1].At, h.Changes[2].At
	window := url.Values{"user": {"alice@localhost"}, "from": {call.Format(time.RFC3339Nano)}, "until": {end.Format(time.RFC3339Nano)}}
	if status, body := asked.history(window.Encode()); status != http.StatusOK || json.Unmarshal([]byte(body), &h) != nil || len(h.Changes) != 1 ||
		h.State != presence.Available || math.Abs(h.Seconds[presence.OnThePhone]-end.Sub(call).Seconds()) > 0.002 {
		t.Errorf("%d %s", status, body)
	}
	for _, wrong := range []string{"", "user=alice@elsewhere", "user=alice@localhost&from=yesterday", "user=alice@localhost&from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"} {
		if status, body := asked.history(wrong); status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", wrong, status, body)
		}
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := start(t, withHistory)
	live(t, s, s, s)
	if status, body := s.history("group=Agents"); status != http.StatusOK || !strings.Contains(body, `"people":[`) {
		t.Errorf("%d %s", status, body)
	}
}
