package session_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/session"
)

// TestDeadClients has one client that answers pings, one that does not, and one
// that always has something to say (XEP-0199 §4.1).
func TestDeadClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *session.Config) { c.PingAfter, c.PingWait = 5*time.Minute, time.Minute })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- w.m.Run(ctx) }()
		alive, dead, busy, outside := w.bound("alice@example.com/1"), w.bound("bob@example.com/1"), w.bound("carol@example.com/1"), w.open()

		var asked time.Duration
		start := time.Now()
		for asked == 0 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			busy.says("<presence xmlns='jabber:client'/>", "")
			if got := alive.conn.take(); got != "" {
				asked = time.Since(start)
				if !strings.Contains(got, "from='example.com' to='alice@example.com/1' type='get'") || !strings.Contains(got, "<ping xmlns='urn:xmpp:ping'/>") {
					t.Fatalf("asked %s", got)
				}
				alive.says("<iq xmlns='jabber:client' type='result' id='x' to='example.com'/>", "")
			}
		}
		if asked < 5*time.Minute || asked > 6*time.Minute {
			t.Errorf("asked after %s", asked)
		}
		for range 18 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			busy.says("<presence xmlns='jabber:client'/>", "")
		}
		wants(t, "alive", alive.conn.condition(), "")
		wants(t, "dead", dead.conn.condition(), "connection-timeout")
		wants(t, "busy", busy.conn.condition(), "")
		wants(t, "busy was asked", busy.conn.take(), "")
		wants(t, "not bound", outside.conn.condition(), "")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestNoPings has the watch switched off.
func TestNoPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		c := w.bound("alice@example.com/1")
		if err := w.m.Run(ctx); err != nil {
			t.Fatal(err)
		}
		wants(t, "silent", c.conn.take()+c.conn.condition(), "")
	})
}
