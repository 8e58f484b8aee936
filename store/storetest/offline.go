package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/xmpp/jid"
)

// Offline is the contract of [offline.Store].
func Offline(t *testing.T, open Opener) {
	t.Run("order and removal", func(t *testing.T) { offlineOrder(t, open) })
	t.Run("limit", func(t *testing.T) { offlineLimit(t, open) })
	t.Run("contents", func(t *testing.T) { offlineContents(t, open) })
	t.Run("origins", func(t *testing.T) { offlineOrigins(t, open) })
	t.Run("missing owner", func(t *testing.T) { offlineMissing(t, open) })
	t.Run("parallel writers", func(t *testing.T) { offlineParallel(t, open) })
}

const plenty = 1000

func message(i int) offline.Message {
	return offline.Message{Stamp: created.Add(time.Duration(-i) * time.Second), XML: fmt.Appendf(nil, "<message id='%d'/>", i)}
}

func appendMessages(t *testing.T, s Store, owner jid.JID, numbers ...int) {
	t.Helper()
	for _, i := range numbers {
		must(t, s.Append(t.Context(), owner, plenty, message(i)))
	}
}

// wantMessages checks numbers, count and order, and returns the IDs.
func wantMessages(t *testing.T, s Store, owner jid.JID, limit int, numbers ...int) (ids []int64) {
	t.Helper()
	got := get[[]offline.Message](t)(s.Messages(t.Context(), owner, limit))
	if len(got) != len(numbers) {
		t.Fatalf("%d messages, want %d", len(got), len(numbers))
	}
	for i, m := range got {
		want := message(numbers[i])
		wantBytes(t, m.XML, string(want.XML))
		if !m.Stamp.Equal(want.Stamp) {
			t.Fatalf("message %d of %v, want %v", i, m.Stamp, want.Stamp)
		}
		if i > 0 && m.ID <= got[i-1].ID {
			t.Fatalf("ID %d after %d", m.ID, got[i-1].ID)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

func offlineOrder(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	wantMessages(t, s, alice, plenty)
	for i := range 5 { // two owners' messages in turn
		appendMessages(t, s, alice, i)
		appendMessages(t, s, bob, 100+i)
	}
	ids := wantMessages(t, s, alice, plenty, 0, 1, 2, 3, 4)
	wantMessages(t, s, alice, 2, 0, 1)
	wantMessages(t, s, alice, 0)
	must(t, s.Remove(t.Context(), alice, ids[0]-1))
	wantMessages(t, s, alice, plenty, 0, 1, 2, 3, 4)
	must(t, s.Remove(t.Context(), alice, ids[2]))
	wantMessages(t, s, alice, plenty, 3, 4)
	must(t, s.Remove(t.Context(), alice, ids[2])) // again does no harm
	wantMessages(t, s, alice, plenty, 3, 4)
	must(t, s.Remove(t.Context(), alice, ids[4]))
	appendMessages(t, s, alice, 5)
	must(t, s.Remove(t.Context(), alice, ids[4])) // late: IDs are not used again
	if reopen != nil {
		s = reopen()
	}
	last := wantMessages(t, s, alice, plenty, 5)
	if last[0] <= ids[4] {
		t.Fatalf("ID %d was used before", last[0])
	}
	wantMessages(t, s, bob, plenty, 100, 101, 102, 103, 104)
}

func offlineLimit(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	for i := range 3 {
		must(t, s.Append(t.Context(), alice, 3, message(i)))
	}
	wantErr(t, s.Append(t.Context(), alice, 3, message(3)), offline.ErrFull)
	wantErr(t, s.Append(t.Context(), alice, 2, message(3)), offline.ErrFull) // the limit was lowered
	wantErr(t, s.Append(t.Context(), bob, 0, message(3)), offline.ErrFull)
	must(t, s.Append(t.Context(), bob, 3, message(0))) // each owner has its own
	must(t, s.Append(t.Context(), alice, 4, message(3)))
	ids := wantMessages(t, s, alice, plenty, 0, 1, 2, 3)
	must(t, s.Remove(t.Context(), alice, ids[1]))
	must(t, s.Append(t.Context(), alice, 3, message(4)))
	wantMessages(t, s, alice, plenty, 2, 3, 4)
	if n := get[int](t)(s.Count(t.Context(), alice)); n != 3 {
		t.Fatalf("count %d, want 3", n)
	}
}

func offlineContents(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	for name, text := range tricky {
		t.Run(name, func(t *testing.T) {
			m := offline.Message{ID: 77, Stamp: created, XML: []byte(text)}
			must(t, s.Append(t.Context(), unicode, plenty, m))
			got := get[[]offline.Message](t)(s.Messages(t.Context(), unicode, plenty))
			if len(got) != 1 {
				t.Fatalf("%d messages", len(got))
			}
			wantBytes(t, got[0].XML, text)
			must(t, s.Remove(t.Context(), unicode, got[0].ID))
		})
	}
}

func offlineMissing(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	wantErr(t, s.Append(t.Context(), nobody, plenty, message(1)), offline.ErrNotFound)
	wantMessages(t, s, nobody, plenty)
	must(t, s.Remove(t.Context(), nobody, 1<<62))
	if n := get[int](t)(s.Count(t.Context(), nobody)); n != 0 {
		t.Fatalf("count %d", n)
	}
}

// offlineParallel lets more writers try than the limit admits.
func offlineParallel(t *testing.T, open Opener) {
	const limit, writers = 25, 40
	s, _ := begin(t, open)
	ctx := context.WithoutCancel(t.Context())
	accepted := make(map[string]bool)
	for i, err := range parallel(writers, func(i int) error { return s.Append(ctx, alice, limit, message(i)) }) {
		if err == nil {
			accepted[string(message(i).XML)] = true
		} else if !errors.Is(err, offline.ErrFull) {
			t.Fatal(err)
		}
	}
	kept := get[[]offline.Message](t)(s.Messages(ctx, alice, writers))
	for _, m := range kept {
		if !accepted[string(m.XML)] {
			t.Fatalf("kept %s, which was refused", m.XML)
		}
	}
	if len(accepted) != limit || len(kept) != limit {
		t.Fatalf("accepted %d, kept %d, limit %d", len(accepted), len(kept), limit)
	}
}

// offlineOrigins keeps what comes twice once, also when it was delivered
// meanwhile.
func offlineOrigins(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	put := func(i int, sender string, request, place uint64) error {
		m := message(i)
		m.Origin = offline.Origin{Sender: sender, Request: request, Place: place}
		return s.Append(t.Context(), alice, 3, m)
	}
	must(t, put(1, "a", 1<<50, 0))
	must(t, put(2, "a", 1<<50, 1))
	must(t, put(1, "a", 1<<50, 0))
	must(t, put(2, "a", 1<<50, 1))
	must(t, put(3, "b", 7, 0))
	must(t, put(3, "b", 7, 0)) // known, though there is no room
	if err := put(4, "b", 8, 0); !errors.Is(err, offline.ErrFull) {
		t.Fatalf("full: %v", err)
	}
	ids := wantMessages(t, s, alice, plenty, 1, 2, 3)
	must(t, s.Remove(t.Context(), alice, ids[2]))
	if reopen != nil {
		s = reopen()
	}
	must(t, put(3, "b", 7, 0))
	must(t, put(2, "a", 1<<50, 1))
	must(t, put(4, "b", 8, 0)) // it was refused, not kept
	must(t, put(4, "b", 8, 0))
	wantMessages(t, s, alice, plenty, 4)
}
