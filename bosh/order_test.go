package bosh_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/bosh"
)

// permutations returns all orders of n numbers from from on.
func permutations(from, n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(from, n-1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, from+n-1))
		}
	}
	return all
}

// XEP-0124 §14.2: whatever order a window of requests arrives in, they are
// processed and answered in the order of their rids.
func TestOrder(t *testing.T) {
	for _, order := range permutations(101, 4) {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := newBench(t, bosh.Config{Hold: 3})
			f := b.create("wait='30' hold='3'")
			answers := make(map[int]<-chan string)
			came := 0
			for i, rid := range order {
				answers[rid] = b.later(t.Context(), f.body(rid, "", note(fmt.Sprint(rid))))
				came++
				if i < 3 {
					waitFor(t, func() bool { return b.h.Stats().Held == int64(came) })
				}
			}
			want(t, "oldest", <-answers[101], nothing)
			waitFor(t, func() bool { return f.got() == "101 102 103 104" })
			for _, rid := range []int{102, 103, 104} {
				f.write(t, fmt.Sprintf("<x%d/>", rid))
				wantIn(t, "response", <-answers[rid], fmt.Sprintf("<x%d/>", rid))
			}
		})
	}
}

// XEP-0124 §11, §14: which rids a session may come with.
func TestWindowOverHTTP(t *testing.T) {
	for _, tc := range []struct {
		name, attrs, payload string
		rid                  int
		want                 string // condition
	}{
		{name: "next", rid: 101, payload: echo("a")},
		{name: "beyond the window", rid: 103, want: "item-not-found"},
		{name: "far beyond the window", rid: 9007199254740991, want: "item-not-found"},
		{name: "zero", rid: 0, want: "item-not-found"},
		{name: "repeat of the creation", rid: 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			f := b.create("")
			_, body := b.post(t.Context(), f.body(tc.rid, tc.attrs, tc.payload))
			if tc.want == "" {
				if strings.Contains(body, "type=") {
					t.Fatal(body)
				}
				return
			}
			wantIn(t, "response", body, "type='terminate' condition='"+tc.want+"'")
			wantIn(t, "log", <-f.ended, tc.want+": ")
			_, late := b.post(t.Context(), f.body(101, "", ""))
			wantIn(t, "late", late, "condition='"+tc.want+"'")
		})
	}
}

// Who sends more requests than agreed without waiting for answers is stopped,
// whether the first of them is processed or still at work.
func TestTooManyRequests(t *testing.T) {
	for _, tc := range []struct {
		name, attrs, payload string
		rid                  int
		want                 string
	}{
		{name: "one too many", rid: 103, payload: note("c"), want: "policy-violation"},
		{name: "far beyond", rid: 150, payload: note("c"), want: "item-not-found"},
		{name: "to pause", rid: 103, attrs: "pause='10'"},
		{name: "to terminate", rid: 103, attrs: "type='terminate'"},
		{name: "to pause, but two", rid: 104, attrs: "pause='10'", want: "policy-violation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			f := b.create("")
			one := b.hold(1, f.body(101, "", blocking))
			two := b.hold(2, f.body(102, "", note("b")))
			rid := tc.rid
			if rid == 104 {
				b.hold(3, f.body(103, "pause='10'", ""))
			}
			three := b.later(t.Context(), f.body(rid, tc.attrs, tc.payload))
			if tc.want == "" {
				waitFor(t, func() bool { return b.h.Stats().Held == 3 })
				close(f.gate)
				wantIn(t, "oldest", <-one, "<body "+ns)
				want(t, "next", <-two, nothing)
				wantIn(t, "last", <-three, "<body "+ns)
				want(t, "received", f.got(), "wait b")
				return
			}
			wantIn(t, "last", <-three, "condition='"+tc.want+"'")
			wantIn(t, "oldest", <-one, "condition='"+tc.want+"'")
			wantIn(t, "next", <-two, "condition='other-request'")
			close(f.gate)
			wantIn(t, "log", <-f.ended, tc.want)
		})
	}
}

