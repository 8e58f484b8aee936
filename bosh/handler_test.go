package bosh_test

import (
	"context"
	"strings"
	"testing"

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
}

// Copies of a request are answered alike, whichever of them the client waits
// for: a proxy or another node may bring the first one last. Of too many the
// oldest is cut off.
func TestCopiesOfARequest(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	body := f.body(101, "", note("a"))
	copies := make([]<-chan string, bosh.CopiesKept+1)
	for i := range copies {
		copies[i] = b.later(t.Context(), body)
		waitFor(t, func() bool { return b.h.Stats().Held >= min(int64(i)+1, bosh.CopiesKept) })
	}
	if got := <-copies[0]; strings.Contains(got, "<body") {
		t.Fatalf("oldest copy: %s", got)
	}
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
