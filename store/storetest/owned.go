package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

// blobs is the common part of the contracts of Private and VCards.
func blobs(t *testing.T, open Opener, missing error,
	read func(context.Context, Store, jid.JID) ([]byte, error), write func(context.Context, Store, jid.JID, []byte) error,
) {
	s, reopen := begin(t, open)
	none := func(t *testing.T, owner jid.JID) {
		t.Helper()
		if got, err := read(t.Context(), s, owner); err != nil || got != nil {
			t.Fatalf("got %q, %v, want none", got, err)
		}
	}
	t.Run("none yet", func(t *testing.T) { none(t, alice) })
	t.Run("missing owner", func(t *testing.T) {
		none(t, nobody)
		wantErr(t, write(t.Context(), s, nobody, []byte("<x/>")), missing)
		wantErr(t, write(t.Context(), s, nobody, nil), missing)
	})
	for name, text := range tricky {
		t.Run(name, func(t *testing.T) {
			must(t, write(t.Context(), s, alice, []byte(text)))
			wantBytes(t, get[[]byte](t)(read(t.Context(), s, alice)), text)
			none(t, bob)
		})
	}
	t.Run("removed", func(t *testing.T) {
		must(t, write(t.Context(), s, alice, nil))
		none(t, alice)
		must(t, write(t.Context(), s, alice, []byte{}))
		none(t, alice)
	})
	t.Run("parallel writers", func(t *testing.T) {
		ctx := context.WithoutCancel(t.Context())
		must(t, errors.Join(parallel(20, func(i int) error {
			return write(ctx, s, bob, []byte(strings.Repeat(string(rune('a'+i)), 1000)))
		})...))
		got := get[[]byte](t)(read(ctx, s, bob))
		if len(got) != 1000 || strings.Trim(string(got), string(got[:1])) != "" {
			t.Fatalf("a mixture of writes: %.40q", got)
		}
	})
	t.Run("a megabyte outlives a restart", func(t *testing.T) {
		big := strings.Repeat("0123456789abcdef", 1<<16)
		must(t, write(t.Context(), s, unicode, []byte(big)))
		wantBytes(t, get[[]byte](t)(read(t.Context(), s, unicode)), big)
		if reopen != nil {
			wantBytes(t, get[[]byte](t)(read(t.Context(), reopen(), unicode)), big)
		}
	})
}

// Private is the contract of [private.Store].
func Private(t *testing.T, open Opener) {
	blobs(t, open, private.ErrNotFound,
		func(ctx context.Context, s Store, j jid.JID) ([]byte, error) {
			return s.Private(ctx, j, "storage:bookmarks", "storage")
		},
		func(ctx context.Context, s Store, j jid.JID, xml []byte) error {
			return setPrivate(ctx, s, j, "storage:bookmarks", "storage", xml)
		})
	t.Run("limits", func(t *testing.T) { privateLimits(t, open) })
	t.Run("names are apart", func(t *testing.T) {
		s, _ := begin(t, open)
		names := [][2]string{{"a", "b"}, {"a", "c"}, {"b", "a"}, {"", "ab"}, {"ab", ""}, {"A", "b"}, {"甲", "乙"}, {"a:", "b"}, {"a", ":b"}}
		for i, n := range names {
			must(t, setPrivate(t.Context(), s, alice, n[0], n[1], []byte(fmt.Sprint(i))))
		}
		for i, n := range names {
			wantBytes(t, get[[]byte](t)(s.Private(t.Context(), alice, n[0], n[1])), fmt.Sprint(i))
		}
		must(t, setPrivate(t.Context(), s, alice, "a", "b", nil))
		wantBytes(t, get[[]byte](t)(s.Private(t.Context(), alice, "a", "c")), "1")
	})
}

// privateLimit bounds the elements of an owner in the tests, the owner's several
// names included.
const privateLimit = 10

func setPrivate(ctx context.Context, s Store, owner jid.JID, space, local string, xml []byte) error {
	return s.SetPrivate(ctx, owner, privateLimit, private.Element{Space: space, Local: local, XML: xml})
}

