package session_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
)

// TestSnapshot writes a session down and takes it up elsewhere: everything it is
// comes along, and nobody is told.
func TestSnapshot(t *testing.T) {
	const shown = "<presence xmlns='jabber:client' id='p' xml:lang='de' a='1'><show>dnd</show><priority>7</priority><x xmlns='u:x' y='&lt;'/></presence>"
	for _, tt := range []struct {
		name string
		says []string
	}{
		{"bound alone", nil},
		{"available", []string{shown}},
		{"with directed presence", []string{"<presence xmlns='jabber:client' to='bob@example.com/x'/>", shown, "<presence xmlns='jabber:client' to='carol@example.com'/>"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here, there := newWorld(t, nil), newWorld(t, func(c *session.Config) { c.Node = "n2" })
			c := here.bound("alice@example.com/desk")
			for _, xml := range tt.says {
				c.says(xml, "")
			}
			c.Interest().SetRoster(true)
			snap, ok, err := c.Snapshot(t.Context())
			if err != nil || !ok {
				t.Fatalf("%v, %v", ok, err)
			}
			before := here.binding(c.JID())
			c.Freeze()
			if here.m.Len() != 0 {
				t.Fatal("it is still here")
			}
			if _, ok := here.table.ByJID(c.JID()); ok {
				t.Fatal("it is still in the table")
			}

			taken := &client{w: there, conn: &conn{}}
			if taken.Session, err = there.m.Resume(t.Context(), taken.conn, snap); err != nil {
				t.Fatal(err)
			}
			same(t, taken.Session, c.Session)
			after := there.binding(c.JID())
			if after.Node != "n2" || after.SID != before.SID || after.Priority != before.Priority || !after.Since.Equal(before.Since) || after.Available() != before.Available() {
				t.Fatalf("binding %+v, was %+v", after, before)
			}
			if before.Presence != nil {
				wants(t, "presence", string(after.Presence.AppendXML(nil)), string(before.Presence.AppendXML(nil)))
			}
			again, ok, err := taken.Snapshot(t.Context())
			if err != nil || !ok || !reflect.DeepEqual(sorted(again), sorted(snap)) {
				t.Fatalf("%v, %v\n got %+v\nwant %+v", ok, err, again, snap)
			}
			wants(t, "told here", here.said(&here.ended)+c.conn.condition(), "")
			wants(t, "told there", there.said(&there.ended)+taken.conn.take(), "")

			// It works like any other, and ends once.
			bob := there.bound("bob@example.com/desk")
			taken.says(message("bob@example.com/desk", "1"), "")
			if got := bob.conn.take(); !strings.Contains(got, "from='alice@example.com/desk'") {
				t.Fatalf("bob got %q", got)
			}
			c.Ended(t.Context(), "late", nil)
			wants(t, "told here", here.said(&here.ended), "")
		})
	}
}

func same(t *testing.T, got, want *session.Session) {
	t.Helper()
	if got.SID() != want.SID() || got.JID() != want.JID() || got.Domain() != want.Domain() || !got.Authenticated() {
		t.Fatalf("%s, %s at %s, %v", got.SID().Ref(), got.JID(), got.Domain(), got.Authenticated())
	}
	if got.Interest().Roster() != want.Interest().Roster() {
		t.Fatal("roster interest is gone")
	}
}

// sorted makes snapshots comparable: directed presence has no order.
func sorted(s session.Snapshot) map[string]any {
	directed := make(map[jid.JID]bool)
	for _, j := range s.Directed {
		directed[j] = true
	}
	since := s.Since.UnixNano()
	return map[string]any{
		"sid": s.SID, "jid": s.JID, "domain": s.Domain, "lang": s.Lang, "roster": s.Roster,
		"directed": directed, "presence": string(s.Presence), "priority": s.Priority, "since": since,
	}
}

// TestSnapshotOnOneNode takes a session up beside itself, as after a restart:
// what is replaced is the session itself, which did not go.
func TestSnapshotOnOneNode(t *testing.T) {
	w := newWorld(t, nil)
	c := w.bound("alice@example.com/desk")
	c.says("<presence xmlns='jabber:client'/>", "")
	snap, _, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Freeze()
	if _, err := w.m.Resume(t.Context(), &conn{}, snap); err != nil {
		t.Fatal(err)
	}
	wants(t, "observer", w.said(&w.ended), "")
	if b := w.binding(c.JID()); !b.Available() || w.m.Len() != 1 {
		t.Fatalf("binding %+v, %d sessions", b, w.m.Len())
	}
}

func TestNoSnapshot(t *testing.T) {
	w := newWorld(t, nil)
	ended := w.bound("alice@example.com/desk")
	ended.Ended(t.Context(), "closed", nil)
	for name, c := range map[string]*client{"not bound": w.open(), "ended": ended} {
		if _, ok, err := c.Snapshot(t.Context()); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	snap := session.Snapshot{SID: "x", JID: jid.MustParse("alice@example.com/desk"), Presence: []byte("<presence")}
	if _, err := w.m.Resume(t.Context(), &conn{}, snap); err == nil || w.m.Len() != 1 {
		t.Errorf("resumed a broken one: %v, %d sessions", err, w.m.Len())
	}
}
