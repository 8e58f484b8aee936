package ews_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/exchangetest"
	"github.com/deskline/deskline/presence/calendar/ews"
	"github.com/deskline/deskline/xmpp/jid"
)

const patience = 90 * time.Second

// wait waits until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !is(); {
		if time.Now().After(limit) {
			t.Fatal("not so: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*exchangetest.Server, *ews.Config){
		"NTLM":  nil,
		"Basic": func(s *exchangetest.Server, c *ews.Config) { s.Schemes, c.Basic = []string{"Basic"}, true },
	} {
		t.Run(name, func(t *testing.T) {
			s := exchangetest.Start(t, false)
			people(s, 250)
			site := func(box string) string {
				return map[bool]string{true: "CO1", false: "BY2"}[len(box) < len("u100@mail.example.com")]
			}
			if name == "Basic" { // the other has no Autodiscover
				s.Grouping = map[string]string{}
				for box := range s.Mailboxes {
					s.Grouping[box] = site(box)
				}
			}
			e := source(t, s, func(c *ews.Config) {
				if change != nil {
					change(s, c)
				}
			})
			var n atomic.Int64
			n.Store(250)
			users := func() []jid.JID {
				var list []jid.JID
				for _, a := range asks(int(n.Load())) {
					list = append(list, a.User)
				}
				return append(list, jid.MustParse("nomailbox@example.com"))
			}
			heard := watch(t, e, users)
			wait(t, "all are subscribed to", func() bool { return s.Subscriptions() == 250 })
			s.Change("u7@mail.example.com")
			s.Change("u249@mail.example.com")
			wait(t, "both are heard of", func() bool { m := heard(); return m["u7@example.com"] > 0 && m["u249@example.com"] > 0 })
			if m := heard(); len(m) != 2 {
				t.Errorf("heard %v", m)
			}
			list := s.Take()
			streams, cookies := 0, 0
			for _, r := range list {
				if r.Operation == "GetStreamingEvents" {
					streams++
					if len(r.Mailboxes) > 200 || !slices.Contains(r.Mailboxes, r.As) {
						t.Errorf("a stream of %d as %s", len(r.Mailboxes), r.As)
					}
					for _, box := range r.Mailboxes {
						if s.Grouping != nil && site(box) != site(r.Mailboxes[0]) {
							t.Errorf("%s and %s are in one stream", box, r.Mailboxes[0])
						}
					}
				}
				if r.Cookie != "" {
					cookies++
				}
				if r.Anchor == "" {
					t.Errorf("%+v", r)
				}
			}
			if streams != 2 || cookies < 250 {
				t.Errorf("%d streams, %d requests with the cookie of their group", streams, cookies)
			}
			s.Do(func() {
				if s.SignIns > 20 {
					t.Errorf("%d sign-ins", s.SignIns)
				}
			})
			// What was missed while the server was away is looked for.
			s.Forget()
			wait(t, "all may have changed", func() bool { return len(heard()) == 250 })
		})
	}
}

func TestWatchIsRefused(t *testing.T) {
	t.Parallel()
	s := exchangetest.Start(t, false)
	people(s, 250)
	s.Do(func() { s.NoImpersonation = true })
	var log strings.Builder
	var mu sync.Mutex
	e := source(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- e.Watch(slog.New(slog.NewTextHandler(writer(func(b []byte) { mu.Lock(); defer mu.Unlock(); log.Write(b) }), nil)))(ctx,
			func() []jid.JID {
				return []jid.JID{asks(1)[0].User, asks(2)[1].User, asks(3)[2].User, asks(4)[3].User, asks(5)[4].User, asks(6)[5].User}
			}, func(jid.JID) {})
	}()
	wait(t, "it is told why", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(log.String(), "ErrorImpersonateUserDenied")
	})
	cancel()
	<-done
	if list := s.Take(); len(list) != 5 {
		t.Errorf("%d requests though nobody may be impersonated", len(list))
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// watch hears until the test ends; it says how often of whom.
func watch(t *testing.T, e *ews.Source, users func() []jid.JID) func() map[string]int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	heard := map[string]int{}
	done := make(chan error)
	go func() {
		done <- e.Watch(slog.New(slog.DiscardHandler))(ctx, users, func(u jid.JID) {
			mu.Lock()
			defer mu.Unlock()
			heard[u.String()]++
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(heard)
	}
}
