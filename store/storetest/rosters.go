package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// Rosters is the contract of [roster.Store].
func Rosters(t *testing.T, open Opener) {
	t.Run("save and read", func(t *testing.T) { saveAndRead(t, open) })
	t.Run("texts", func(t *testing.T) { rosterTexts(t, open) })
	t.Run("conflict", func(t *testing.T) { rosterConflict(t, open) })
	t.Run("since", func(t *testing.T) { rosterSince(t, open) })
	t.Run("history is bounded", func(t *testing.T) { rosterHistory(t, open) })
	t.Run("missing owner", func(t *testing.T) { rosterMissing(t, open) })
	t.Run("parallel writers", func(t *testing.T) { rosterParallel(t, open) })
	t.Run("successor of a deleted account", func(t *testing.T) { rosterSuccessor(t, open) })
}

// save is a step of a conversation with a roster.
func save(t *testing.T, s Store, owner jid.JID, put []roster.Item, del ...jid.JID) uint64 {
	t.Helper()
	before := get[roster.Roster](t)(s.Roster(t.Context(), owner)).Ver
	ver := get[uint64](t)(s.Save(t.Context(), owner, before, put, del))
	if ver != before+1 {
		t.Fatalf("saved as version %d, want %d", ver, before+1)
	}
	return ver
}

func item(i int) roster.Item { return roster.Item{JID: user(i), Name: fmt.Sprint("contact ", i)} }

func wantRoster(t *testing.T, s Store, owner jid.JID, ver uint64, want ...roster.Item) {
	t.Helper()
	got := get[roster.Roster](t)(s.Roster(t.Context(), owner))
	if got.Ver != ver {
		t.Fatalf("version %d, want %d", got.Ver, ver)
	}
	if !slices.EqualFunc(got.Items, want, func(a, b roster.Item) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("items\n%+v, want\n%+v", got.Items, want)
	}
}

func saveAndRead(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	var items []roster.Item
	for i := range 32 { // every combination
		items = append(items, roster.Item{
			JID: user(i), Subscription: roster.Subscription(i & 3), Ask: i&4 != 0, PendingIn: i&8 != 0, Approved: i&16 != 0,
		})
	}
	items[1].Name, items[2].Groups, items[8].Request = "One", []string{"b", "a", ""}, []byte("<presence/>")
	mixed := slices.Clone(items)
	slices.Reverse(mixed)
	ver := save(t, s, alice, mixed)
	for i := range items {
		items[i].Ver = ver
	}
	wantRoster(t, s, alice, ver, items...)

	changed := roster.Item{JID: user(2), Name: "Two", Subscription: roster.Both}
	ver = save(t, s, alice, []roster.Item{changed}, user(0), user(1), nobody)
	changed.Ver = ver
	items = append([]roster.Item{changed}, items[3:]...)
	wantRoster(t, s, alice, ver, items...)
	wantRoster(t, s, bob, get[roster.Roster](t)(s.Roster(t.Context(), bob)).Ver)

	both := roster.Item{JID: user(3), Name: "Three"}
	ver = save(t, s, alice, []roster.Item{both}, user(3)) // put wins
	both.Ver = ver
	items[1] = both
	wantRoster(t, s, alice, ver, items...)
	if ver := save(t, s, alice, nil); ver != both.Ver+1 {
		t.Fatalf("saving nothing made version %d", ver)
	}
	if reopen != nil {
		wantRoster(t, reopen(), alice, ver+1, items...)
	}
}

func rosterTexts(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	for name, text := range tricky {
		t.Run(name, func(t *testing.T) {
			it := roster.Item{JID: unicode, Name: text, Groups: []string{text, "", text + "2"}, Request: []byte(text)}
			it.Ver = save(t, s, unicode, []roster.Item{it})
			wantRoster(t, s, unicode, it.Ver, it)
		})
	}
	t.Run("resource-like and domain contacts", func(t *testing.T) {
		a, b := roster.Item{JID: jid.MustParse("gateway.example.net")}, roster.Item{JID: unicode}
		ver := save(t, s, bob, []roster.Item{b, a})
		a.Ver, b.Ver = ver, ver
		wantRoster(t, s, bob, ver, a, b)
	})
}

func rosterConflict(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	first := get[roster.Roster](t)(s.Roster(t.Context(), alice)).Ver
	ver := save(t, s, alice, []roster.Item{item(1)})
	kept := item(1)
	kept.Ver = ver
	for name, wrong := range map[string]uint64{"older": first, "newer": ver + 1, "far": ver + 1<<40, "largest": 1<<64 - 1} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Save(t.Context(), alice, wrong, []roster.Item{item(2)}, []jid.JID{user(1)})
			wantErr(t, err, roster.ErrConflict)
			wantRoster(t, s, alice, ver, kept)
		})
	}
}

