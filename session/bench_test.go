package session_test

import (
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// sink is a transport that takes everything and keeps nothing.
type sink struct {
	conn
	n int
}

func (s *sink) Write(frames ...session.Frame) error {
	s.n += len(frames)
	return nil
}

// BenchmarkMessage takes a chat message from the sender's door through the
// session and the router to the receiver's door.
func BenchmarkMessage(b *testing.B) {
	for _, bc := range []struct {
		name, to  string
		receivers int
	}{
		{"FullJID", "bob@example.com/0", 1},
		{"BareJID_1Resource", "bob@example.com", 1},
		{"BareJID_3Resources", "bob@example.com", 3},
	} {
		b.Run(bc.name, func(b *testing.B) {
			w := newWorld(b, nil)
			alice := w.bound("alice@example.com/desk")
			sinks := make([]*sink, bc.receivers)
			for i := range sinks {
				sinks[i] = &sink{}
				c := w.boundBy(sinks[i], "bob@example.com/"+string(rune('0'+i)))
				c.says("<presence xmlns='jabber:client'/>", "")
				sinks[i].n = 0
			}
			text := []byte(message(bc.to, "m1"))
			n, err := stanza.ParseFrame(text, stanza.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			w.quiet = true
			b.ReportAllocs()
			sent := 0
			for b.Loop() {
				if err := alice.Receive(b.Context(), n); err != nil {
					b.Fatal(err)
				}
				sent++
			}
			for _, s := range sinks {
				if s.n != sent {
					b.Fatalf("%d of %d delivered", s.n, sent)
				}
			}
		})
	}
}