func privateLimits(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	element := func(local, xml string) private.Element {
		return private.Element{Space: "u", Local: local, XML: []byte(xml)}
	}
	want := func(local, xml string) {
		t.Helper()
		wantBytes(t, get[[]byte](t)(s.Private(t.Context(), alice, "u", local)), xml)
	}
	must(t, s.SetPrivate(t.Context(), alice, 3, element("a", "1"), element("b", "1"), element("c", "1")))
	wantErr(t, s.SetPrivate(t.Context(), alice, 3, element("d", "1")), private.ErrFull)
	wantErr(t, s.SetPrivate(t.Context(), alice, 3, element("a", "2"), element("d", "2"), element("e", "")), private.ErrFull)
	want("a", "1") // all or none
	want("d", "")
	must(t, s.SetPrivate(t.Context(), alice, 3, element("a", "3"), element("d", "3"), element("b", "")))
	want("a", "3")
	want("b", "")
	want("d", "3")
	must(t, s.SetPrivate(t.Context(), alice, 1, element("a", "4"))) // a lowered limit
	want("a", "4")
	wantErr(t, s.SetPrivate(t.Context(), alice, 1, element("e", "4")), private.ErrFull)
	must(t, s.SetPrivate(t.Context(), bob, 1, element("e", "4"))) // each owner has a limit
	errs := parallel(20, func(i int) error {
		return s.SetPrivate(t.Context(), bob, 5, element(fmt.Sprint(i), "1"))
	})
	kept := 0
	for _, err := range errs {
		if err == nil {
			kept++
		} else {
			wantErr(t, err, private.ErrFull)
		}
	}
	if kept != 4 {
		t.Errorf("%d of 20 at the same time were kept, room was for 4", kept)
	}
}

// VCards is the contract of [vcard.Store].
func VCards(t *testing.T, open Opener) {
	blobs(t, open, vcard.ErrNotFound,
		func(ctx context.Context, s Store, j jid.JID) ([]byte, error) { return s.VCard(ctx, j) },
		func(ctx context.Context, s Store, j jid.JID, xml []byte) error { return s.SetVCard(ctx, j, xml) })
}

// Info is the contract of [info.Store].
func Info(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	want := func(t *testing.T, s Store, owner jid.JID, at time.Time, status string) {
		t.Helper()
		got, text, ok, err := s.LastSeen(t.Context(), owner)
		must(t, err)
		if !ok || !got.Equal(at) || text != status {
			t.Fatalf("%v %.80q %v, want %v %.80q", got, text, ok, at, status)
		}
	}
	for _, owner := range []jid.JID{alice, nobody} {
		t.Run("none for "+owner.Local(), func(t *testing.T) {
			if at, _, ok, err := s.LastSeen(t.Context(), owner); err != nil || ok || !at.IsZero() {
				t.Fatalf("%v, %v, %v", at, ok, err)
			}
		})
	}
	t.Run("missing owner", func(t *testing.T) {
		wantErr(t, s.SetLastSeen(t.Context(), nobody, created, ""), info.ErrNotFound)
	})
	for name, text := range tricky {
		t.Run(name, func(t *testing.T) {
			must(t, s.SetLastSeen(t.Context(), alice, created, text))
			want(t, s, alice, created, text)
		})
	}
	for name, at := range map[string]time.Time{"zero": {}, "before 1970": time.Unix(-1, 0), "far": time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(name, func(t *testing.T) {
			must(t, s.SetLastSeen(t.Context(), alice, at, ""))
			want(t, s, alice, at, "")
		})
	}
	must(t, s.SetLastSeen(t.Context(), bob, created, "bye"))
	if reopen != nil {
		want(t, reopen(), bob, created, "bye")
	}
}

// Deletion asks that an account takes all it owns with it, and that its
// successor of the same name starts anew.
func Deletion(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	fill := func(owner jid.JID) {
		save(t, s, owner, []roster.Item{item(1), item(2)})
		save(t, s, owner, nil, user(2))
		must(t, s.Append(t.Context(), owner, 10, offline.Message{Stamp: created, XML: []byte("<message/>")}))
		must(t, setPrivate(t.Context(), s, owner, "a", "b", []byte("<b/>")))
		must(t, s.SetVCard(t.Context(), owner, []byte("<vCard/>")))
		must(t, s.SetLastSeen(t.Context(), owner, created, "bye"))
	}
	count := func(t *testing.T, owner jid.JID) (n int) {
		t.Helper()
		n += len(get[roster.Roster](t)(s.Roster(t.Context(), owner)).Items)
		n += get[int](t)(s.Count(t.Context(), owner))
		n += len(get[[]offline.Message](t)(s.Messages(t.Context(), owner, 10)))
		if get[[]byte](t)(s.Private(t.Context(), owner, "a", "b")) != nil {
			n++
		}
		if get[[]byte](t)(s.VCard(t.Context(), owner)) != nil {
			n++
		}
		_, _, ok, err := s.LastSeen(t.Context(), owner)
		must(t, err)
		if ok {
			n++
		}
		return n
	}
	want := func(name string, owner jid.JID, n int) {
		t.Run(name, func(t *testing.T) {
			if got := count(t, owner); got != n {
				t.Fatalf("%s owns %d things, want %d", owner, got, n)
			}
		})
	}
	fill(alice)
	fill(bob)
	must(t, s.DeleteAccount(t.Context(), alice))
	want("deleted", alice, 0)
	want("others keep theirs", bob, 6)
	must(t, s.CreateAccounts(t.Context(), []auth.Account{account(alice)}, nil))
	want("successor", alice, 0)
	if reopen != nil {
		s = reopen()
		want("successor after a restart", alice, 0)
		want("others after a restart", bob, 6)
	}
}
