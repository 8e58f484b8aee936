package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/xmpp/jid"
)

// Records is the contract of a [store.Target]; stores that are none skip it.
func Records(t *testing.T, open Opener) {
	s, _ := open(t)
	if _, ok := s.(store.Target); !ok {
		t.Skip("cannot be copied")
	}
	t.Run("all there is", func(t *testing.T) { recordsWhole(t, open) })
	t.Run("pages", func(t *testing.T) { recordsPages(t, open) })
	t.Run("replaced", func(t *testing.T) { recordsReplaced(t, open) })
	t.Run("life goes on", func(t *testing.T) { recordsLive(t, open) })
	t.Run("copy", func(t *testing.T) {
		from, _ := open(t)
		Fill(t, from)
		to, reopen := open(t)
		sums := get[[]store.Sum](t)(store.Copy(t.Context(), from.(store.Source), to.(store.Target), store.Options{From: "a"}))
		if sums[0].Count != 4 {
			t.Fatalf("%+v", sums)
		}
		if reopen != nil {
			to = reopen()
		}
		wantSame(t, from, to)
	})
}

// Fill writes some of everything that a store keeps, and much that a careless
// copy would damage.
func Fill(t *testing.T, s Store) {
	t.Helper()
	plain := auth.Account{JID: jid.MustParse("plain@example.org"), Created: created, Changed: created, Disabled: true}
	list := []auth.Account{account(alice), account(bob), account(unicode), plain}
	must(t, s.CreateAccounts(t.Context(), list, nil))
	for _, owner := range []jid.JID{alice, unicode} {
		n := 0
		for name, text := range tricky {
			n++
			save(t, s, owner, []roster.Item{{
				JID: user(n), Name: name, Groups: []string{text, ""}, Request: []byte(text), Subscription: roster.Subscription(n & 3),
				Ask: n&1 != 0, PendingIn: n&2 != 0, Approved: n&4 != 0,
			}})
			at := created.Add(time.Duration(n) * time.Microsecond)
			must(t, s.Append(t.Context(), owner, plenty, offline.Message{Stamp: at, XML: []byte(text)}))
			must(t, s.SetPrivate(t.Context(), owner, plenty, private.Element{Space: text[:min(len(text), 20)], Local: name, XML: []byte(text)}))
			must(t, s.SetVCard(t.Context(), owner, []byte(text)))
			must(t, s.SetLastSeen(t.Context(), owner, at, text))
		}
		save(t, s, owner, nil, user(1), user(2))
		must(t, s.Remove(t.Context(), owner, get[[]offline.Message](t)(s.Messages(t.Context(), owner, 1))[0].ID))
	}
	if m, ok := s.(MetaStore); ok {
		for name, text := range tricky {
			must(t, m.SetMeta(t.Context(), name, []byte(text)))
		}
	}
	if c, ok := s.(cluster.Store); ok {
		get[uint64](t)(c.SaveAssignments(t.Context(), []cluster.Assignment{{User: alice, Home: homeAB}, {User: unicode, Home: homeC}}))
		get[uint64](t)(c.SaveAssignments(t.Context(), []cluster.Assignment{{User: nobody, Home: homeC}, {User: alice}}))
		must(t, c.SaveClusterRecord(t.Context(), cluster.Record{Key: "pair/a+b", Data: []byte("1\n2\x00")}, true))
		must(t, c.SaveClusterRecord(t.Context(), cluster.Record{Key: "layout"}, false))
	}
	if h, ok := s.(presence.Histories); ok {
		must(t, h.SaveChanges(t.Context(), []presence.Change{
			change(alice, 1, presence.Available), change(unicode, 2, presence.DND), change(alice, 3, presence.Unavailable),
		}, plenty))
	}
	if g, ok := s.(people.Store); ok {
		must(t, g.SaveGroupRecord(t.Context(), people.Record{Name: "Büro, 2", Domain: "example.com", Authorised: true}))
		must(t, g.SaveGroupRecord(t.Context(), people.Record{Name: "CN=a\\,b, OU=c"}))
	}
	if x, ok := s.(SessionStore); ok {
		must(t, x.SaveSessions(t.Context(), []snapshot{{"b", "bosh", []byte("{}")}, {"a", "websocket", nil}}))
	}
}