func rosterSince(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	v0 := get[roster.Roster](t)(s.Roster(t.Context(), alice)).Ver
	v1 := save(t, s, alice, []roster.Item{item(1), item(2), item(3)})
	v2 := save(t, s, alice, []roster.Item{item(4)}, user(1))
	v3 := save(t, s, alice, []roster.Item{item(2)}, user(3))
	v4 := save(t, s, alice, []roster.Item{item(1)}) // comes back
	for _, tc := range []struct {
		name    string
		ver     uint64
		changed []int
		removed []int
		ok      bool
	}{
		{"from the start", v0, []int{1, 2, 4}, []int{3}, true},
		{"one behind is removed and back", v1, []int{1, 2, 4}, []int{3}, true},
		{"two behind", v2, []int{1, 2}, []int{3}, true},
		{"one behind", v3, []int{1}, nil, true},
		{"up to date", v4, nil, nil, true},
		{"future", v4 + 1, nil, nil, false},
		{"nonsense", 1<<64 - 1, nil, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			changed, removed, now, ok, err := s.Since(t.Context(), alice, tc.ver)
			must(t, err)
			if ok != tc.ok || now != v4 {
				t.Fatalf("ok %v at %d, want %v at %d", ok, now, tc.ok, v4)
			}
			var c, r []jid.JID
			for _, it := range changed {
				c = append(c, it.JID)
			}
			r = append(r, removed...)
			if !slices.Equal(c, users(tc.changed)) || !slices.Equal(r, users(tc.removed)) {
				t.Fatalf("changed %v, removed %v, want %v, %v", c, r, tc.changed, tc.removed)
			}
		})
	}
}

func users(numbers []int) (all []jid.JID) {
	for _, i := range numbers {
		all = append(all, user(i))
	}
	return all
}

// rosterHistory removes more contacts than any history should remember, and
// asks that what is still answered is right.
func rosterHistory(t *testing.T, open Opener) {
	const n = 600
	s, _ := begin(t, open)
	var all []roster.Item
	for i := range n {
		all = append(all, item(i))
	}
	ver := save(t, s, alice, all)
	for i := 0; i < n; i += 10 {
		var del []jid.JID
		for j := range 10 {
			del = append(del, user(i+j))
		}
		if i == n-10 {
			del = del[:9]
		}
		ver = save(t, s, alice, nil, del...)
	}
	if _, _, _, ok, err := s.Since(t.Context(), alice, ver-n/10); err != nil || ok {
		t.Fatalf("history reaches back over %d removals: %v, %v", n, ok, err)
	}
	for back := range uint64(n / 10) {
		_, removed, now, ok, err := s.Since(t.Context(), alice, ver-back)
		must(t, err)
		want := max(0, int(back)*10-1)
		if now != ver || ok && len(removed) != want {
			t.Fatalf("%d versions back: %d removed at %d, want %d at %d", back, len(removed), now, want, ver)
		}
		if back < 5 && !ok {
			t.Fatalf("history forgets the last %d versions", back)
		}
	}
}

func rosterMissing(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	wantRoster(t, s, nobody, 0)
	_, err := s.Save(t.Context(), nobody, 0, []roster.Item{item(1)}, nil)
	wantErr(t, err, roster.ErrNotFound)
	if _, _, _, ok, err := s.Since(t.Context(), nobody, 0); err != nil || ok {
		t.Fatalf("history of a missing owner: %v, %v", ok, err)
	}
}

// rosterParallel lets writers retry on conflict and counts that none is lost.
func rosterParallel(t *testing.T, open Opener) {
	const writers, each = 8, 10
	s, _ := begin(t, open)
	ctx := context.WithoutCancel(t.Context())
	before := get[roster.Roster](t)(s.Roster(ctx, alice)).Ver
	errs := parallel(writers, func(w int) error {
		for i := range each {
			for {
				r, err := s.Roster(ctx, alice)
				if err != nil {
					return err
				}
				_, err = s.Save(ctx, alice, r.Ver, []roster.Item{item(w*each + i)}, nil)
				if err == nil {
					break
				}
				if !errors.Is(err, roster.ErrConflict) {
					return err
				}
			}
		}
		return nil
	})
	must(t, errors.Join(errs...))
	r := get[roster.Roster](t)(s.Roster(ctx, alice))
	if len(r.Items) != writers*each || r.Ver != before+writers*each {
		t.Fatalf("%d items at version %d, want %d at %d", len(r.Items), r.Ver, writers*each, before+writers*each)
	}
	seen := make(map[uint64]bool)
	for _, it := range r.Items {
		seen[it.Ver] = true
	}
	if len(seen) != writers*each {
		t.Fatalf("%d items have %d versions", len(r.Items), len(seen))
	}
}

// rosterSuccessor gives a client of a deleted account's roster nothing of the
// next account of that name but the whole.
func rosterSuccessor(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	save(t, s, alice, []roster.Item{item(1)})
	cached := save(t, s, alice, []roster.Item{item(2)})
	must(t, s.DeleteAccount(t.Context(), alice))
	must(t, s.CreateAccounts(t.Context(), []auth.Account{account(alice)}, nil))
	for i := range 5 {
		if _, _, _, ok, err := s.Since(t.Context(), alice, cached); err != nil || ok {
			t.Fatalf("after %d changes the history reaches into the past: %v, %v", i, ok, err)
		}
		save(t, s, alice, []roster.Item{item(10 + i)})
	}
}
