package presence_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/stanza"
)

// BenchmarkBroadcast tells 50 contacts, each with one resource on this node, of
// a change.
func BenchmarkBroadcast_50Contacts(b *testing.B) { broadcast(b, func(*presence.Config) {}) }

// BenchmarkBroadcast_50Contacts_History does the same with a history that is kept.
func BenchmarkBroadcast_50Contacts_History(b *testing.B) {
	broadcast(b, func(c *presence.Config) { c.Histories, c.Keep = &ledger{}, time.Hour })
}

func broadcast(b *testing.B, change func(*presence.Config)) {
	b.Helper()
	var sees, names []string
	for i := range 50 {
		sees = append(sees, fmt.Sprintf("alice<p%d", i))
		names = append(names, fmt.Sprintf("p%d/desk", i))
	}
	w := newWorldWith(b, change, sees...)
	w.online(append(names, "alice/desk")...)
	subscribers, _, err := w.Subscribers(b.Context(), person("alice"))
	if err != nil {
		b.Fatal(err)
	}
	w.known = subscribers
	for _, d := range w.desks {
		d.got, d.count = nil, 0
	}
	var words []*stanza.Stanza
	for _, show := range []string{"away", "dnd"} {
		st, err := stanza.Decode([]byte("<presence xmlns='jabber:client'><show>" + show + "</show><status>Lunch</status></presence>"))
		if err != nil {
			b.Fatal(err)
		}
		st.From = w.desks["alice/desk"].full
		words = append(words, st)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := w.p.HandleStanza(b.Context(), words[n%2]); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if got := w.desks["p7/desk"].count; got != n {
		b.Fatalf("%d of %d delivered", got, n)
	}
}