func accountRecords(t *testing.T, s Store, domain string) []store.Record {
	t.Helper()
	return get[[]store.Record](t)(s.(store.Target).Records(t.Context(), domain, "", plenty))
}

// wantSame compares all of two stores.
func wantSame(t *testing.T, a, b Store) {
	t.Helper()
	nothing := func(int) {}
	want := get[[]store.Sum](t)(store.Sums(t.Context(), a.(store.Source), nothing))
	got := get[[]store.Sum](t)(store.Sums(t.Context(), b.(store.Source), nothing))
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("copied\n%+v, want\n%+v", got, want)
	}
}

func recordsWhole(t *testing.T, open Opener) {
	s, _ := open(t)
	Fill(t, s)
	target := s.(store.Target)
	domains := get[[]string](t)(target.Domains(t.Context()))
	if !reflect.DeepEqual(domains, []string{domain, "example.org", unicode.Domain()}) {
		t.Fatalf("domains %q", domains)
	}
	if n := get[int](t)(target.CountAccounts(t.Context())); n != 4 {
		t.Fatalf("%d accounts", n)
	}
	list := accountRecords(t, s, domain)
	if len(list) != 2 || list[0].Account.JID != alice || list[1].Account.JID != bob {
		t.Fatalf("%d accounts of %s", len(list), domain)
	}
	a, b := list[0], list[1]
	r := get[roster.Roster](t)(s.Roster(t.Context(), alice))
	if !reflect.DeepEqual(a.Roster, r) || len(a.Removed) != 2 || a.Removed[0].Ver != r.Ver || a.Removed[1].JID != user(2) {
		t.Fatalf("roster %+v, removed %+v, want %+v", a.Roster, a.Removed, r)
	}
	if _, _, _, ok, err := s.Since(t.Context(), alice, a.Floor); err != nil || !ok {
		t.Fatalf("the history does not reach back to the floor: %v", err)
	}
	n := len(tricky)
	if len(a.Messages) != n-1 || len(a.Private) != n || len(a.VCard) == 0 || !a.Seen {
		t.Fatalf("%d messages, %d private, %d of a vCard, seen %v", len(a.Messages), len(a.Private), len(a.VCard), a.Seen)
	}
	if len(b.Roster.Items)+len(b.Removed)+len(b.Messages)+len(b.Private)+len(b.VCard) != 0 || b.Seen || b.Roster.Ver != b.Floor {
		t.Fatalf("bob owns %+v", b)
	}
	if list := get[[]store.Value](t)(target.Values(t.Context())); len(list) != n {
		t.Fatalf("%d values", len(list))
	}
	for range 2 { // again does no harm
		c := get[store.Cluster](t)(target.Cluster(t.Context()))
		if c.Epoch != 3 || len(c.Assignments) != 3 || len(c.Records) != 2 || c.Assignments[0].User != unicode || c.Assignments[2].Epoch != 2 {
			t.Fatalf("cluster %+v", c)
		}
		must(t, target.RestoreCluster(t.Context(), c))
	}
	for range 2 { // they stay
		list := get[[]store.Snapshot](t)(target.Sessions(t.Context()))
		if len(list) != 2 || list[0].SID != "b" || list[1].Kind != "websocket" {
			t.Fatalf("sessions %+v", list)
		}
	}
}

