package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// Accounts is the contract of [auth.Store].
func Accounts(t *testing.T, open Opener) {
	t.Run("create and read", func(t *testing.T) { createAndRead(t, open) })
	t.Run("all or nothing", func(t *testing.T) { allOrNothing(t, open) })
	t.Run("update", func(t *testing.T) { updateAccount(t, open) })
	t.Run("missing", func(t *testing.T) { missingAccount(t, open) })
	t.Run("pages", func(t *testing.T) { pages(t, open) })
	t.Run("many with progress", func(t *testing.T) { many(t, open) })
	t.Run("one of many wins", func(t *testing.T) { oneWins(t, open) })
	t.Run("without keys", func(t *testing.T) { withoutKeys(t, open) })
	t.Run("withdrawn", func(t *testing.T) { withdrawn(t, open) })
}

func createAndRead(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	plain := auth.Account{JID: jid.MustParse("plain@" + domain), Created: created, Changed: created, Disabled: true}
	must(t, s.CreateAccounts(t.Context(), []auth.Account{plain}, nil))
	check := func(t *testing.T, s Store) {
		for _, want := range []auth.Account{account(alice), account(unicode), plain} {
			wantAccount(t, s, want)
		}
	}
	t.Run("at once", func(t *testing.T) { check(t, s) })
	t.Run("after a restart", func(t *testing.T) {
		if reopen == nil {
			t.Skip("not a store that lasts")
		}
		check(t, reopen())
	})
}

func wantAccount(t *testing.T, s Store, want auth.Account) {
	t.Helper()
	got := get[auth.Account](t)(s.Account(t.Context(), want.JID))
	if !got.Created.Equal(want.Created) || !got.Changed.Equal(want.Changed) {
		t.Fatalf("times %v, %v, want %v, %v", got.Created, got.Changed, want.Created, want.Changed)
	}
	got.Created, got.Changed = want.Created, want.Changed
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("account\n%+v, want\n%+v", got, want)
	}
}

func allOrNothing(t *testing.T, open Opener) {
	for name, list := range map[string][]auth.Account{
		"one exists":          {account(user(1)), account(alice), account(user(2))},
		"twice in the list":   {account(user(1)), account(user(2)), account(user(1))},
		"the last one exists": {account(user(1)), account(bob)},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := begin(t, open)
			wantErr(t, s.CreateAccounts(t.Context(), list, nil), auth.ErrExists)
			_, err := s.Account(t.Context(), user(1))
			wantErr(t, err, auth.ErrNotFound)
			wantAccount(t, s, account(alice))
		})
	}
}

func updateAccount(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	for name, text := range tricky {
		a := account(alice)
		a.Name, a.Email, a.Groups = text, text, []string{text, "", text}
		a.Keys = map[string]auth.Keys{"SCRAM-SHA-512": {Salt: []byte(text), Iterations: 1, StoredKey: []byte{}, ServerKey: []byte(text)}}
		a.Changed = a.Changed.Add(time.Minute)
		t.Run(name, func(t *testing.T) {
			must(t, s.UpdateAccount(t.Context(), a))
			wantAccount(t, s, a)
		})
	}
	bare := auth.Account{JID: alice, Created: created, Changed: created, Disabled: true}
	must(t, s.UpdateAccount(t.Context(), bare))
	wantAccount(t, s, bare)
	wantAccount(t, s, account(bob))
	if reopen != nil {
		wantAccount(t, reopen(), bare)
	}
}

func missingAccount(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	for _, j := range []jid.JID{nobody, jid.MustParse("alice@example.org"), jid.MustParse(domain)} {
		t.Run(j.String(), func(t *testing.T) {
			_, err := s.Account(t.Context(), j)
			wantErr(t, err, auth.ErrNotFound)
			wantErr(t, s.DeleteAccount(t.Context(), j), auth.ErrNotFound)
			if j.Local() != "" {
				wantErr(t, s.UpdateAccount(t.Context(), account(j)), auth.ErrNotFound)
			}
		})
	}
	must(t, s.DeleteAccount(t.Context(), alice))
	wantErr(t, s.DeleteAccount(t.Context(), alice), auth.ErrNotFound)
	_, err := s.Account(t.Context(), alice)
	wantErr(t, err, auth.ErrNotFound)
	must(t, s.CreateAccounts(t.Context(), []auth.Account{account(alice)}, nil))
	wantAccount(t, s, account(alice))
}

