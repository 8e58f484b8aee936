package jid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/deskline/deskline/xmpp/jid"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"domain", "example.com", "example.com"},
		{"bare", "alice@example.com", "alice@example.com"},
		{"full", "alice@example.com/desk", "alice@example.com/desk"},
		{"case mapped", "Alice@EXAMPLE.com/Desk", "alice@example.com/Desk"},
		{"resource keeps slash and at", "a@b/c/d@e", "a@b/c/d@e"},
		{"domain with resource", "example.com/x@y", "example.com/x@y"},
		{"unicode local", "Jürgen@example.com", "jürgen@example.com"},
		{"full width local", "ａlice@example.com", "alice@example.com"},
		{"idn", "a@BÜCHER.example", "a@bücher.example"},
		{"a-label to u-label", "a@xn--bcher-kva.example", "a@bücher.example"},
		{"ip4", "a@127.0.0.1", "a@127.0.0.1"},
		{"ip6", "a@[::1]/r", "a@[::1]/r"},
		{"root dot", "a@example.com./r", "a@example.com/r"},
		{"resource space", "a@example.com/my desk", "a@example.com/my desk"},
		{"resource unicode space", "a@example.com/my\u00a0desk", "a@example.com/my desk"},
		{"plus local", "a+b@example.com", "a+b@example.com"},
		{"localhost", "alice@localhost", "alice@localhost"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j, err := jid.Parse(tc.in)
			if err != nil || j.String() != tc.want {
				t.Fatalf("Parse(%q) = %q, %v; want %q", tc.in, j, err, tc.want)
			}
			again, err := jid.Parse(j.String())
			if err != nil || again != j {
				t.Fatalf("prepared form %q parses to %#v, %v; want %#v", j, again, err, j)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "@example.com", "a@", "a@/r", "a@example.com/", "/r", "a b@example.com", "a'b@example.com", "a<b@example.com",
		"a@b@c", "a@exa mple.com", "a@-example.com", "a@exam..ple", "a@example.com/\x01", "a\x00@example.com", "a@[::1", "a@[fe80::1%eth0]",
		strings.Repeat("a", 1024) + "@example.com", "a@example.com/" + strings.Repeat("r", 1024), "\xff@example.com", "_b.example", "a@b_c",
	} {
		if j, err := jid.Parse(in); !errors.Is(err, jid.ErrMalformed) {
			t.Errorf("Parse(%q) = %q, %v; want ErrMalformed", in, j, err)
		}
	}
}

func TestParts(t *testing.T) {
	j := jid.MustParse("alice@example.com/desk")
	if j.Local() != "alice" || j.Domain() != "example.com" || j.Resource() != "desk" || j.IsBare() || j.IsZero() {
		t.Fatalf("parts of %q: %q %q %q", j, j.Local(), j.Domain(), j.Resource())
	}
	if b := j.Bare(); b != jid.MustParse("alice@example.com") || !b.IsBare() {
		t.Fatalf("Bare = %#v", b)
	}
	if d := j.DomainJID(); d != jid.MustParse("example.com") {
		t.Fatalf("DomainJID = %#v", d)
	}
	if r, err := j.WithResource("phone"); err != nil || r != jid.MustParse("alice@example.com/phone") {
		t.Fatalf("WithResource = %#v, %v", r, err)
	}
	if (jid.JID{}).String() != "" || !(jid.JID{}).IsZero() {
		t.Fatal("zero JID is not absent")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b/c", "example.com", "ß@ß/ß", "a@[::1]", "a@xn--bcher-kva", "A@B/C", "a@b.c-d./é", "a@0xn--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := jid.Parse(s)
		if err != nil {
			return
		}
		again, err := jid.Parse(j.String())
		if err != nil {
			// Some IDNA mappings are not stable under a second pass; such an
			// address must not have been accepted.
			t.Fatalf("accepted %q as %q, which is refused: %v", s, j, err)
		}
		if again != j {
			t.Fatalf("%q → %q → %q", s, j, again)
		}
		if joined, err := jid.New(j.Local(), j.Domain(), j.Resource()); err != nil || joined != j {
			t.Fatalf("New of the parts of %q = %q, %v", j, joined, err)
		}
	})
}

func BenchmarkParse_Full(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jid.Parse("alice.miller@chat.example.com/desktop-4711"); err != nil {
			b.Fatal(err)
		}
	}
}
