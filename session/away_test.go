package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
)

// keeper is away until back is closed.
type keeper struct{ back chan struct{} }

func (keeper) Enter(context.Context, router.SID, jid.JID, session.Receiver) error { return nil }
func (keeper) Passed(router.SID, uint64)                                          {}
func (keeper) End(context.Context, router.SID, string, string) error              { return nil }
func (keeper) Drop(context.Context, router.SID) error                             { return nil }
func (keeper) Leave(router.SID)                                                   {}

func (k keeper) Await(ctx context.Context) error {
	select {
	case <-k.back:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) is(away error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// In a cluster a message is neither refused nor passed over while what nodes
// share is away, however long that takes.
func TestPatience(t *testing.T) {
	away := fmt.Errorf("keep: %w", router.ErrAway)
	synctest.Test(t, func(t *testing.T) {
		k := keeper{make(chan struct{})}
		w := newWorld(t, func(c *session.Config) { c.Keeper = k })
		alice := w.bound("alice@example.com/1")
		w.is(away)
		done := make(chan struct{})
		go func() {
			defer close(done)
			alice.says(message("bob@example.com", "1"), "")
			alice.says(message("bob@example.com", "2"), "")
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		wants(t, "while away", w.said(&w.kept)+alice.conn.take(), "")
		close(k.back)
		time.Sleep(time.Second)
		wants(t, "back, but not for messages", w.said(&w.kept)+alice.conn.take(), "")
		w.is(nil)
		<-done
		wants(t, "back", w.said(&w.kept)+alice.conn.take(), "bob@example.com 1, bob@example.com 2")

		w.is(away)
		alice.says(message("bob@example.com", "3"), "")
		if got := alice.conn.take(); !strings.Contains(got, "id='3'") || !strings.Contains(got, "<internal-server-error") {
			t.Fatalf("not refused when only that fails: %s", got)
		}
	})
}

// A session that goes on elsewhere waits for nothing.
func TestPatienceEndsWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *session.Config) { c.Keeper = keeper{make(chan struct{})} })
		alice := w.bound("alice@example.com/1")
		w.is(fmt.Errorf("keep: %w", router.ErrAway))
		done := make(chan struct{})
		go func() {
			defer close(done)
			alice.says(message("bob@example.com", "1"), "")
		}()
		time.Sleep(time.Minute)
		alice.Freeze()
		<-done
		wants(t, "told", alice.conn.take(), "")
	})
}
