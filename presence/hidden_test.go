package presence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// TestHides has somebody choose to appear offline and say or do something in the same moment: contacts see
// the user leave all the same, once, and nothing of what comes after.
func TestHides(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(w *world)
		want []string
	}{
		{"and no more", func(*world) {}, []string{"bob/desk: alice/desk unavailable"}},
		{"and says something", func(w *world) { w.says("alice/desk", "<presence><show>away</show></presence>") }, []string{"bob/desk: alice/desk unavailable"}},
		{"and leaves", func(w *world) { w.says("alice/desk", "<presence type='unavailable'/>") }, []string{"bob/desk: alice/desk unavailable"}},
		{"and is gone", func(w *world) { w.leave("alice/desk") }, []string{"bob/desk: alice/desk unavailable"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorldWith(t, func(c *presence.Config) {
					c.Choices = &drawer{all: map[jid.JID]presence.Choice{}}
					c.Settings = presence.Settings{Gather: 100 * time.Millisecond}
				}, "alice<bob")
				w.online("alice/desk", "bob/desk")
				ctx, stop := context.WithCancel(t.Context())
				go func() { _ = w.p.Run(ctx) }()
				c, err := presence.NewChoice("unavailable", time.Time{}, "", "alice", time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if err := w.p.Choose(t.Context(), person("alice"), c); err != nil {
					t.Fatal(err)
				}
				tt.then(w)
				pass(time.Second)
				delete(w.desks, "alice/desk")
				w.heard(tt.want...)

				w.bind("alice/mobile")
				w.says("alice/mobile", "<presence/>")
				w.says("alice/mobile", "<presence><show>away</show></presence>")
				pass(time.Second)
				w.leave("alice/mobile")
				pass(time.Second)
				delete(w.desks, "alice/mobile")
				w.heard()
				stop()
				synctest.Wait()
			})
		})
	}
}
