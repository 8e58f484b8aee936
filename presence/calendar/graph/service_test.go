package graph_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	c := graph.Config{URL: s.URL + "/v1.0/", Tokens: tokens, Mailbox: func(u jid.JID) string { return u.Local() + "@mail.example.com" }, AtOnce: 4}
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
