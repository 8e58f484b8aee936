package redis

import (
	"reflect"
	"testing"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// FuzzItem reads any text as an item of a roster: what is taken is written as
// it is read.
func FuzzItem(f *testing.F) {
	for _, it := range []roster.Item{
		{Ver: 1},
		{Ver: 1 << 50, Name: "Alice\n7", Groups: []string{"a", ""}, Subscription: roster.Both, Ask: true, Request: []byte("<presence/>")},
		{Name: "甲", PendingIn: true, Approved: true},
	} {
		value, err := encodeItem(it)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(value))
	}
	f.Add("1 2 3\n")
	f.Add("1 0 18446744073709551615 1\nx")
	f.Fuzz(func(t *testing.T, value string) {
		it, err := decodeItem("alice@example.com", value)
		if err != nil {
			return
		}
		if it.JID != jid.MustParse("alice@example.com") {
			t.Fatal(it.JID)
		}
		again, err := encodeItem(it)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeItem("alice@example.com", string(again)); err != nil || !reflect.DeepEqual(back, it) {
			t.Fatalf("%+v, %v, want %+v", back, err, it)
		}
	})
}

// FuzzPrivateName keeps the names of two elements apart.
func FuzzPrivateName(f *testing.F) {
	f.Add("a", "b")
	f.Add("", ":1")
	f.Add("1:", "")
	f.Fuzz(func(t *testing.T, space, local string) {
		list, err := decodePrivate(map[string]string{privateName(space, local): "x"})
		if err != nil || list[0].Space != space || list[0].Local != local {
			t.Fatalf("%q %q: %+v, %v", space, local, list, err)
		}
	})
}
