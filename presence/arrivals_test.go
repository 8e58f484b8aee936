package presence_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// another is a cluster whose other node tells contacts of everybody.
type another struct{ others }

func (another) Owns(jid.JID) bool { return false }

func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // time is synthetic
	synctest.Wait()
}

func lineDoes(t *testing.T, w *world, l presence.Line) {
	t.Helper()
	if err := w.p.Observe(presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: l, Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
}

// last returns the presence of alice that a session got last, and how many it got.
func last(w *world, name string) (frame string, count int) {
	for _, got := range w.desks[name].take() {
		if strings.Contains(got, "from='alice@") {
			frame, count = got, count+1
		}
	}
	return frame, count
}

// TestChangedWhileWelcome has a line change while somebody who came is being told of contacts: after that they know
// what everybody knows, whatever came first.
func TestChangedWhileWelcome(t *testing.T) {
	for _, c := range []struct {
		name         string
		before, then presence.Line
		want         string // in the last presence
		without      string
	}{
		{"becomes busy", 0, presence.LineInCall, "state='on-the-phone'", "unavailable"},
		{"hangs up", presence.LineInCall, 0, "from='alice@example.com/desk'", "on-the-phone"},
		{"holds", presence.LineInCall, presence.LineHeld, "state='on-the-phone'", "unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldWith(t, func(c *presence.Config) {
					c.Settings = presence.Settings{Gather: 100 * time.Millisecond}
				}, "alice<bob")
				ctx, stop := context.WithCancel(t.Context())
				go func() { _ = w.p.Run(ctx) }()
				w.online("alice/desk")
				if c.before != 0 {
					lineDoes(t, w, c.before)
					pass(time.Second)
				}
				calls := 0
				w.more = func(func(jid.JID) bool) {
					if calls++; calls != 2 { // the first is for those who see bob
						return
					}
					// Alice has been read by now, but nothing is sent.
					if c.then != 0 {
						lineDoes(t, w, c.then)
					} else {
						end := presence.Evidence{User: person("alice"), Source: "s", Item: "1", Expires: time.Now()}
						if err := w.p.Observe(end); err != nil {
							t.Error(err)
						}
					}
					pass(time.Second)
				}
				w.bind("bob/desk")
				w.says("bob/desk", "<presence/>")
				got, _ := last(w, "bob/desk")
				if !strings.Contains(got, c.want) || strings.Contains(got, c.without) {
					t.Errorf("the last is %s", got)
				}
				pass(time.Minute)
				if got, n := last(w, "bob/desk"); n > 0 {
					t.Errorf("later: %s", got)
				}
				stop()
				synctest.Wait()
			})
		})
	}
}

// TestCameAsAnotherNodeTold has evidence reach this node after somebody came to it, when the node that tells contacts
// has done so already and did not see them.
func TestCameAsAnotherNodeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWith(t, func(c *presence.Config) {
			c.Cluster = another{}
			c.Settings = presence.Settings{Gather: 100 * time.Millisecond}
		}, "alice<bob", "alice<carol", "dave<bob")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = w.p.Run(ctx) }()
		full := jid.MustParse("alice@example.com/desk")
		gen, _, err := w.registry.Bind(t.Context(), router.Binding{Full: full, SID: "elsewhere", Node: "n2"})
		if err != nil {
			t.Fatal(err)
		}
		there := router.Binding{
			Full: full, SID: "elsewhere", Node: "n2", Gen: gen, Since: time.Now(), Presence: &stanza.Stanza{Kind: stanza.KindPresence, From: full},
		}
		if err := w.registry.Update(t.Context(), there); err != nil {
			t.Fatal(err)
		}
		adopt := func(l presence.Line, ago time.Duration) {
			w.p.Adopt(presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: l, Expires: time.Now().Add(time.Hour), Heard: time.Now().Add(-ago)})
		}
		adopt(presence.LineIdle, time.Millisecond) // something is known, so that arrivals count
		w.online("carol/desk")
		pass(time.Minute)
		w.quiet()

		w.bind("bob/desk")
		w.says("bob/desk", "<presence/>")
		if got, n := last(w, "bob/desk"); n != 1 || strings.Contains(got, "on-the-phone") {
			t.Fatalf("%d at first: %s", n, got)
		}
		adopt(presence.LineInCall, time.Millisecond)
		pass(time.Second)
		if got, n := last(w, "bob/desk"); n != 1 || !strings.Contains(got, "on-the-phone") {
			t.Fatalf("%d after the line was heard of: %s", n, got)
		}
		if got, n := last(w, "carol/desk"); n != 0 {
			t.Fatalf("carol has been here for long: %s", got)
		}

		// Who came before it was heard of is told by the other node.
		w.online("bob/phone")
		pass(10 * time.Millisecond)
		w.quiet()
		adopt(presence.LineIdle, time.Millisecond)
		pass(time.Second)
		for _, name := range []string{"bob/desk", "bob/phone"} {
			if got, n := last(w, name); n != 0 {
				t.Fatalf("the other node tells %s: %s", name, got)
			}
		}
		stop()
		synctest.Wait()
	})
}
