// Package graphtest is a strict stand-in for Microsoft Graph in tests: tokens, getSchedule,
// subscriptions and JSON batches as its documentation says. What the service would not take
// fails the test.
package graphtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Secret is that of the application.
const Secret = "hush"

// Event is a meeting.
type Event struct {
	From, Until time.Time
	Status      string // busy, tentative, oof
}

// Server is the service. Its fields are changed within Do.
type Server struct {
	t    testing.TB
	http *httptest.Server

	mu        sync.Mutex
	Mailboxes map[string][]Event
	Life      time.Duration  // subscriptions last no longer, though longer ones may be asked for; 0 = as long as is asked for
	Denied    map[string]int // mailboxes that cannot be subscribed to: the status
	Plain     bool           // http:// will do to be told of changes
	Busy      int            // so many requests, parts of batches each, are throttled
	Hangs     bool           // requests are not answered
	Broken    bool           // requests are answered by 503
	Batches   []int          // how many requests each had
	Done      map[string]int // requests for subscriptions, by method and status
	tokens    int            // given out
	revoked   int            // those up to this one do not count
	subs      map[string]*Subscription
	states    map[string]bool
	serial    int
	hung      chan struct{} // those who hang wait for it
}

// Start starts the service until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		t: t, Mailboxes: map[string][]Event{}, Denied: map[string]int{}, Done: map[string]int{},
		subs: map[string]*Subscription{}, states: map[string]bool{}, hung: make(chan struct{}),
	}
	s.http = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Release()
		s.http.Close()
	})
	return s
}

// Address is what url has.
func (s *Server) Address() string { return s.http.URL + "/v1.0" }

// TokenURL is where tokens are had.
func (s *Server) TokenURL() string { return s.http.URL + "/tenant/oauth2/v2.0/token" }

// Scope is what tokens are asked for.
func (s *Server) Scope() string { return s.http.URL + "/.default" }

// Release cuts off the requests that hang.
func (s *Server) Release() {
	s.Do(func() {
		s.Hangs = false
		close(s.hung)
		s.hung = make(chan struct{})
	})
}

// Do changes the server.
func (s *Server) Do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// ServeHTTP is for net/http.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	var hangs, broken bool
	var hung chan struct{}
	s.Do(func() { hangs, broken, hung = s.Hangs, s.Broken, s.hung })
	switch {
	case hangs:
		select {
		case <-hung:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case broken:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/tenant/oauth2/v2.0/token" {
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("client_secret") != Secret || form.Get("grant_type") != "client_credentials" {
			s.t.Errorf("asked for a token with %v", form)
		}
		s.Do(func() {
			s.tokens++
			_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"token-%d"}`, s.tokens)
		})
		return
	}
	if !s.allows(r.Header.Get("Authorization")) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"InvalidAuthenticationToken"}}`)
		return
	}
	if r.URL.Path == "/v1.0/$batch" {
		s.batch(w, r, body)
		return
	}
	a := s.one(r.Method, strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0"), r.Header.Get("Content-Type"), body)
	for name, value := range a.head {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *Server) allows(authorization string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	_, err := fmt.Sscanf(authorization, "Bearer token-%d", &n)
	return err == nil && n > s.revoked && n <= s.tokens
}

// Revoke has no token count that was given out before.
func (s *Server) Revoke() {
	s.Do(func() { s.revoked = s.tokens })
}

// answer is that to one request, by itself or in a batch.
type answer struct {
	status int
	head   map[string]string
	body   string
}

func fault(status int, code, message string) answer {
	text, _ := json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}}) // never fails
	return answer{status: status, body: string(text)}
}

func (s *Server) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	var b struct {
		Requests []struct {
			ID, Method, URL string
			Headers         map[string]string
			Body            json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &b); err != nil || len(b.Requests) == 0 || len(b.Requests) > 20 || r.Method != http.MethodPost {
		s.t.Errorf("batch of %d: %v", len(b.Requests), err)
	}
	s.Do(func() { s.Batches = append(s.Batches, len(b.Requests)) })
	parts := make([]string, len(b.Requests))
	ids := map[string]bool{}
	var all sync.WaitGroup
	for i, one := range b.Requests {
		if one.ID == "" || ids[one.ID] || !strings.HasPrefix(one.URL, "/") {
			s.t.Errorf("request %q for %q of a batch", one.ID, one.URL)
		}
		ids[one.ID] = true
		kind := ""
		for name, value := range one.Headers {
			if strings.EqualFold(name, "Content-Type") {
				kind = value
			}
		}
		all.Go(func() {
			a := s.one(one.Method, one.URL, kind, one.Body)
			head, _ := json.Marshal(a.head) // never fails
			if a.body == "" {
				a.body = "null"
			}
			parts[i] = fmt.Sprintf(`{"id":%q,"status":%d,"headers":%s,"body":%s}`, one.ID, a.status, head, a.body)
		})
	}
	all.Wait()
	slices.Reverse(parts) // the order is not said
	_, _ = fmt.Fprintf(w, `{"responses":[%s]}`, strings.Join(parts, ","))
}

// one carries out a request.
func (s *Server) one(method, path, kind string, body []byte) answer {
	throttled := false
	s.Do(func() {
		if throttled = s.Busy > 0; throttled {
			s.Busy--
		}
	})
	if throttled {
		a := fault(http.StatusTooManyRequests, "ApplicationThrottled", "Too many requests.")
		a.head = map[string]string{"Retry-After": "1"}
		return a
	}
	if len(body) > 0 && kind != "application/json" {
		s.t.Errorf("%s %s has Content-Type %q", method, path, kind)
	}
	if path == "/subscriptions" || strings.HasPrefix(path, "/subscriptions/") {
		a := s.subscriptions(method, strings.TrimPrefix(strings.TrimPrefix(path, "/subscriptions"), "/"), body)
		s.Do(func() { s.Done[fmt.Sprintf("%s %d", method, a.status)]++ })
		return a
	}
	if method == http.MethodPost && strings.HasSuffix(path, "/calendar/getSchedule") {
		return s.schedule(body)
	}
	s.t.Errorf("%s %s", method, path)
	return fault(http.StatusBadRequest, "BadRequest", "Resource not found for the segment.")
}

// schedule is the action getSchedule.
func (s *Server) schedule(body []byte) answer {
	var ask struct{ Schedules []string }
	if err := json.Unmarshal(body, &ask); err != nil || len(ask.Schedules) == 0 || len(ask.Schedules) > 20 {
		s.t.Errorf("getSchedule %s: %v", body, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, box := range ask.Schedules {
		events, ok := s.Mailboxes[strings.ToLower(box)]
		if !ok {
			list = append(list, fmt.Sprintf(`{"scheduleId":%q,"error":{"responseCode":"ErrorMailRecipientNotFound"}}`, box))
			continue
		}
		items := make([]string, len(events))
		for i, e := range events {
			items[i] = fmt.Sprintf(`{"status":%q,"subject":"Secret","start":{"dateTime":%q,"timeZone":"UTC"},"end":{"dateTime":%q,"timeZone":"UTC"}}`,
				e.Status, e.From.UTC().Format("2006-01-02T15:04:05.0000000"), e.Until.UTC().Format("2006-01-02T15:04:05.0000000"))
		}
		list = append(list, fmt.Sprintf(`{"scheduleId":%q,"availabilityView":"0","scheduleItems":[%s]}`, box, strings.Join(items, ",")))
	}
	return answer{status: http.StatusOK, body: `{"value":[` + strings.Join(list, ",") + `]}`}
}
