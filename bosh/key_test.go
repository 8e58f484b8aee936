package bosh_test

import (
	"strings"
	"testing"

	"github.com/deskline/deskline/bosh"
)

// sequence returns K(n) … K(1) of a seed (XEP-0124 §15.3).
func sequence(seed string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		seed = bosh.KeyHash(seed)
		keys[n-1-i] = seed
	}
	return keys
}

// XEP-0124 §15: requests that show they are the same client's.
func TestKeys(t *testing.T) {
	one, two := sequence("one", 4), sequence("two", 3)
	type request struct {
		attrs string
		ok    bool
	}
	key := func(k string) string { return "key='" + k + "'" }
	for _, tc := range []struct {
		name, first string
		requests    []request
	}{
		{"a sequence", one[0], []request{{key(one[1]), true}, {key(one[2]), true}, {key(one[3]), true}}},
		{"case does not matter", strings.ToUpper(one[0]), []request{{key(one[1]), true}}},
		{"another sequence at its end", one[0], []request{
			{key(one[1]), true}, {key(one[2]), true}, {key(one[3]) + " newkey='" + two[0] + "'", true}, {key(two[1]), true}, {key(two[2]), true},
		}},
		{"another sequence before its end", one[0], []request{{key(one[1]) + " newkey='" + two[0] + "'", true}, {key(two[1]), true}}},
		{"the old sequence after a new one", one[0], []request{{key(one[1]) + " newkey='" + two[0] + "'", true}, {key(one[2]), false}}},
		{"no key", one[0], []request{{"", false}}},
		{"a wrong key", one[0], []request{{key(one[1]), true}, {key(two[1]), false}}},
		{"the same key twice", one[0], []request{{key(one[1]), true}, {key(one[1]), false}}},
		{"a key left out", one[0], []request{{key(one[2]), false}}},
		{"a new key does not replace the right one", one[0], []request{{"newkey='" + two[0] + "'", false}}},
		{"none at the creation, none wanted", "", []request{{"", true}, {key("x"), true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			attrs := "wait='30' hold='1'"
			if tc.first != "" {
				attrs += " newkey='" + tc.first + "'"
			}
			f := b.create(attrs)
			for i, r := range tc.requests {
				_, body := b.post(t.Context(), f.body(101+i, r.attrs, echo("a")))
				if r.ok {
					wantIn(t, "response", body, "<message id='a'/>")
					continue
				}
				wantIn(t, "response", body, "type='terminate' condition='item-not-found'")
				want(t, "log", <-f.ended, "item-not-found: key sequence broken")
				if got := strings.Fields(f.got()); len(got) != i {
					t.Fatalf("a request without its key was processed: %v", got)
				}
			}
		})
	}
	t.Run("overtaken", func(t *testing.T) {
		b := newBench(t, bosh.Config{})
		f := b.create("wait='30' hold='1' newkey='" + one[0] + "'")
		later := b.hold(1, f.body(102, key(one[2]), note("b")))
		want(t, "first", b.mustPost(f.body(101, key(one[1]), note("a"))), nothing)
		f.write(t, "<x/>")
		wantIn(t, "second", <-later, "<x/>")
		want(t, "received", f.got(), "a b")
	})
	t.Run("repeat", func(t *testing.T) {
		b := newBench(t, bosh.Config{})
		f := b.create("wait='30' hold='1' newkey='" + one[0] + "'")
		body := b.mustPost(f.body(101, key(one[1]), echo("a")))
		want(t, "exact copy", b.mustPost(f.body(101, key(one[1]), echo("a"))), body)
		wantIn(t, "by somebody else", b.mustPost(f.body(101, key("x"), echo("a"))), "condition='item-not-found'")
	})
}

func (b *bench) mustPost(body string) string {
	b.t.Helper()
	_, out := b.post(b.t.Context(), body)
	return out
}
