package bosh_test

import (
	"context"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

func TestOvertakenRequests(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	second := b.later(t.Context(), f.body(102, "", note("two")))
	first := b.later(t.Context(), f.body(101, "", note("one")))
	wantIn(t, "overtaken", <-first, "<body")
	waitFor(t, func() bool { return f.got() == "one two" })
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "held", <-second, "<x/>")
}

func TestRepeats(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	_, one := b.post(t.Context(), f.body(101, "", echo("a")))
	_, again := b.post(t.Context(), f.body(101, "", echo("a")))
	if one != again || f.got() != "a" {
		t.Fatalf("replay %q of %q; received %q", again, one, f.got())
	}
	// While the first copy is held, the repeat takes its place.
	held := b.later(t.Context(), f.body(102, "", note("b")))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	<-time.After(2 * bosh.Doubled) // a client that found its connection broken
	moved := b.later(t.Context(), f.body(102, "", note("b")))
	wantIn(t, "first copy", <-held, "type='error'")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "second copy", <-moved, "<x/>")
	if f.got() != "a b" {
		t.Fatalf("received %q", f.got())
	}
}

// A request that the network has doubled is answered alike, whichever of the
// responses is passed on; of more than two the oldest is let go.
func TestDoubledRequests(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	body := f.body(101, "", note("a"))
	copies := make([]<-chan string, 3)
	for i := range copies {
		copies[i] = b.later(t.Context(), body)
		waitFor(t, func() bool { return b.h.Stats().Held >= min(int64(i)+1, 2) })
	}
	wantIn(t, "oldest copy", <-copies[0], "type='error'")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range copies[1:] {
		wantIn(t, "copy", <-c, "<x/>")
	}
	if f.got() != "a" {
		t.Fatalf("received %q", f.got())
	}
}

func TestReloadWhileHeld(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	ctx, reload := context.WithCancel(t.Context())
	cut := b.later(ctx, f.body(101, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	reload()
	<-cut
	waitFor(t, func() bool { return b.h.Stats().Held == 0 })
	if err := f.conn.Write(session.Frame{Bytes: []byte("<missed/>")}); err != nil {
		t.Fatal(err)
	}
	_, body := b.post(t.Context(), f.body(102, "", ""))
	wantIn(t, "after the reload", body, "<missed/>")
}

func TestUndeliveredIsHandedBack(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	for _, id := range []string{"a", "b"} {
		st := &stanza.Stanza{Kind: stanza.KindMessage, ID: id}
		if err := f.conn.Write(session.Frame{Bytes: []byte("<m/>"), Stanza: st}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-f.ended; len(f.lost) != 2 || f.lost[0].Stanza.ID != "a" {
		t.Fatalf("handed back %v", f.lost)
	}
}