// XEP-0124 §14.3: connections break at any moment.
func TestBrokenConnections(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	cut := func(rid int, payload string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		gone := b.later(ctx, f.body(rid, "", payload))
		waitFor(t, func() bool { return b.h.Stats().Held == 1 })
		cancel()
		<-gone
		waitFor(t, func() bool { return b.h.Stats().Held == 0 })
	}
	t.Run("while held, then the same again", func(t *testing.T) {
		cut(101, note("a"))
		f.write(t, "<missed/>")
		_, body := b.post(t.Context(), f.body(101, "", note("a")))
		wantIn(t, "response", body, "<missed/>")
		want(t, "received", f.got(), "a")
	})
	t.Run("while held, then the same again and nothing to say", func(t *testing.T) {
		cut(102, note("b"))
		held := b.hold(1, f.body(102, "", note("b")))
		f.write(t, "<later/>")
		wantIn(t, "response", <-held, "<later/>")
		want(t, "received", f.got(), "a b")
	})
	t.Run("response lost", func(t *testing.T) {
		_, first := b.post(t.Context(), f.body(103, "", echo("c")))
		for range 3 {
			_, body := b.post(t.Context(), f.body(103, "", echo("c")))
			want(t, "replay", body, first)
		}
		want(t, "received", f.got(), "a b c")
	})
	t.Run("two responses lost", func(t *testing.T) {
		_, one := b.post(t.Context(), f.body(104, "", echo("d")))
		_, two := b.post(t.Context(), f.body(105, "", echo("e")))
		_, body := b.post(t.Context(), f.body(104, "", echo("d")))
		want(t, "replay of the older", body, one)
		_, body = b.post(t.Context(), f.body(105, "", echo("e")))
		want(t, "replay of the newer", body, two)
		want(t, "received", f.got(), "a b c d e")
	})
	t.Run("more responses lost than requests were allowed", func(t *testing.T) {
		_, body := b.post(t.Context(), f.body(103, "", echo("c")))
		wantIn(t, "response", body, "condition='item-not-found'")
	})
	t.Run("and the session goes on: that copy was late", func(t *testing.T) {
		_, body := b.post(t.Context(), f.body(106, "", echo("f")))
		wantIn(t, "response", body, "f")
		want(t, "received", f.got(), "a b c d e f")
	})
}

// The responses to pauses take no other's place among those kept.
func TestPauseResponsesDoNotCount(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	one := b.hold(1, f.body(101, "", blocking))
	two := b.hold(2, f.body(102, "", note("b")))
	pause := b.hold(3, f.body(103, "pause='10'", ""))
	f.write(t, "<x/>")
	close(f.gate)
	first, second := <-one, <-two
	want(t, "pause", <-pause, nothing)
	for rid, response := range map[int]string{101: first, 102: second, 103: nothing} {
		_, body := b.post(t.Context(), f.body(rid, "", ""))
		want(t, "replay", body, response)
	}
}

// Several stanzas in one body, both ways.
func TestSeveralStanzas(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	_, body := b.post(t.Context(), f.body(101, "", echo("a")+note("b")+"<presence type='echo' id='c'/>"+"\n "))
	wantIn(t, "response", body, "<message id='a'/>")
	want(t, "received", f.got(), "a b c")
	f.write(t, "<x/>", "<y/>", "<z/>")
	_, body = b.post(t.Context(), f.body(102, "", ""))
	wantIn(t, "response", body, "<x/><y/><z/></body>")
}

// XEP-0124 §9: acknowledgements both ways.
func TestAcknowledgements(t *testing.T) {
	b := newBench(t, bosh.Config{Hold: 2})
	_, body := b.post(t.Context(), "<body rid='100' to='example.com' ver='1.11' wait='30' hold='2' ack='1' "+ns+"/>")
	wantIn(t, "creation", body, " ack='100'")
	f := <-b.sess
	one := b.hold(1, f.body(101, "", ""))
	b.hold(2, f.body(102, "", ""))
	f.write(t, "<a/>")
	// 101 is answered when 102 has come: it says so.
	want(t, "answer to 101", <-one, "<body "+ns+" ack='102'><a/></body>")
	// The client has not got that, and says so by 100.
	late := b.later(t.Context(), f.body(103, "ack='100'", ""))
	_ = late
	waitFor(t, func() bool { return b.h.Stats().Held < 2 })
	_, body = b.post(t.Context(), f.body(101, "", ""))
	want(t, "replay of 101", body, "<body "+ns+" ack='102'><a/></body>")
}

// The response that a client seems to miss is reported at once, with its age,
// and kept for as long as it is not acknowledged.
func TestReport(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("wait='30' hold='1' ack='1'")
	_, one := b.post(t.Context(), f.body(101, "", echo("a")))
	for rid := 102; rid < 110; rid++ {
		_, body := b.post(t.Context(), f.body(rid, "ack='100'", ""))
		wantIn(t, "response", body, " report='101' time='")
	}
	_, body := b.post(t.Context(), f.body(101, "", echo("a")))
	want(t, "replay of what was never acknowledged", body, one)
	// All is well again: nothing is reported, and the request is held.
	held := b.hold(1, f.body(110, "", ""))
	f.write(t, "<x/>")
	want(t, "response", <-held, "<body "+ns+"><x/></body>")
	_, body = b.post(t.Context(), f.body(101, "", echo("a")))
	wantIn(t, "acknowledged long ago", body, "condition='item-not-found'")
}
