package graphtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Subscription is to the events of a mailbox.
type Subscription struct {
	ID, Box, URL, Lifecycle, State string
	Expires                        time.Time
}

const (
	maxLife  = 4230 * time.Minute
	quota    = 1000 // of a mailbox
	patience = 10 * time.Second
)

// subscriptions is the resource of that name.
func (s *Server) subscriptions(method, id string, body []byte) answer {
	switch {
	case method == http.MethodPost && id == "":
		return s.subscribe(body)
	case method == http.MethodPatch && id != "":
		return s.renew(id, body)
	case method == http.MethodDelete && id != "" && len(body) == 0:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.alive(id) == nil {
			return fault(http.StatusNotFound, "ResourceNotFound", "The object was not found.")
		}
		delete(s.subs, id)
		return answer{status: http.StatusNoContent}
	}
	s.t.Errorf("%s /subscriptions/%s", method, id)
	return fault(http.StatusMethodNotAllowed, "BadRequest", "x")
}

// alive finds a subscription that has not expired. The lock is held.
func (s *Server) alive(id string) *Subscription {
	if sub := s.subs[id]; sub != nil && sub.Expires.After(time.Now()) {
		return sub
	}
	delete(s.subs, id)
	return nil
}

func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// wish is what a subscription is asked for with.
type wish struct {
	ChangeType, Resource, NotificationURL, LifecycleNotificationURL, ClientState, LatestSupportedTLSVersion string

	ExpirationDateTime time.Time
}

// box is the mailbox of a wish that the documentation allows.
func (w *wish) box() (string, bool) {
	parts := strings.Split(w.Resource, "/")
	kinds := strings.Split(w.ChangeType, ",")
	slices.Sort(kinds)
	life := time.Until(w.ExpirationDateTime)
	if len(parts) != 3 || parts[0] != "users" || parts[2] != "events" || !slices.Equal(kinds, []string{"created", "deleted", "updated"}) ||
		life <= 0 || life > maxLife || w.ClientState == "" || len(w.ClientState) > 128 ||
		!slices.Contains([]string{"v1_0", "v1_1", "v1_2", "v1_3"}, w.LatestSupportedTLSVersion) {
		return "", false
	}
	box, err := url.PathUnescape(parts[1])
	return strings.ToLower(box), err == nil
}

func (s *Server) subscribe(body []byte) answer {
	var ask wish
	if err := strict(body, &ask); err != nil {
		s.t.Errorf("%s: %v", body, err)
		return fault(http.StatusBadRequest, "InvalidRequest", "Unable to deserialize content.")
	}
	box, ok := ask.box()
	if !ok {
		s.t.Errorf("a subscription: %s", body)
		return fault(http.StatusBadRequest, "ValidationError", "Subscription expiration can only be 4230 minutes in the future.")
	}
	s.mu.Lock()
	_, known := s.Mailboxes[box]
	denied, plain := s.Denied[box], s.Plain
	if s.states[ask.ClientState] {
		s.t.Error("a clientState is used twice")
	}
	s.states[ask.ClientState] = true
	s.mu.Unlock()
	switch {
	case denied != 0:
		return fault(denied, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	case !known:
		return fault(http.StatusNotFound, "ResourceNotFound", "The mailbox is either inactive, soft-deleted, or is hosted on-premise.")
	}
	for _, where := range []string{ask.NotificationURL, ask.LifecycleNotificationURL} {
		if !strings.HasPrefix(where, "https://") && !plain {
			return fault(http.StatusBadRequest, "InvalidRequest", "The notification URL must use the HTTPS protocol.")
		}
		if err := validate(where); err != nil {
			return fault(http.StatusBadRequest, "ValidationError", "Subscription validation request failed. "+err.Error())
		}
	}
	return s.keep(box, &ask)
}

// keep makes the subscription of a wish, if the mailbox has room for it.
func (s *Server) keep(box string, ask *wish) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id, sub := range s.subs {
		if sub.Box == box && s.alive(id) != nil {
			n++
		}
	}
	if n >= quota {
		return fault(http.StatusTooManyRequests, "TooManyRequests", "Resource 'SubscriptionCountReached' has reached limit of '1000'.")
	}
	s.serial++
	sub := &Subscription{fmt.Sprintf("7f105c7d-2dc5-4530-97cd-%012d", s.serial), box, ask.NotificationURL, ask.LifecycleNotificationURL, ask.ClientState, s.until(ask.ExpirationDateTime)}
	s.subs[sub.ID] = sub
	return answer{status: http.StatusCreated, body: sub.text()}
}

