package bosh_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
)

// A page that was reloaded goes on with the rid after one that its browser
// never sent.
func TestWindowLostRequest(t *testing.T) {
	acks := params()
	acks.Acks = true
	for _, tc := range []struct {
		name    string
		p       bosh.Params
		waiting bosh.Arrival
		after   time.Duration
		gone    bool
	}{
		{"a poll waits a little", params(), bosh.Arrival{RID: 12, Empty: true}, time.Second, false},
		{"a poll waits long enough", params(), bosh.Arrival{RID: 12, Empty: true}, 2 * time.Second, true},
		{"a payload waits a little", params(), bosh.Arrival{RID: 12}, 4 * time.Second, false},
		{"a payload waits long enough", params(), bosh.Arrival{RID: 12}, 5 * time.Second, true},
		{"nothing is missing", params(), bosh.Arrival{RID: 11, Empty: true}, time.Minute, false},
		{"acknowledgements would confirm it", acks, bosh.Arrival{RID: 12, Empty: true}, time.Minute, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := opened(tc.p, 10)
			if v := w.Accept(tc.waiting, start); v.Outcome != bosh.Fresh {
				t.Fatalf("%+v", v)
			}
			if gone := w.GiveUp(start.Add(tc.after)); gone != tc.gone {
				t.Fatalf("given up: %v", gone)
			}
			if tc.gone && !slices.Equal(process(w), []uint64{12}) {
				t.Fatal("the waiting request was not processed")
			}
		})
	}
	t.Run("the client sends more than it could", func(t *testing.T) {
		w := opened(params(), 10)
		w.Accept(bosh.Arrival{RID: 12, Empty: true}, start)
		if v := w.Accept(bosh.Arrival{RID: 13}, start); v.Outcome != bosh.Fresh {
			t.Fatalf("%+v", v)
		}
		if done := process(w); !slices.Equal(done, []uint64{12, 13}) {
			t.Fatalf("processed %v", done)
		}
		w.Answer([]byte("<body/>"), nil, start)
		if v := w.Accept(bosh.Arrival{RID: 11}, start); v.Outcome != bosh.Fresh {
			t.Fatalf("the lost request came after all: %+v", v)
		}
		if done := process(w); !slices.Equal(done, []uint64{11}) {
			t.Fatalf("processed %v", done)
		}
		if v := w.Accept(bosh.Arrival{RID: 14}, start); v.Outcome != bosh.Refuse {
			t.Fatalf("more than the window: %+v", v)
		}
	})
}

// A request that was only delayed is before later ones with what it has to say,
// and after them with what it is told.
func TestWindowLateRequest(t *testing.T) {
	late := func(p bosh.Params) *bosh.Window {
		w := opened(p, 10)
		w.Accept(bosh.Arrival{RID: 12, Empty: true}, start)
		if !w.GiveUp(start.Add(2*time.Second)) || !slices.Equal(process(w), []uint64{12}) {
			t.Fatal("the poll was not processed")
		}
		return w
	}
	three := params()
	three.Requests = 3
	t.Run("comes", func(t *testing.T) {
		w := late(params())
		w.Answer([]byte("news"), nil, start)
		w.Accept(bosh.Arrival{RID: 13}, start)
		if done := process(w); done != nil {
			t.Fatalf("processed %v before what is missing", done)
		}
		w.Accept(bosh.Arrival{RID: 11}, start)
		if done := process(w); !slices.Equal(done, []uint64{11, 13}) {
			t.Fatalf("processed %v", done)
		}
		if rid, ok := w.Oldest(); !ok || rid != 11 || !w.Passed() {
			t.Fatal("may be told what comes after the news", rid, ok)
		}
		w.Answer([]byte("nothing"), nil, start)
		if w.Passed() {
			t.Fatal("13 is in order")
		}
	})
	t.Run("comes before the next is answered", func(t *testing.T) {
		w := late(params())
		w.Accept(bosh.Arrival{RID: 11}, start)
		if process(w); w.Passed() {
			t.Fatal("11 is in order")
		}
	})
	t.Run("does not come", func(t *testing.T) {
		w := late(three)
		w.Accept(bosh.Arrival{RID: 13}, start)
		if done := process(w); done != nil || w.GiveUp(start.Add(4*time.Second)) {
			t.Fatalf("processed %v in doubt", done)
		}
		if !w.GiveUp(start.Add(5*time.Second)) || !slices.Equal(process(w), []uint64{13}) {
			t.Fatal("waits for ever")
		}
	})
	t.Run("cannot come", func(t *testing.T) {
		w := late(params())
		w.Accept(bosh.Arrival{RID: 13}, start) // beside 12 there is no room for 11
		if done := process(w); !slices.Equal(done, []uint64{13}) {
			t.Fatalf("processed %v", done)
		}
	})
}

// overtaken is a session in which a request came, and was answered, before the one
// ahead of it.
func overtaken(t *testing.T) (b *bench, f *fake, answer <-chan string) {
	t.Helper()
	b = newBench(t, bosh.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	f = b.create("")
	answer = b.later(t.Context(), f.body(102, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	return b, f, answer
}

// What was sent just before a page was reloaded may never come; the session
// goes on all the same.
func TestLostRequest(t *testing.T) {
	b, f, poll := overtaken(t)
	wantIn(t, "poll after the lost request", <-poll, "<x/>")
	// One more, whose successor shows that nobody waits for it any more.
	poll = b.later(t.Context(), f.body(104, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	last := b.later(t.Context(), f.body(105, "", note("a")))
	wantIn(t, "poll", <-poll, "<body")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<y/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "last", <-last, "<y/>")
	if got := f.got(); got != "a" {
		t.Fatalf("received %q", got)
	}
}

// A poll that was stuck for longer than the session waited for it gets nothing of
// what came after the responses that its client has.
func TestLateRequest(t *testing.T) {
	b, f, poll := overtaken(t)
	wantIn(t, "poll after the stuck one", <-poll, "<x/>")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<y/>")}); err != nil {
		t.Fatal(err)
	}
	if got := <-b.later(t.Context(), f.body(101, "", "")); strings.Contains(got, "<y/>") {
		t.Fatalf("told before what came first: %s", got)
	}
	wantIn(t, "next poll", <-b.later(t.Context(), f.body(103, "", "")), "<y/>")
}
