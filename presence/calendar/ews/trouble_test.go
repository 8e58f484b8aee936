package ews_test

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/exchangetest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/ews"
	"github.com/deskline/deskline/xmpp/jid"
)

// What a server said counts until it expires, however it goes away, and not longer;
// when it is back all is known again.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(s *exchangetest.Server, gone bool){
		"hangs": func(s *exchangetest.Server, gone bool) { s.Hang = gone },
		"fails": func(s *exchangetest.Server, gone bool) {
			if s.Status = 0; gone {
				s.Status = http.StatusServiceUnavailable
			}
		},
		"refuses": func(s *exchangetest.Server, gone bool) {
			if s.Fault = ""; gone {
				s.Fault = "ErrorServerBusy"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := exchangetest.Start(t, false)
			now := time.Now()
			people(s, 150, exchangetest.Event{From: now.Add(-time.Minute), Until: now.Add(time.Hour), Busy: "Busy"})
			e := source(t, s, nil)
			var users []jid.JID
			for _, a := range asks(150) {
				users = append(users, a.User)
			}
			said := poll(t, calendar.Config{
				Name: "exchange", Users: func() []jid.JID { return users }, Refresh: time.Second, Window: 48 * time.Hour, Keep: 5 * time.Second,
				Timeout: time.Second, AtOnce: 2, FetchAll: e.FetchAll, Batch: ews.Mailboxes, Log: slog.New(slog.DiscardHandler),
			})
			known := func() (n int) {
				for _, e := range said() {
					if e.Expires.After(time.Now()) && len(e.Periods) == 1 && e.Periods[0].Slot == presence.SlotBusy {
						n++
					}
				}
				return n
			}
			wait(t, "all are known", func() bool { return known() == 150 })
			s.Do(func() { away(s, true) })
			s.CloseClientConnections()
			wait(t, "nothing is known any more", func() bool { return known() == 0 })
			s.Do(func() { away(s, false) })
			wait(t, "all are known again", func() bool { return known() == 150 })
		})
	}
}

// poll polls until the test ends, and tells what was said last of each.
func poll(t *testing.T, c calendar.Config) func() map[jid.JID]presence.Evidence {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := make(chan presence.Evidence)
	said := map[jid.JID]presence.Evidence{}
	var mu sync.Mutex
	var g sync.WaitGroup
	g.Go(func() { _ = calendar.New(c).Run(ctx, out) })
	g.Go(func() {
		for {
			select {
			case e := <-out:
				mu.Lock()
				said[e.User] = e
				mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); g.Wait() })
	return func() map[jid.JID]presence.Evidence {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(said)
	}
}