// until is when a subscription ends. The lock is held.
func (s *Server) until(asked time.Time) time.Time {
	if most := time.Now().Add(s.Life); s.Life > 0 && most.Before(asked) {
		return most
	}
	return asked
}

func (b *Subscription) text() string {
	return fmt.Sprintf(`{"id":%q,"resource":"users/%s/events","applicationId":"24d3b144","changeType":"created,updated,deleted","clientState":null,"notificationUrl":%q,"expirationDateTime":%q}`,
		b.ID, b.Box, b.URL, b.Expires.UTC().Format("2006-01-02T15:04:05.0000000Z"))
}

func (s *Server) renew(id string, body []byte) answer {
	var ask struct{ ExpirationDateTime time.Time }
	if err := strict(body, &ask); err != nil || time.Until(ask.ExpirationDateTime) > maxLife || !ask.ExpirationDateTime.After(time.Now()) {
		s.t.Errorf("%s: %v", body, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.alive(id)
	if sub == nil {
		return fault(http.StatusNotFound, "ResourceNotFound", "The object was not found.")
	}
	sub.Expires = s.until(ask.ExpirationDateTime)
	return answer{status: http.StatusOK, body: sub.text()}
}

var client = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// validate has an address prove that it is one to tell of changes.
func validate(where string) error {
	const token = "Validation: Testing client application reachability for subscription Request-Id: 1+2&3=4%20/é"
	resp, err := client.Post(where+"?validationToken="+url.QueryEscape(token), "text/plain; charset=utf-8", http.NoBody) //nolint:noctx // the client has a limit
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch kind := resp.Header.Get("Content-Type"); {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || kind != "text/plain" && !strings.HasPrefix(kind, "text/plain;"):
		return fmt.Errorf("status %s, %s", resp.Status, kind)
	case string(text) != token:
		return fmt.Errorf("the token came back as %q", text)
	}
	return nil
}

// Subscriptions lists those there are, by mailbox.
func (s *Server) Subscriptions() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Subscription
	for id := range s.subs {
		if sub := s.alive(id); sub != nil {
			list = append(list, *sub)
		}
	}
	slices.SortFunc(list, func(a, b Subscription) int { return strings.Compare(a.Box+a.ID, b.Box+b.ID) })
	return list
}

// Fill takes up all the room for subscriptions that a mailbox has.
func (s *Server) Fill(box string) {
	s.Do(func() {
		for i := range quota {
			id := fmt.Sprintf("others' %d of %s", i, box)
			s.subs[id] = &Subscription{ID: id, Box: box, Expires: time.Now().Add(time.Hour)}
		}
	})
}

// Forget loses subscriptions, which nobody is told.
func (s *Server) Forget() {
	s.Do(func() { clear(s.subs) })
}

// Change tells whoever has subscribed to a mailbox that an event in it is another one. It
// returns what was answered, one status each.
func (s *Server) Change(box string) []int {
	return s.tell(s.Subscriptions(), box, func(sub Subscription) (string, map[string]any) {
		return sub.URL, map[string]any{
			"changeType": "updated", "resource": "Users/622eaaff/Events/AAMk=",
			"resourceData": map[string]any{"@odata.type": "#Microsoft.Graph.Event", "@odata.id": "Users/622eaaff/Events/AAMk=", "id": "AAMk="},
		}
	})
}

// Tell sends a lifecycle event of the subscriptions to a mailbox. One that is removed is
// not there any more.
func (s *Server) Tell(box, event string) []int {
	list := s.Subscriptions()
	if event == "subscriptionRemoved" {
		s.Do(func() {
			for _, sub := range list {
				if sub.Box == box {
					delete(s.subs, sub.ID)
				}
			}
		})
	}
	return s.tell(list, box, func(sub Subscription) (string, map[string]any) {
		return sub.Lifecycle, map[string]any{"lifecycleEvent": event}
	})
}

func (s *Server) tell(list []Subscription, box string, what func(Subscription) (where string, n map[string]any)) []int {
	var answers []int
	for _, sub := range list {
		if sub.Box != box {
			continue
		}
		where, n := what(sub)
		n["subscriptionId"], n["clientState"], n["tenantId"] = sub.ID, sub.State, "84bd8158"
		n["subscriptionExpirationDateTime"] = sub.Expires
		text, _ := json.Marshal(map[string]any{"value": []any{n}})                 // never fails
		resp, err := client.Post(where, "application/json", bytes.NewReader(text)) //nolint:noctx // the client has a limit
		if err != nil {
			answers = append(answers, 0)
			continue
		}
		answers = append(answers, resp.StatusCode)
		_ = resp.Body.Close()
	}
	return answers
}
