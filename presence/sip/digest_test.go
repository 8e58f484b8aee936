package sip

import (
	"strings"
	"testing"
	"time"
)

func FuzzDigest(f *testing.F) {
	users := Users{"a": strings.Repeat("0", 32), "b": strings.Repeat("0", 64)}
	f.Add(`Digest username="a", realm="desk", nonce="x", uri="sip:a@b", response="0", qop=auth, nc=00000001, cnonce="c"`)
	f.Add(`Digest username="b", realm="desk", algorithm=SHA-256, qop=auth`)
	f.Add(`Digest a="\`)
	f.Fuzz(func(t *testing.T, header string) {
		if ok, _ := newGate("desk", users).check(header, "PUBLISH", "sip:a@b"); ok {
			t.Errorf("%q signs in", header)
		}
	})
}

func FuzzUsers(f *testing.F) {
	f.Add("# comment\ncucm:desk:0123456789abcdef0123456789abcdef\n")
	f.Add("a:b\n")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := parseUsers(strings.NewReader(text), "users", "desk")
		for name, key := range users {
			if err == nil && (name == "" || len(key) != 32 && len(key) != 64) {
				t.Errorf("%q: %q", name, key)
			}
		}
	})
}

func TestNonce(t *testing.T) {
	now := time.Now()
	g := newGate("desk", nil)
	g.now = func() time.Time { return now }
	n := g.nonce()
	if !g.fresh(n) || g.fresh("") || g.fresh(n[1:]+"A") || newGate("desk", nil).fresh(n) {
		t.Error("a nonce is taken that was not made here, or not one that was")
	}
	if now = now.Add(nonceLife); g.fresh(n) {
		t.Error("an old nonce is fresh")
	}
}

// TestNonces are counted within a bound, and the old ones make room.
func TestNonces(t *testing.T) {
	now := time.Now()
	g := newGate("desk", nil)
	g.now = func() time.Time { return now }
	for range maxNonces {
		if !g.count(g.nonce(), 1) {
			t.Fatal("refused too early")
		}
	}
	if g.count(g.nonce(), 1) || len(g.seen) != maxNonces {
		t.Errorf("%d nonces are kept", len(g.seen))
	}
	now = now.Add(2 * nonceLife)
	if !g.count(g.nonce(), 1) || len(g.seen) != 1 {
		t.Errorf("%d nonces are kept", len(g.seen))
	}
}
