package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// History is the contract of [presence.Histories]; stores that are none skip it.
func History(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	h, ok := s.(presence.Histories)
	if !ok {
		t.Skip("keeps no history")
	}
	ctx := t.Context()
	save := func(max int, changes ...presence.Change) {
		t.Helper()
		must(t, h.SaveChanges(ctx, changes, max))
	}
	want := func(user jid.JID, from, until, max int, changes ...presence.Change) {
		t.Helper()
		got := get[[]presence.Change](t)(h.Changes(ctx, user, moment(from), moment(until), max))
		if !slices.Equal(got, changes) {
			t.Fatalf("from %d until %d got %v, want %v", from, until, got, changes)
		}
	}
	save(plenty)
	want(alice, 0, 100, plenty)
	a1, a2, a3, a4 := change(alice, 10, presence.Available), change(alice, 20, presence.OnThePhone), change(alice, 30, presence.Away), change(alice, 40, presence.Unavailable)
	odd := presence.Change{User: unicode, At: moment(10), State: presence.DND, Why: `calendar: 甲 "\ '%`}
	save(plenty, a1, odd, a3, change(nobody, 10, presence.Away))
	save(plenty, a2, a3, a1) // late, told twice
	save(plenty, a4, change(bob, 10, presence.Available))
	want(alice, 0, 100, plenty, a1, a2, a3, a4)
	want(alice, 20, 40, plenty, a1, a2, a3)
	want(alice, 25, 26, plenty, a2)
	want(alice, 41, 50, plenty, a4)
	want(alice, 15, 50, 2, a1, a2, a3)
	want(alice, 15, 50, 0, a1)
	want(unicode, 0, 100, plenty, odd)
	want(nobody, 0, 100, plenty)
	other := change(alice, 30, presence.Busy)
	save(plenty, other) // of the same time
	want(alice, 0, 100, plenty, a1, a2, other, a4)

	must(t, h.SweepChanges(ctx, moment(30), false)) // a2 says what alice was then
	want(alice, 0, 100, plenty, a2, other, a4)
	must(t, h.SweepChanges(ctx, moment(100), false))
	want(alice, 0, 100, plenty, a4)
	want(bob, 0, 100, plenty, change(bob, 10, presence.Available))
	last := map[jid.JID]presence.Change{}
	must(t, h.LastChanges(ctx, func(some []presence.Change) error {
		for _, c := range some {
			last[c.User] = c
		}
		return nil
	}))
	if len(last) != 3 || last[alice] != a4 || last[unicode] != odd || last[bob] != change(bob, 10, presence.Available) {
		t.Errorf("last %v", last)
	}
	save(3, change(alice, 50, presence.Available), change(alice, 60, presence.Away), change(alice, 70, presence.Available))
	want(alice, 0, 100, plenty, change(alice, 50, presence.Available), change(alice, 60, presence.Away), change(alice, 70, presence.Available))
	if reopen != nil {
		if h, ok = reopen().(presence.Histories); !ok {
			t.Fatal("keeps no history any more")
		}
		want(bob, 0, 100, plenty, change(bob, 10, presence.Available))
	}
	must(t, h.SweepChanges(ctx, moment(100), true))
	want(alice, 0, 100, plenty)
	want(bob, 0, 100, plenty)
}

// HistoryOfMany is the part of the contract that is about accounts that come and go, and writers at the same time.
func HistoryOfMany(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	h, ok := s.(presence.Histories)
	if !ok {
		t.Skip("keeps no history")
	}
	ctx := context.WithoutCancel(t.Context())
	must(t, errors.Join(parallel(20, func(i int) error {
		return h.SaveChanges(ctx, []presence.Change{
			change(alice, i, []presence.Name{presence.Away, presence.Available}[i%2]), change(bob, i, presence.DND), change(bob, i, presence.Away),
		}, plenty)
	})...))
	if got := get[[]presence.Change](t)(h.Changes(ctx, alice, moment(0), moment(100), plenty)); len(got) != 20 {
		t.Errorf("%d changes of alice", len(got))
	}
	got := get[[]presence.Change](t)(h.Changes(ctx, bob, moment(0), moment(100), plenty))
	if len(got) != 20 || got[19] != change(bob, 19, presence.Away) {
		t.Errorf("bob: %v", got)
	}
	must(t, s.DeleteAccount(ctx, bob))
	must(t, h.SaveChanges(ctx, []presence.Change{change(bob, 50, presence.Away)}, plenty)) // late
	must(t, s.CreateAccounts(ctx, []auth.Account{account(bob)}, nil))
	if got := get[[]presence.Change](t)(h.Changes(ctx, bob, moment(0), moment(100), plenty)); len(got) != 0 {
		t.Errorf("the successor of bob: %v", got)
	}
	var many []auth.Account
	var changes []presence.Change
	for i := range 450 { // several chunks
		u := account(jid.MustParse(fmt.Sprintf("u%d@%s", i, domain)))
		many = append(many, u)
		changes = append(changes, change(u.JID, 1, presence.Away), change(u.JID, 2, presence.Available), change(u.JID, 3, presence.Away))
	}
	must(t, s.CreateAccounts(ctx, many, nil))
	must(t, h.SaveChanges(ctx, changes, plenty))
	must(t, h.SweepChanges(ctx, moment(3), false))
	seen := map[jid.JID]bool{}
	must(t, h.LastChanges(ctx, func(some []presence.Change) error {
		for _, c := range some {
			seen[c.User] = true
		}
		return nil
	}))
	if len(seen) != len(many)+1 { // and alice
		t.Errorf("the last changes of %d", len(seen))
	}
	for _, u := range many {
		if got := get[[]presence.Change](t)(h.Changes(ctx, u.JID, moment(0), moment(100), plenty)); len(got) != 2 {
			t.Fatalf("%s: %v", u.JID, got)
		}
	}
}

func moment(s int) time.Time {
	return created.Add(time.Duration(s)*time.Second + 123*time.Microsecond).UTC()
}

func change(user jid.JID, at int, state presence.Name) presence.Change {
	return presence.Change{User: user, At: moment(at), State: state, Why: "resource"}
}
