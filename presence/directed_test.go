package presence_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestDirected has presence for somebody in particular (RFC 6121 §4.6).
func TestDirected(t *testing.T) {
	for _, tt := range []struct {
		name, to string
		heard    []string
	}{
		{"a resource", "eve@example.com/1", []string{"eve/1: alice/1"}},
		{"one that is bound only", "eve@example.com/silent", []string{"eve/silent: alice/1"}},
		{"an account", "eve@example.com", []string{"eve/1: alice/1", "eve/2: alice/1"}},
		{"the own account", "alice@example.com", []string{"alice/1: alice/1", "alice/2: alice/1"}},
		{"a resource that is not there", "eve@example.com/9", nil},
		{"nobody", "nobody@example.com", nil},
		{"the server", "example.com", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "alice<bob")
			w.online("alice/1", "alice/2", "bob/1", "eve/1", "eve/2")
			w.bind("eve/silent")
			w.says("alice/1", "<presence to='"+tt.to+"'/>")
			w.heard(tt.heard...)
			w.called()
			if b := w.binding("alice/1"); b.Presence == nil || !b.Presence.To.IsZero() {
				t.Fatal("it became the presence of all")
			}
		})
	}
}

// TestDirectedEnds has its sender leave: each receiver learns it once (§4.6.3).
func TestDirectedEnds(t *testing.T) {
	const gone = ": alice/1 unavailable"
	all := []string{"alice/1" + gone, "alice/2" + gone, "bob/1" + gone, "bob/2" + gone}
	for _, tt := range []struct {
		name string
		to   []string
		more []string // than those who see alice anyway
	}{
		{"a stranger's resource", []string{"eve@example.com/1"}, []string{"eve/1" + gone}},
		{"a stranger", []string{"eve@example.com"}, []string{"eve/1" + gone, "eve/2" + gone}},
		{"a stranger and a resource", []string{"eve@example.com/2", "eve@example.com"}, []string{"eve/1" + gone, "eve/2" + gone}},
		{"a stranger and a silent resource", []string{"eve@example.com/silent", "eve@example.com"}, []string{"eve/1" + gone, "eve/2" + gone, "eve/silent" + gone}},
		{"a contact's resource", []string{"bob@example.com/1"}, nil},
		{"a contact", []string{"bob@example.com"}, nil},
		{"a contact's silent resource", []string{"bob@example.com/silent"}, []string{"bob/silent" + gone}},
		{"oneself", []string{"alice@example.com", "alice@example.com/2"}, nil},
		{"one who has gone meanwhile", []string{"eve@example.com/9"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "alice<bob")
			w.online("alice/1", "alice/2", "bob/1", "bob/2", "eve/1", "eve/2")
			w.bind("eve/silent", "bob/silent")
			for _, to := range tt.to {
				w.says("alice/1", "<presence to='"+to+"'/>")
			}
			w.quiet()
			w.says("alice/1", "<presence type='unavailable'/>")
			w.heard(append(all[:len(all):len(all)], tt.more...)...)

			// And not again.
			w.says("alice/1", "<presence/>")
			w.quiet()
			w.leave("alice/1")
			w.heard(all[1:]...)
		})
	}
}

// TestDirectedTakenBack forgets a receiver to whom its sender said goodbye.
func TestDirectedTakenBack(t *testing.T) {
	w := newWorld(t)
	w.online("alice/1", "eve/1")
	w.says("alice/1", "<presence to='eve@example.com/1'/>")
	w.says("alice/1", "<presence to='eve@example.com/1' type='unavailable'/>")
	w.heard("eve/1: alice/1", "eve/1: alice/1 unavailable")
	w.leave("alice/1")
	w.heard()
}

// TestDirectedLimit bounds what a session makes the server remember.
func TestDirectedLimit(t *testing.T) {
	w := newWorld(t)
	w.online("alice/1")
	refused := 0
	for i := range 3000 {
		w.says("alice/1", fmt.Sprintf("<presence to='p%d@example.com'/>", i))
		if got := w.desks["alice/1"].got; len(got) > 0 {
			if !strings.Contains(got[0], "<resource-constraint ") {
				t.Fatal(got[0])
			}
			refused++
			w.quiet()
		}
	}
	if refused != 1000 {
		t.Fatalf("%d refused", refused)
	}
}

// TestProbe has a client ask (§4.3.2).
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name, to string
		heard    []string
	}{
		{"a contact", "alice@example.com", []string{"bob/1: alice/1", "bob/1: alice/2"}},
		{"a contact's resource", "alice@example.com/1", []string{"bob/1: alice/1", "bob/1: alice/2"}},
		{"a contact who is away", "carol@example.com", []string{"bob/1: carol@example.com unavailable"}},
		{"a stranger", "eve@example.com", []string{"bob/1: eve@example.com unsubscribed"}},
		{"nobody", "nobody@example.com", []string{"bob/1: nobody@example.com unsubscribed"}},
		{"oneself", "bob@example.com", []string{"bob/1: bob/2"}},
		{"elsewhere", "alice@elsewhere.example", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, "alice<bob", "carol<bob")
			w.online("alice/1", "alice/2", "bob/1", "bob/2", "eve/1")
			w.bind("carol/1")
			w.says("bob/1", "<presence type='probe' to='"+tt.to+"'/>")
			for i := range tt.heard {
				tt.heard[i] = strings.Replace(tt.heard[i], "@example.com", "", 1)
			}
			w.heard(tt.heard...)
		})
	}
}

func TestError(t *testing.T) {
	w := newWorld(t)
	w.online("alice/1", "bob/1")
	w.says("alice/1", "<presence type='error' to='bob@example.com/1'/>")
	w.heard("bob/1: alice/1 error")
	w.says("alice/1", "<presence type='error' to='bob@example.com/9'/>")
	w.says("alice/1", "<presence type='error' to='bob@elsewhere.example'/>")
	w.says("alice/1", "<presence type='error'/>")
	w.heard()
}
