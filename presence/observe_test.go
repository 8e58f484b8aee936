package presence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
)

// TestObserve holds when contacts are told, and that it is once.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice<bob")
		w.online("bob/desk", "alice/desk")
		w.p.SetSettings(presence.Settings{Texts: presence.Texts("en"), Gather: 100 * time.Millisecond})
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = w.p.Run(ctx) }()
		put := func(e presence.Evidence, lasts time.Duration) {
			t.Helper()
			e.User, e.Source, e.Item, e.Expires = person("alice"), "s", "1", time.Now().Add(lasts)
			if err := w.p.Observe(e); err != nil {
				t.Fatal(err)
			}
		}
		pass := func(d time.Duration) {
			time.Sleep(d) //nolint:forbidigo // time is synthetic
			synctest.Wait()
		}

		for _, l := range []presence.Line{presence.LineRinging, presence.LineInCall, presence.LineIdle} {
			put(presence.Evidence{Line: l}, time.Hour)
			pass(30 * time.Millisecond)
		}
		pass(time.Second)
		w.heard()

		put(presence.Evidence{Line: presence.LineInCall}, time.Minute)
		pass(99 * time.Millisecond)
		w.heard()
		began := time.Now().Add(-99 * time.Millisecond).UTC().Format(time.RFC3339)
		pass(time.Millisecond)
		const ns = "<composed xmlns='urn:deskline:presence:1' "
		expires := time.Now().Add(time.Minute - 100*time.Millisecond).UTC().Format(time.RFC3339)
		w.heard("bob/desk: alice/desk <show>dnd</show><status>On the phone</status>"+ns+"state='on-the-phone' since='"+began+"'/>",
			"alice/desk: alice/desk "+ns+"state='on-the-phone' since='"+began+"'><source name='s' item='1' state='in-call' since='"+began+"' expires='"+expires+"'/></composed>")

		// Nothing more is heard of the line: it ends by itself, on time.
		pass(time.Minute - 101*time.Millisecond)
		w.heard()
		pass(time.Millisecond)
		w.heard("bob/desk: alice/desk", "alice/desk: alice/desk")
		if s := w.p.Stats(); s.Users != 0 || s.Changes["s"] != 1 || s.Changes["resource"] != 1 {
			t.Errorf("%+v", s)
		}

		// A meeting begins and ends within the second it is to, though nobody tells.
		from := time.Now().Add(time.Hour)
		put(presence.Evidence{Periods: []presence.Period{{From: from, Until: from.Add(time.Hour), Slot: presence.SlotBusy}}}, 24*time.Hour)
		pass(time.Hour - time.Millisecond)
		w.heard()
		pass(time.Millisecond)
		w.desks["alice/desk"].take()
		w.heard("bob/desk: alice/desk <show>dnd</show><status>In a meeting</status>" + ns + "state='in-a-meeting' since='" + from.UTC().Format(time.RFC3339) + "'/>")
		pass(time.Hour)
		if got := w.desks["bob/desk"].take(); len(got) != 1 {
			t.Fatalf("bob got %q", got)
		}
		stop()
		synctest.Wait()
	})
}
