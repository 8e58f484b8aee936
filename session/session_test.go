package session_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// TestStanza holds what a bound client may say against RFC 6120 §8.
func TestStanza(t *testing.T) {
	iq := func(attrs, inner string) string {
		return "<iq xmlns='jabber:client' " + attrs + ">" + inner + "</iq>"
	}
	const bob = "bob@example.com/desk"
	for _, tt := range []struct {
		name, xml    string
		reply, heard string // by the sender, by bob: parts
		end          string
	}{
		{"message", message(bob, "1"), "", "from='alice@example.com/desk' to='bob@example.com/desk'", ""},
		{"from of one's own", "<message xmlns='jabber:client' from='alice@example.com' to='" + bob + "'/>", "", "from='alice@example.com/desk'", ""},
		{"from of somebody else", "<message xmlns='jabber:client' from='bob@example.com' to='" + bob + "'/>", "", "", "invalid-from"},
		{"from of another resource", "<message xmlns='jabber:client' from='alice@example.com/x' to='" + bob + "'/>", "", "", "invalid-from"},
		{"malformed address", "<message xmlns='jabber:client' id='1' to='@'/>", "<jid-malformed ", "", ""},
		{"malformed address of an error", "<message xmlns='jabber:client' type='error' to='@'/>", "", "", ""},
		{"request", iq("type='get' id='1' to='"+bob+"'", "<x xmlns='u:x'/>"), "", "<x xmlns='u:x'/>", ""},
		{"request without an id", iq("type='get' to='"+bob+"'", "<x xmlns='u:x'/>"), "<bad-request ", "", ""},
		{"request for two", iq("type='get' id='1' to='"+bob+"'", "<x xmlns='u:x'/><x xmlns='u:x'/>"), "<bad-request ", "", ""},
		{"request for nothing", iq("type='set' id='1' to='"+bob+"'", ""), "<bad-request ", "", ""},
		{"no type", iq("id='1' to='"+bob+"'", "<x xmlns='u:x'/>"), "<bad-request ", "", ""},
		{"result", iq("type='result' id='1' to='"+bob+"'", ""), "", "type='result'", ""},
		{"bind again", iq("type='set' id='1'", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"), "<service-unavailable ", "", ""},
		{"session", iq("type='set' id='1'", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"), "type='result'", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			a, b := w.bound("alice@example.com/desk"), w.bound(bob)
			a.says(tt.xml, tt.end)
			for _, c := range []struct{ who, got, want string }{{"alice", a.conn.take(), tt.reply}, {"bob", b.conn.take(), tt.heard}} {
				if (c.want == "") != (c.got == "") || !strings.Contains(c.got, c.want) {
					t.Errorf("%s got %q, want %q", c.who, c.got, c.want)
				}
			}
		})
	}
}

// TestEnd shows what is left of a session: nothing in the tables, and one word
// to the observer.
func TestEnd(t *testing.T) {
	w := newWorld(t, nil)
	a := w.bound("alice@example.com/desk")
	a.says("<presence xmlns='jabber:client'/>", "")
	a.says("<presence xmlns='jabber:client' to='bob@example.com'/>", "")
	a.Ended(t.Context(), "inactivity", nil)
	a.Ended(t.Context(), "again", nil)
	wants(t, "observer", w.said(&w.ended), "alice@example.com/desk available bob@example.com")
	if _, ok := w.table.ByJID(a.JID()); ok || w.m.Len() != 0 || len(w.m.Sessions()) != 0 || w.binding(a.JID()).SID != "" {
		t.Error("something is left")
	}
	a.says(message("bob@example.com", "1"), "reset")
	if err := a.Deliver(&stanza.Stanza{Kind: stanza.KindMessage}, nil); !errors.Is(err, session.ErrEnded) {
		t.Errorf("delivered: %v", err)
	}
	wants(t, "counts", w.said(&w.counts), "login NAME success, received presence, received presence, ended fake inactivity")

	// One that was never bound leaves nobody behind.
	w.open().Ended(t.Context(), "closed", nil)
	wants(t, "observer", w.said(&w.ended), "alice@example.com/desk available bob@example.com")
}

// TestUndelivered has a session end with stanzas its client did not get. They
// go where the rules say, in their order.
func TestUndelivered(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk")
	b.says("<presence xmlns='jabber:client'/>", "")
	a.says(message("bob@example.com", "1"), "")
	a.says(message("bob@example.com/desk", "2"), "")
	a.says("<message xmlns='jabber:client' to='bob@example.com/desk' type='headline' id='3'/>", "")
	a.says("<iq xmlns='jabber:client' to='bob@example.com/desk' type='get' id='4'><x xmlns='u:x'/></iq>", "")
	a.says("<iq xmlns='jabber:client' to='bob@example.com/desk' type='result' id='5'/>", "")
	lost := b.conn.undelivered()
	if len(lost) != 5 {
		t.Fatalf("%d frames", len(lost))
	}
	b.Ended(t.Context(), "lost", lost)
	wants(t, "kept", w.said(&w.kept), "bob@example.com 1, bob@example.com 2")
	if got := a.conn.take(); !strings.Contains(got, "id='4'") || !strings.Contains(got, "<service-unavailable ") || strings.Count(got, "<iq ") != 1 {
		t.Fatalf("alice got %s", got)
	}
}

// TestLateMessages has messages come between the end of a transport and that of
// its session: they go after those that the transport left.
func TestLateMessages(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk")
	b.says("<presence xmlns='jabber:client'/>", "")
	a.says(message("bob@example.com", "1"), "")
	lost := b.conn.undelivered()
	_ = b.conn.Close(nil)
	a.says(message("bob@example.com", "2"), "")
	a.says(message("bob@example.com/desk", "3"), "")
	b.Ended(t.Context(), "lost", lost)
	a.says(message("bob@example.com/desk", "4"), "")
	wants(t, "kept", w.said(&w.kept), "bob@example.com 1, bob@example.com 2, bob@example.com 3, bob@example.com 4")
}

// TestUndeliveredMoves has a second resource when a session ends: it gets what
// it does not have yet, and nothing twice.
func TestUndeliveredMoves(t *testing.T) {
	const available = "<presence xmlns='jabber:client'/>"
	for _, tt := range []struct {
		name, to string
		early    bool // the second resource is available when the message comes
		late     bool // and when the session ends
		home     int  // how often it gets it
		kept     string
	}{
		{"to the resource", "bob@example.com/desk", true, true, 1, ""},
		{"to both", "bob@example.com", true, true, 1, ""},
		{"second one came later", "bob@example.com", false, true, 1, ""},
		{"to the resource, second one came later", "bob@example.com/desk", false, true, 1, ""},
		{"second one takes nothing", "bob@example.com", false, false, 0, "bob@example.com 1"},
		{"to all in place of one that is gone", "bob@example.com/gone", true, true, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			a, b, home := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk"), w.bound("bob@example.com/home")
			b.says(available, "")
			if tt.early {
				home.says(available, "")
			}
			a.says(message(tt.to, "1"), "")
			if !tt.early && tt.late {
				home.says(available, "")
			}
			b.Ended(t.Context(), "lost", b.conn.undelivered())
			if got := strings.Count(home.conn.take(), "id='1'"); got != tt.home {
				t.Errorf("home got it %d times", got)
			}
			wants(t, "kept", w.said(&w.kept), tt.kept)
		})
	}
}

// TestUndeliveredByAll has both resources end that were to get a message.
func TestUndeliveredByAll(t *testing.T) {
	w := newWorld(t, nil)
	a, b, home := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk"), w.bound("bob@example.com/home")
	for _, c := range []*client{b, home} {
		c.says("<presence xmlns='jabber:client'/>", "")
	}
	a.says(message("bob@example.com", "1"), "")
	b.Ended(t.Context(), "lost", b.conn.undelivered())
	wants(t, "kept", w.said(&w.kept), "")
	home.Ended(t.Context(), "lost", home.conn.undelivered())
	wants(t, "kept", w.said(&w.kept), "bob@example.com 1")
}

// TestBacklog has a client that takes nothing: its session ends, and the
// message is not lost.
func TestBacklog(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk")
	b.says("<presence xmlns='jabber:client'/>", "")
	a.says(message("bob@example.com", "1"), "")
	b.conn.mu.Lock()
	b.conn.full = true
	b.conn.mu.Unlock()
	a.says(message("bob@example.com", "2"), "")
	wants(t, "stream error", b.conn.condition(), stream.ResourceConstraint)
	b.Ended(t.Context(), "resource-constraint", b.conn.undelivered())
	a.says(message("bob@example.com", "3"), "")
	wants(t, "kept", w.said(&w.kept), "bob@example.com 1, bob@example.com 2, bob@example.com 3")
	wants(t, "observer", w.said(&w.ended), "bob@example.com/desk available")
}

func TestConflict(t *testing.T) {
	w := newWorld(t, nil)
	first := w.bound("alice@example.com/desk")
	first.says("<presence xmlns='jabber:client'/>", "")
	first.says("<presence xmlns='jabber:client' to='bob@example.com'/>", "")
	second := w.bound("alice@example.com/desk")
	wants(t, "first", first.conn.condition(), stream.Conflict)
	wants(t, "second", second.conn.condition(), "")
	wants(t, "observer", w.said(&w.ended), "alice@example.com/desk available bob@example.com")

	// The end of the first takes nothing from the second.
	first.Ended(t.Context(), "conflict", nil)
	wants(t, "observer", w.said(&w.ended), "alice@example.com/desk available bob@example.com, alice@example.com/desk")
	if s, ok := w.table.ByJID(second.JID()); !ok || s.SID() != second.SID() || w.binding(second.JID()).SID != second.SID() {
		t.Fatal("the second is not there")
	}
}

// TestNothingAfterEnd shows that a session that was ended hears no more of what
// its client had sent already: its resource may be somebody else's by now.
func TestNothingAfterEnd(t *testing.T) {
	w := newWorld(t, nil)
	b := w.bound("bob@example.com/desk")
	first := w.bound("alice@example.com/desk")
	w.bound("alice@example.com/desk")
	first.says(message("bob@example.com/desk", "1"), "reset")
	first.says("<presence xmlns='jabber:client'/>", "reset")
	wants(t, "bob", b.conn.take(), "")
	if w.binding(first.JID()).Presence != nil {
		t.Fatal("the second was made available")
	}
}

// TestResources has an account with more resources than it may: those idle
// longest make room, however slow they are to go.
func TestResources(t *testing.T) {
	w := newWorld(t, func(c *session.Config) { c.Resources = 2 })
	other := w.bound("bob@example.com/0")
	var all []*client
	for i := range 4 {
		all = append(all, w.bound(fmt.Sprintf("alice@example.com/%d", i)))
	}
	for i, want := range []string{"resource-constraint", "resource-constraint", "", ""} {
		wants(t, fmt.Sprintf("session %d", i), all[i].conn.condition(), want)
	}
	wants(t, "other account", other.conn.condition(), "")
}

func TestEndAccount(t *testing.T) {
	w := newWorld(t, nil)
	one, two, bob, stranger := w.bound("alice@example.com/1"), w.bound("alice@example.com/2"), w.bound("bob@example.com/1"), w.open()
	if err := w.m.EndAccount(t.Context(), jid.MustParse("alice@example.com"), stream.NotAuthorized, "cancelled"); err != nil {
		t.Error(err)
	}
	wants(t, "first", one.conn.condition(), stream.NotAuthorized)
	wants(t, "second", two.conn.condition(), stream.NotAuthorized)
	wants(t, "bob", bob.conn.condition(), "")
	wants(t, "not signed in", stranger.conn.condition(), "")
}
