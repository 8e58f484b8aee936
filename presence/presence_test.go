package presence_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/router"
)

// TestInitial has somebody come: told are the subscribers and the own
// resources that are available, and who comes learns of those it sees
// (RFC 6121 §4.2, §4.3).
func TestInitial(t *testing.T) {
	w := newWorld(t, "alice<bob", "alice<carol", "dave<alice", "bob<alice")
	w.online("bob/1", "bob/2", "dave/1", "eve/1", "alice/0")
	w.bind("carol/1", "alice/silent", "alice/1")
	w.says("alice/1", "<presence><show>dnd</show></presence>")
	const dnd = "<show>dnd</show>"
	w.heard(
		"bob/1: alice/1 "+dnd, "bob/2: alice/1 "+dnd, "alice/0: alice/1 "+dnd,
		"alice/1: alice/1 "+dnd, "alice/1: alice/0", "alice/1: bob/1", "alice/1: bob/2", "alice/1: dave/1",
	)
	w.called("requests alice@example.com/1", "messages alice@example.com/1")
}

// TestLater has presence change: nobody's is told again (§4.4).
func TestLater(t *testing.T) {
	w := newWorld(t, "alice<bob", "bob<alice")
	w.online("alice/1", "alice/2", "bob/1")
	w.says("alice/1", "<presence><status>Back</status></presence>")
	w.heard("alice/1: alice/1 <status>Back</status>", "alice/2: alice/1 <status>Back</status>", "bob/1: alice/1 <status>Back</status>")
	w.called()
}

func TestPriority(t *testing.T) {
	for _, tt := range []struct {
		name, xml string
		want      int8
		messages  bool // kept ones are handed over
		refused   bool
	}{
		{"none", "<presence/>", 0, true, false},
		{"positive", "<presence><priority>127</priority></presence>", 127, true, false},
		{"negative", "<presence><priority>-128</priority></presence>", -128, false, false},
		{"blanks", "<presence><priority> 5\n</priority></presence>", 5, true, false},
		{"too high", "<presence><priority>128</priority></presence>", 0, false, true},
		{"empty", "<presence><priority/></presence>", 0, false, true},
		{"no number", "<presence><priority>high</priority></presence>", 0, false, true},
		{"of another namespace", "<presence><priority xmlns='u:x'>9</priority></presence>", 0, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.bind("alice/1")
			w.says("alice/1", tt.xml)
			b := w.binding("alice/1")
			if b.Priority != tt.want || b.Available() == tt.refused {
				t.Fatalf("priority %d, available %v", b.Priority, b.Available())
			}
			if got := strings.Join(w.calls, " "); strings.Contains(got, "messages") != tt.messages {
				t.Fatalf("called %s", got)
			}
			if got := strings.Join(w.desks["alice/1"].got, ""); strings.Contains(got, "<bad-request ") != tt.refused {
				t.Fatalf("heard %s", got)
			}
		})
	}
}

// TestMessages hands kept messages over when a resource begins to take them,
// not each time it speaks.
func TestMessages(t *testing.T) {
	w := newWorld(t)
	w.bind("alice/1")
	const negative = "<presence><priority>-1</priority></presence>"
	for _, step := range []struct{ xml, call string }{
		{negative, "requests alice@example.com/1"},
		{"<presence/>", "messages alice@example.com/1"},
		{"<presence><show>away</show></presence>", ""},
		{negative, ""},
		{"<presence/>", "messages alice@example.com/1"},
	} {
		w.says("alice/1", step.xml)
		if got := strings.Join(w.calls, " "); got != step.call {
			t.Fatalf("%s: called %q, want %q", step.xml, got, step.call)
		}
		w.calls = nil
	}
}

// TestUnavailable has resources leave (§4.5).
func TestUnavailable(t *testing.T) {
	w := newWorld(t, "alice<bob")
	w.online("alice/1", "alice/2", "bob/1")
	const lunch = "<status>Lunch</status>"
	w.says("alice/1", "<presence type='unavailable'>"+lunch+"</presence>")
	w.heard("alice/1: alice/1 unavailable"+lunch, "alice/2: alice/1 unavailable"+lunch, "bob/1: alice/1 unavailable"+lunch)
	w.called() // another resource is still there
	w.says("alice/1", "<presence type='unavailable'/>")
	w.heard()
	w.says("alice/2", "<presence type='unavailable'>"+lunch+"</presence>")
	w.heard("alice/2: alice/2 unavailable"+lunch, "bob/1: alice/2 unavailable"+lunch)
	w.called("left alice@example.com Lunch")
}

// TestSessionEnded has sessions end in each state they can be in (§4.5.2).
func TestSessionEnded(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // presence of alice/1
		heard  []string
		calls  []string
	}{
		{"never available", nil, nil, nil},
		{"available", []string{"<presence/>"}, []string{"bob/1: alice/1 unavailable"}, []string{"left alice@example.com"}},
		{"left before", []string{"<presence/>", "<presence type='unavailable'/>"}, nil, nil},
		{"directed alone", []string{"<presence to='eve@example.com/1'/>"}, []string{"eve/1: alice/1 unavailable"}, nil},
		{
			"directed and available",
			[]string{"<presence to='eve@example.com/1'/>", "<presence/>"},
			[]string{"bob/1: alice/1 unavailable", "eve/1: alice/1 unavailable"},
			[]string{"left alice@example.com"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "alice<bob")
			w.online("bob/1", "eve/1")
			w.bind("alice/1")
			for _, xml := range tt.before {
				w.says("alice/1", xml)
			}
			w.quiet()
			w.leave("alice/1")
			w.heard(tt.heard...)
			w.called(tt.calls...)
		})
	}
}

