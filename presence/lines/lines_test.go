package lines_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/lines"
	"github.com/deskline/deskline/xmpp/jid"
)

const token = "a-token-for-this-test"

// house has the lines 2001 of alice, 2002 of alice and bob, and keeps what is said.
type house struct {
	t   testing.TB
	s   *lines.Service
	url string

	mu    sync.Mutex // guards all below
	users map[string][]jid.JID
	said  []presence.Evidence
}

func (h *house) Users(line string) []jid.JID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.users[line]
}

func (h *house) observe(e presence.Evidence) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, e)
	return nil
}

// heard returns what was said since the last time, such as "alice 2001 in-call" or
// "alice 2001 -" for what is taken back.
func (h *house) heard() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, e := range h.said {
		what := e.Line.String()
		if e.Expires.IsZero() {
			what = "-"
		}
		all = append(all, e.User.Local()+" "+e.Item+" "+what)
	}
	h.said = nil
	return strings.Join(all, ", ")
}

func newHouse(t testing.TB) *house { return newHouseOf(t, func(*lines.Config) {}) }

// newHouseOf has a service with something changed.
func newHouseOf(t testing.TB, change func(*lines.Config)) *house {
	alice, bob := jid.MustParse("alice@example.com"), jid.MustParse("bob@example.com")
	h := &house{t: t, users: map[string][]jid.JID{"2001": {alice}, "2002": {alice, bob}, "sip:b@pbx/1": {bob}}}
	cfg := lines.Config{
		Map: h, Observe: h.observe, MaxLines: 4, Settings: lines.Settings{Token: token, TTL: time.Hour}, Log: slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	h.s = lines.New(cfg)
	mux := http.NewServeMux()
	for path, handler := range h.s.Handlers() {
		mux.Handle(path, handler)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *house) do(method, path, token, body string) (status int, answer string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestHTTP(t *testing.T) {
	h := newHouse(t)
	const one = "/presence/v1/lines/2001"
	for _, tt := range []struct {
		name, method, path, token, body string
		status                          int
		answer, heard                   string
	}{
		{"no token", "PUT", one, "", `{"state":"idle"}`, 401, `{"error":"not signed in"}`, ""},
		{"wrong token", "PUT", one, "x" + token, `{"state":"idle"}`, 401, `{"error":"not signed in"}`, ""},
		{"unknown path without a token", "PUT", "/presence/v1/lines/a/b/c", "", "", 401, `{"error":"not signed in"}`, ""},
		{"nothing known", "GET", one, token, "", 404, "nothing is known", ""},
		{"idle", "PUT", one, token, `{"state":"idle","seq":7}`, 200, `"users":["alice@example.com"]`, "alice 2001 idle"},
		{"known", "GET", one, token, "", 200, `"state":"idle"`, ""},
		{"lower seq", "PUT", one, token, `{"state":"in-call","seq":6}`, 409, `"seq":7`, ""},
		{"same seq", "PUT", one, token, `{"state":"in-call","seq":7}`, 200, `"state":"in-call"`, "alice 2001 in-call"},
		{"without seq", "PUT", one, token, `{"state":"held","since":"2026-03-02T12:00:00Z"}`, 200, `"since":"2026-03-02T12:00:00Z"`, "alice 2001 held"},
		{"shared", "PUT", "/presence/v1/lines/2002", token, `{"state":"ringing","ttl":60}`, 200, `"state":"ringing"`, "alice 2002 ringing, bob 2002 ringing"},
		{"escaped", "PUT", "/presence/v1/lines/sip:b@pbx%2F1", token, `{"state":"idle","line":"sip:b@pbx/1"}`, 200, `"line":"sip:b@pbx/1"`, "bob sip:b@pbx/1 idle"},
		{"another line inside", "PUT", one, token, `{"state":"idle","line":"2002"}`, 400, "not the one of the address", ""},
		{"of nobody", "PUT", "/presence/v1/lines/9", token, `{"state":"idle"}`, 200, `"users":[]`, ""},
		{"too many", "PUT", "/presence/v1/lines/10", token, `{"state":"idle"}`, 507, "max_lines", ""},
		{"taken back", "DELETE", one, token, "", 204, "", "alice 2001 -"},
		{"taken back again", "DELETE", one, token, "", 404, "nothing is known", ""},
		{"no state", "PUT", one, token, `{}`, 400, "state is none of", ""},
		{"wrong state", "PUT", one, token, `{"state":"busy"}`, 400, "state is none of", ""},
		{"no JSON", "PUT", one, token, `state=idle`, 400, "no report", ""},
		{"null", "PUT", one, token, `null`, 400, "no report", ""},
		{"unknown key", "PUT", one, token, `{"state":"idle","number":1}`, 400, "number", ""},
		{"more behind", "PUT", one, token, `{"state":"idle"}{}`, 400, "behind the object", ""},
		{"too large", "PUT", one, token, `{"state":"` + strings.Repeat("x", 5000) + `"}`, 413, "too large", ""},
		{"ttl 0", "PUT", one, token, `{"state":"idle","ttl":0}`, 400, "ttl", ""},
		{"ttl too long", "PUT", one, token, `{"state":"idle","ttl":99999999999}`, 400, "ttl", ""},
		{"line too long", "PUT", one + strings.Repeat("1", 300), token, `{"state":"idle"}`, 400, "longer", ""},
		{"line no text", "PUT", "/presence/v1/lines/a%00b", token, `{"state":"idle"}`, 400, "sign", ""},
		{"wrong method", "POST", one, token, `{"state":"idle"}`, 405, "", ""},
	} {
		status, answer := h.do(tt.method, tt.path, tt.token, tt.body)
		heard := h.heard()
		if status != tt.status || !strings.Contains(answer, tt.answer) || heard != tt.heard {
			t.Errorf("%s: %d %s, heard %q", tt.name, status, answer, heard)
		}
	}
	h.s.SetSettings(lines.Settings{TTL: time.Hour})
	if status, _ := h.do("GET", one, "", ""); status != 401 {
		t.Errorf("without a token in the configuration: %d", status)
	}
}

func TestBulk(t *testing.T) {
	h := newHouse(t)
	rows := []string{
		`{"line":"2001","state":"in-call","seq":5}`, ``, `{"line":"2001","state":"idle","seq":4}`, `nonsense`,
		`{"state":"idle"}`, `{"line":"2002","state":"idle"}` + strings.Repeat(" ", 9000), `{"line":"2001","state":"idle","seq":6}`,
	}
	status, answer := h.do("POST", "/presence/v1/lines", token, strings.Join(rows, "\n"))
	var sum struct {
		Taken, Stale, Failed int
		Errors               []struct {
			Row   int
			Error string
		}
	}
	if err := json.Unmarshal([]byte(answer), &sum); err != nil || status != 200 {
		t.Fatal(status, answer, err)
	}
	if sum.Taken != 2 || sum.Stale != 1 || sum.Failed != 3 || len(sum.Errors) != 3 || sum.Errors[0].Row != 4 || sum.Errors[2].Row != 6 {
		t.Errorf("%s", answer)
	}
	if heard := h.heard(); heard != "alice 2001 in-call, alice 2001 idle" {
		t.Errorf("heard %q", heard)
	}
	if status, _ := h.do("POST", "/presence/v1/lines", token, "nonsense\n"); status != 400 {
		t.Errorf("nothing of use: %d", status)
	}
}

// TestStream holds that rows count as they come, and that a stop ends a stream.
func TestStream(t *testing.T) {
	h := newHouse(t)
	body, feed := io.Pipe()
	answered := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/presence/v1/lines", body)
		if err != nil {
			answered <- err
			return
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			err = errors.Join(err, resp.Body.Close())
		}
		answered <- err
	}()
	for _, state := range []string{"in-call", "idle"} {
		if _, err := io.WriteString(feed, `{"line":"2001","state":"`+state+"\"}\n"); err != nil {
			t.Fatal(err)
		}
		wait(t, state, func() bool { return h.heard() == "alice 2001 "+state })
	}
	h.s.Close()
	select {
	case <-answered: // however it ended
	case <-time.After(30 * time.Second):
		t.Fatal("the stream goes on")
	}
	_ = feed.Close()
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestRemap holds that a line that becomes another's is taken from who had it.
func TestRemap(t *testing.T) {
	h := newHouse(t)
	h.do("PUT", "/presence/v1/lines/2001", token, `{"state":"in-call"}`)
	h.heard()
	go func() { _ = h.s.Run(t.Context()) }()
	h.mu.Lock()
	h.users["2001"] = []jid.JID{jid.MustParse("bob@example.com")}
	h.mu.Unlock()
	h.s.Remap()
	got := ""
	wait(t, "the other user", func() bool {
		got += h.heard()
		return got != ""
	})
	if got != "bob 2001 in-call, alice 2001 -" && !strings.HasPrefix(got, "bob 2001 in-call") {
		t.Errorf("heard %q", got)
	}
}

// FuzzRow holds that no row of a feed breaks it, and that each is counted.
func FuzzRow(f *testing.F) {
	f.Add(`{"line":"2001","state":"in-call","since":"2026-03-02T12:00:00Z","ttl":5,"seq":1}`)
	f.Add(`{"line":null,"state":1}`)
	f.Add("[]")
	f.Add("\xff{}")
	h := newHouse(f)
	f.Fuzz(func(t *testing.T, row string) {
		sum := h.s.Feed(t.Context(), strings.NewReader(row))
		rows := 0
		for part := range strings.Lines(row) {
			if strings.TrimSpace(part) != "" {
				rows++
			}
		}
		if got := sum.Taken + sum.Stale + sum.Failed; got > rows {
			t.Errorf("%d of %d rows", got, rows)
		}
		for _, e := range h.said {
			if e.Line < presence.LineIdle || e.Line > presence.LineInCall || e.Expires.Before(time.Now()) {
				t.Errorf("%+v", e)
			}
		}
		h.said = nil
	})
}

// TestAlone has a node be cut off from the others.
func TestAlone(t *testing.T) {
	var alone atomic.Bool
	h := newHouseOf(t, func(c *lines.Config) { c.Ready = func(context.Context) bool { return !alone.Load() } })
	const one = "/presence/v1/lines/2001"
	put := func(want int) {
		t.Helper()
		if status, text := h.do("PUT", one, token, `{"state":"idle"}`); status != want {
			t.Errorf("%d %s", status, text)
		}
	}
	put(200)
	alone.Store(true)
	put(503)
	if status, text := h.do("DELETE", one, token, ""); status != 503 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := h.do("POST", "/presence/v1/lines", token, `{"line":"2001","state":"in-call"}`); status != 503 || !strings.Contains(text, `"ended":"this node is cut off`) {
		t.Errorf("%d %s", status, text)
	}
	alone.Store(false)
	put(200)
	if got := h.heard(); got != "alice 2001 idle, alice 2001 idle" {
		t.Error(got)
	}
}
