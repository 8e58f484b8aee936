package presence_test

import (
	"fmt"
	"testing"

	"github.com/deskline/deskline/xmpp/stanza"
)

// BenchmarkBroadcast tells 50 contacts, each with one resource on this node, of
// a change.
func BenchmarkBroadcast_50Contacts(b *testing.B) {
	var sees, names []string
	for i := range 50 {
		sees = append(sees, fmt.Sprintf("alice<p%d", i))
		names = append(names, fmt.Sprintf("p%d/desk", i))
	}
	w := newWorld(b, sees...)
	w.online(append(names, "alice/desk")...)
	subscribers, _, err := w.Subscribers(b.Context(), person("alice"))
	if err != nil {
		b.Fatal(err)
	}
	w.known = subscribers
	for _, d := range w.desks {
		d.got, d.count = nil, 0
	}
	st, err := stanza.Decode([]byte("<presence xmlns='jabber:client'><show>away</show><status>Lunch</status></presence>"))
	if err != nil {
		b.Fatal(err)
	}
	st.From = w.desks["alice/desk"].full
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := w.p.HandleStanza(b.Context(), st); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if got := w.desks["p7/desk"].count; got != n {
		b.Fatalf("%d of %d delivered", got, n)
	}
}