func pages(t *testing.T, open Opener) {
	s, _ := open(t)
	other := account(jid.MustParse("user00003@example.org"))
	list := []auth.Account{other}
	for _, i := range []int{4, 1, 0, 3, 2} {
		list = append(list, account(user(i)))
	}
	must(t, s.CreateAccounts(t.Context(), list, nil))
	for _, tc := range []struct {
		name, domain, after string
		max                 int
		first, count        int
	}{
		{"first page", domain, "", 2, 0, 2},
		{"second page", domain, "user00001", 2, 2, 2},
		{"last page", domain, "user00003", 2, 4, 1},
		{"behind the last", domain, "user00004", 2, 5, 0},
		{"after one that is gone", domain, "user000015", 10, 2, 3},
		{"all", domain, "", 100, 0, 5},
		{"none", domain, "", 0, 0, 0},
		{"other domain", "example.org", "", 10, 3, 1},
		{"no such domain", "example.net", "", 10, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := get[[]auth.Account](t)(s.ListAccounts(t.Context(), tc.domain, tc.after, tc.max))
			if len(got) != tc.count {
				t.Fatalf("%d accounts, want %d", len(got), tc.count)
			}
			for i, a := range got {
				if a.JID.Local() != user(tc.first+i).Local() || a.JID.Domain() != tc.domain || len(a.Keys) != 2 {
					t.Fatalf("account %d is %+v", i, a)
				}
			}
		})
	}
}

func many(t *testing.T, open Opener) {
	s, _ := open(t)
	list := make([]auth.Account, 1000)
	for i := range list {
		list[i] = account(user(i))
	}
	last := 0
	must(t, s.CreateAccounts(t.Context(), list, func(done int) {
		if done < last || done > len(list) {
			t.Errorf("progress %d after %d", done, last)
		}
		last = done
	}))
	if last != len(list) {
		t.Fatalf("last progress is %d of %d", last, len(list))
	}
	wantAccount(t, s, list[999])
}

func oneWins(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	errs := parallel(20, func(i int) error {
		a := account(user(1))
		a.Name = fmt.Sprint(i)
		return s.CreateAccounts(context.WithoutCancel(t.Context()), []auth.Account{a}, nil)
	})
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case !errors.Is(err, auth.ErrExists):
			t.Fatalf("writer %d: %v", i, err)
		}
	}
	if got := get[auth.Account](t)(s.Account(t.Context(), user(1))); got.Name != fmt.Sprint(winner) {
		t.Fatalf("kept the account of writer %s, acknowledged %d", got.Name, winner)
	}
}

// withoutKeys is somebody whose password is kept elsewhere: all else is as with any
// account, whoever of many nodes makes it first.
func withoutKeys(t *testing.T, open Opener) {
	s, reopen := begin(t, open)
	guest := auth.Account{JID: jid.MustParse("guest@" + domain), Created: created, Changed: created}
	made := 0
	for _, err := range parallel(10, func(int) error {
		return s.CreateAccounts(context.WithoutCancel(t.Context()), []auth.Account{guest}, nil)
	}) {
		if err == nil {
			made++
		} else {
			wantErr(t, err, auth.ErrExists)
		}
	}
	if made != 1 {
		t.Fatalf("made %d times", made)
	}
	wantAccount(t, s, guest)
	save(t, s, guest.JID, []roster.Item{item(1)})
	appendMessages(t, s, guest.JID, 1)
	must(t, setPrivate(t.Context(), s, guest.JID, "a", "b", []byte("<b/>")))
	must(t, s.SetVCard(t.Context(), guest.JID, []byte("<vCard/>")))
	must(t, s.SetLastSeen(t.Context(), guest.JID, created, "bye"))
	if reopen != nil {
		s = reopen()
	}
	wantAccount(t, s, guest)
	wantMessages(t, s, guest.JID, 10, 1)
	wantBytes(t, get[[]byte](t)(s.VCard(t.Context(), guest.JID)), "<vCard/>")
	wantBytes(t, get[[]byte](t)(s.Private(t.Context(), guest.JID, "a", "b")), "<b/>")
	if items := get[roster.Roster](t)(s.Roster(t.Context(), guest.JID)).Items; len(items) != 1 {
		t.Fatalf("contacts %v", items)
	}
	list := get[[]auth.Account](t)(s.ListAccounts(t.Context(), domain, "bob", 10))
	if len(list) != 1 || list[0].JID != guest.JID || len(list[0].Keys) != 0 {
		t.Fatalf("listed %+v", list)
	}
}

func withdrawn(t *testing.T, open Opener) {
	s, _ := begin(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.DeleteAccount(ctx, alice), context.Canceled)
	wantAccount(t, s, account(alice))
}