// TestSuperseded has a session of the same name come before the end of the
// first is told: what is true now is not taken back.
func TestSuperseded(t *testing.T) {
	w := newWorld(t, "alice<bob")
	w.online("bob/1", "alice/1")
	old, first := w.binding("alice/1"), w.desks["alice/1"]
	w.bind("alice/1")
	w.says("alice/1", "<presence/>")
	w.quiet()
	w.p.SessionEnded(t.Context(), old, &first.interest)
	w.heard()
	w.called()

	// Not yet available, it has nothing that could be taken back.
	old, first = w.binding("alice/1"), w.desks["alice/1"]
	w.bind("alice/1")
	w.p.SessionEnded(t.Context(), old, &first.interest)
	w.heard("bob/1: alice/1 unavailable")
}

// TestStamp tells how old a presence is, unless it is quite new or says so
// itself (XEP-0203).
func TestStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "alice<bob", "dave<bob")
		w.online("alice/1")
		w.bind("dave/1")
		const own = "<delay xmlns='urn:xmpp:delay' stamp='1999-01-01T00:00:00Z'/>"
		w.says("dave/1", "<presence>"+own+"</presence>")
		w.quiet()
		time.Sleep(4 * time.Second)
		w.bind("bob/1")
		w.says("bob/1", "<presence/>")
		w.heard("bob/1: bob/1", "bob/1: alice/1", "bob/1: dave/1 "+own)
		time.Sleep(time.Minute)
		w.says("bob/1", "<presence type='probe' to='alice@example.com'/>")
		w.heard("bob/1: alice/1 <delay xmlns='urn:xmpp:delay' from='alice@example.com/1' stamp='2000-01-01T00:00:00Z'/>")
	})
}

func TestRefused(t *testing.T) {
	for name, xml := range map[string]string{
		"unknown type":            "<presence type='gone'/>",
		"subscription of nobody":  "<presence type='subscribe'/>",
		"directed to elsewhere":   "<presence to='room@elsewhere.example/x'/>",
		"priority that is no one": "<presence><priority>1e2</priority></presence>",
	} {
		w := newWorld(t, "alice<bob")
		w.online("bob/1")
		w.bind("alice/1")
		w.says("alice/1", xml)
		if got := strings.Join(w.desks["alice/1"].got, ""); !strings.Contains(got, "type='error'") {
			t.Errorf("%s: heard %q", name, got)
		}
		w.desks["alice/1"].got = nil
		w.heard()
	}
}

// TestPassedOn leaves subscriptions to the roster.
func TestPassedOn(t *testing.T) {
	w := newWorld(t)
	w.online("alice/1")
	for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"} {
		w.says("alice/1", "<presence type='"+typ+"' to='bob@example.com'/>")
		w.called(typ + " bob@example.com")
	}
	w.heard()
}

// TestBroken has the roster fail: the sender's own presence stands, and the
// error is for the log.
func TestBroken(t *testing.T) {
	w := newWorld(t, "alice<bob")
	w.bind("alice/1", "bob/1")
	w.broken = true
	for _, xml := range []string{"<presence/>", "<presence type='probe' to='bob@example.com'/>", "<presence type='unavailable'/>"} {
		if err := w.try("alice/1", xml); err == nil {
			t.Errorf("%s: no error", xml)
		}
	}
	if b := w.binding("alice/1"); b.Available() {
		t.Error("alice is available")
	}
}

// TestStranger has presence of a session that is in no table any more.
func TestStranger(t *testing.T) {
	w := newWorld(t, "alice<bob")
	w.online("alice/1", "bob/1")
	d := w.desks["alice/1"]
	w.table.Remove(d)
	if err := w.registry.Unbind(t.Context(), d.full, w.binding("alice/1").Gen); err != nil {
		t.Fatal(err)
	}
	w.says("alice/1", "<presence/>")
	w.says("alice/1", "<presence type='unavailable'/>")
	w.heard()
}

// TestShared has subscriptions begin and end (§3.1.5, §3.2.1).
func TestShared(t *testing.T) {
	w := newWorld(t)
	w.online("alice/1", "alice/2", "bob/1", "bob/2")
	w.bind("alice/silent", "bob/silent")
	if err := w.p.SendCurrent(t.Context(), person("alice"), person("bob")); err != nil {
		t.Fatal(err)
	}
	w.heard("bob/1: alice/1", "bob/1: alice/2", "bob/2: alice/1", "bob/2: alice/2")
	if err := w.p.SendUnavailable(t.Context(), person("alice"), person("bob")); err != nil {
		t.Fatal(err)
	}
	w.heard("bob/1: alice/1 unavailable", "bob/1: alice/2 unavailable", "bob/2: alice/1 unavailable", "bob/2: alice/2 unavailable")
}

func TestAvailable(t *testing.T) {
	w := newWorld(t, "alice<bob")
	w.bind("alice/1", "alice/2")
	for _, step := range []struct {
		xml  string
		want bool
	}{{"", false}, {"<presence><priority>-1</priority></presence>", true}, {"<presence type='unavailable'/>", false}} {
		if step.xml != "" {
			w.says("alice/2", step.xml)
		}
		if got, err := w.p.Available(t.Context(), person("alice")); err != nil || got != step.want {
			t.Fatalf("%s: %v, %v", step.xml, got, err)
		}
	}
	for name, want := range map[string]bool{"bob": true, "eve": false} {
		if got, err := w.p.MaySee(t.Context(), person("alice"), person(name)); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

var _ router.Session = (*desk)(nil)
