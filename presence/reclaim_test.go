package presence_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
)

// TestReclaimed has a node be cut off: it tells contacts nothing by what it alone knows, and tells them
// again afterwards, for another may have told them anything meanwhile.
func TestReclaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cutOff := false
		w := newWorldWith(t, func(c *presence.Config) {
			c.Cluster = others{&cutOff}
			c.Settings = presence.Settings{Gather: 100 * time.Millisecond}
		}, "alice<bob")
		w.online("alice/desk")
		w.online("bob/desk")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = w.p.Run(ctx) }()
		seq := uint64(0)
		line := func(l presence.Line) {
			t.Helper()
			seq++
			e := presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: l, Seq: seq, Expires: time.Now().Add(24 * time.Hour)}
			if err := w.p.Observe(e); err != nil {
				t.Fatal(err)
			}
		}
		told := func(what string, states ...string) {
			t.Helper()
			time.Sleep(time.Minute) //nolint:forbidigo // time is synthetic
			synctest.Wait()
			got := w.desks["bob/desk"].take()
			if len(got) != len(states) {
				t.Fatalf("%s: bob got %q, want %q", what, got, states)
			}
			for i, state := range states {
				if !strings.Contains(got[i], "state='"+state+"'") {
					t.Errorf("%s: bob got %q, want %s", what, got[i], state)
				}
			}
		}
		w.desks["bob/desk"].take()
		line(presence.LineInCall)
		told("a call", "on-the-phone")
		cutOff = true
		line(presence.LineIdle)
		told("cut off")
		line(presence.LineInCall)
		told("cut off still")
		cutOff = false
		w.p.Reclaimed()
		told("there again", "on-the-phone")
		line(presence.LineIdle)
		told("the end", "available")
		time.Sleep(time.Hour) //nolint:forbidigo // time is synthetic
		w.p.Reclaimed()       // it did not find out by itself that it was halted
		told("halted", "available")
		stop()
		synctest.Wait()
	})
}