func recordsPages(t *testing.T, open Opener) {
	s, _ := open(t)
	var list []auth.Account
	for i := range 7 {
		list = append(list, account(user(i)))
	}
	must(t, s.CreateAccounts(t.Context(), list, nil))
	for _, tc := range []struct{ after, max, first, count int }{{-1, 3, 0, 3}, {2, 3, 3, 3}, {5, 3, 6, 1}, {6, 3, 7, 0}, {-1, 0, 0, 0}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			after := ""
			if tc.after >= 0 {
				after = user(tc.after).Local()
			}
			got := get[[]store.Record](t)(s.(store.Target).Records(t.Context(), domain, after, tc.max))
			if len(got) != tc.count || tc.count > 0 && got[0].Account.JID != user(tc.first) {
				t.Fatalf("%d accounts: %+v", len(got), got)
			}
		})
	}
}

func recordsReplaced(t *testing.T, open Opener) {
	from, _ := open(t)
	Fill(t, from)
	to, reopen := begin(t, open)
	must(t, to.SetVCard(t.Context(), bob, []byte("<old/>")))
	must(t, to.Append(t.Context(), alice, plenty, message(1)))
	save(t, to, bob, []roster.Item{item(9)})
	target := to.(store.Target)
	must(t, target.Restore(t.Context(), nil))
	for range 2 { // again does no harm
		for _, d := range get[[]string](t)(from.(store.Source).Domains(t.Context())) {
			must(t, target.Restore(t.Context(), accountRecords(t, from, d)))
		}
	}
	if reopen != nil {
		to = reopen()
	}
	for _, d := range []string{domain, "example.org", unicode.Domain()} {
		want, got := accountRecords(t, from, d), accountRecords(t, to, d)
		for i := range want {
			want[i].Messages, got[i].Messages = nil, nil // with other IDs
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n%+v, want\n%+v", d, got, want)
		}
	}
	all := get[[]auth.Account](t)(to.ListAccounts(t.Context(), domain, "", plenty))
	if len(all) != 2 {
		t.Fatalf("%d accounts are listed", len(all))
	}
	broken := accountRecords(t, from, domain)
	broken[1].Account.JID = jid.MustParse("alice@example.com/desk")
	if err := to.(store.Target).Restore(t.Context(), broken[1:]); err == nil {
		t.Fatal("restored a full address")
	}
}

// recordsLive uses accounts after they were restored.
func recordsLive(t *testing.T, open Opener) {
	from, _ := open(t)
	Fill(t, from)
	to, _ := open(t)
	must(t, to.(store.Target).Restore(t.Context(), accountRecords(t, from, domain)))
	wantAccount(t, to, account(alice))
	cached := get[roster.Roster](t)(to.Roster(t.Context(), alice)).Ver
	save(t, to, alice, []roster.Item{item(50)})
	changed, removed, _, ok, err := to.Since(t.Context(), alice, cached)
	if err != nil || !ok || len(changed) != 1 || len(removed) != 0 {
		t.Fatalf("since the copy: %+v, %v, %v, %v", changed, removed, ok, err)
	}
	if _, err := to.Save(t.Context(), alice, cached, nil, nil); !errors.Is(err, roster.ErrConflict) {
		t.Fatalf("stale version: %v", err)
	}
	before := get[[]offline.Message](t)(to.Messages(t.Context(), alice, plenty))
	must(t, to.Append(t.Context(), alice, plenty, message(1)))
	after := get[[]offline.Message](t)(to.Messages(t.Context(), alice, plenty))
	if len(after) != len(before)+1 || after[len(before)].ID <= before[len(before)-1].ID {
		t.Fatalf("%d messages after %d", len(after), len(before))
	}
	// Successors begin above all that clients may have cached.
	for _, owner := range []jid.JID{alice, bob} {
		old := get[roster.Roster](t)(to.Roster(t.Context(), owner)).Ver
		must(t, to.DeleteAccount(t.Context(), owner))
		must(t, to.CreateAccounts(t.Context(), []auth.Account{account(owner)}, nil))
		if now := get[roster.Roster](t)(to.Roster(t.Context(), owner)).Ver; now <= old {
			t.Fatalf("successor of %s begins at %d, before %d", owner, now, old)
		}
	}
}
