package presence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// others is the rest of a cluster, in which this node is everybody's owner, or nobody's.
type others struct{ cutOff *bool } // nil = it never is

func (o others) Owns(jid.JID) bool                  { return o.cutOff == nil || !*o.cutOff }
func (others) Share(presence.Evidence)              {}
func (others) ShareChoice(jid.JID, presence.Choice) {}
func (others) Told(presence.Word)                   {}

// TestWordOfAnotherNode has a resource say something at another node, which tells contacts, while this one looks at
// the user: they are not told twice, and are told all the same if the word of the other node does not come.
func TestWordOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldWith(t, func(c *presence.Config) {
			c.Cluster = others{}
			c.Settings = presence.Settings{Gather: 100 * time.Millisecond}
		}, "alice<bob")
		w.online("bob/desk")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = w.p.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d) //nolint:forbidigo // time is synthetic
			synctest.Wait()
		}
		if err := w.p.Observe(presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: presence.LineInCall, Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		full := jid.MustParse("alice@example.com/desk")
		b := router.Binding{Full: full, SID: "elsewhere", Node: "n2"}
		gen, _, err := w.registry.Bind(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		says := func() {
			t.Helper()
			b.Gen, b.Since, b.Presence = gen, time.Now(), &stanza.Stanza{Kind: stanza.KindPresence, From: full}
			if err := w.registry.Update(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			w.p.OwnersChanged() // as when a node comes
		}
		told := func(want int, what string) {
			t.Helper()
			if got := w.desks["bob/desk"].take(); len(got) != want {
				t.Fatalf("%s: bob got %q", what, got)
			}
		}
		told(0, "before")

		says()
		pass(100 * time.Millisecond)
		told(0, "while the word is on its way")
		w.p.AdoptWord(presence.Word{Full: full, Show: "dnd", Label: presence.OnThePhone})
		pass(time.Second)
		told(0, "the other node has told")

		// The line changes while a word is missing.
		says()
		if err := w.p.Observe(presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: presence.LineIdle, Seq: 1, Expires: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		pass(499 * time.Millisecond)
		told(0, "half a second is not over")
		pass(time.Millisecond)
		told(1, "no word has come")
		stop()
		synctest.Wait()
	})
}
