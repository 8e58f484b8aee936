package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/deskline/deskline/cluster"
)

// Assignments is the contract of a [cluster.Store] within a store; stores that
// are none skip it.
func Assignments(t *testing.T, open Opener) {
	ClusterStore(t, func(t *testing.T) (cluster.Store, func() cluster.Store) {
		base, reopen := open(t)
		s, ok := base.(cluster.Store)
		if !ok {
			t.Skip("keeps no cluster")
		}
		if reopen == nil {
			return s, nil
		}
		return s, func() cluster.Store { again, _ := reopen().(cluster.Store); return again }
	})
}

// ClusterOpener is an [Opener] of a store that keeps a cluster alone.
type ClusterOpener func(t *testing.T) (s cluster.Store, reopen func() cluster.Store)

// ClusterStore is the contract of a [cluster.Store].
func ClusterStore(t *testing.T, open ClusterOpener) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, ClusterOpener)
	}{
		{"assignments", assignments},
		{"pages of assignments", assignmentPages},
		{"records", records},
		{"many at once", racingRecords},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open) })
	}
}

var (
	homeAB = cluster.Home{Primary: "a", Secondary: "b"}
	homeC  = cluster.Home{Primary: "c"}
)

// wantAssigned compares the assignments behind an epoch, in any order.
func wantAssigned(t *testing.T, s cluster.Store, after uint64, want ...cluster.Assignment) {
	t.Helper()
	got := get[[]cluster.Assignment](t)(s.Assignments(t.Context(), cluster.Assignment{Epoch: after}, 100))
	rest := map[cluster.Assignment]bool{}
	for _, a := range want {
		rest[a] = true
	}
	for i, a := range got {
		if !rest[a] || i > 0 && a.Epoch < got[i-1].Epoch {
			t.Fatalf("assignments after %d: %v, want %v", after, got, want)
		}
		delete(rest, a)
	}
	if len(rest) > 0 {
		t.Fatalf("assignments after %d: %v, want %v", after, got, want)
	}
}

func wantEpoch(t *testing.T, s cluster.Store, want uint64) {
	t.Helper()
	if got := get[uint64](t)(s.ClusterEpoch(t.Context())); got != want {
		t.Fatalf("epoch %d, want %d", got, want)
	}
}

func assignments(t *testing.T, open ClusterOpener) {
	s, reopen := open(t)
	wantEpoch(t, s, 0)
	wantAssigned(t, s, 0)
	// Users need no account here: they may be in a directory.
	first := get[uint64](t)(s.SaveAssignments(t.Context(), []cluster.Assignment{{User: alice, Home: homeAB}, {User: unicode, Home: homeC}, {User: nobody, Home: homeC}}))
	if first == 0 {
		t.Fatal("the epoch was not raised")
	}
	wantEpoch(t, s, first)
	second := get[uint64](t)(s.SaveAssignments(t.Context(), []cluster.Assignment{{User: alice, Home: homeAB}, {User: alice, Home: homeC}, {User: nobody, Epoch: 99}}))
	if second <= first {
		t.Fatalf("epoch %d after %d", second, first)
	}
	if reopen != nil {
		s = reopen()
	}
	wantEpoch(t, s, second)
	wantAssigned(t, s, 0, cluster.Assignment{User: unicode, Home: homeC, Epoch: first},
		cluster.Assignment{User: alice, Home: homeC, Epoch: second}, cluster.Assignment{User: nobody, Epoch: second})
	wantAssigned(t, s, first, cluster.Assignment{User: alice, Home: homeC, Epoch: second}, cluster.Assignment{User: nobody, Epoch: second})
	wantAssigned(t, s, second)
	if third := get[uint64](t)(s.SaveAssignments(t.Context(), nil)); third <= second {
		t.Fatalf("epoch %d after %d", third, second)
	}
}

func assignmentPages(t *testing.T, open ClusterOpener) {
	s, _ := open(t)
	const users = 257
	var list []cluster.Assignment
	for i := range users {
		list = append(list, cluster.Assignment{User: user(i), Home: homeAB})
		if len(list) == 100 {
			get[uint64](t)(s.SaveAssignments(t.Context(), list))
			list = nil
		}
	}
	get[uint64](t)(s.SaveAssignments(t.Context(), list))
	seen := map[string]bool{}
	for after := (cluster.Assignment{}); ; {
		page := get[[]cluster.Assignment](t)(s.Assignments(t.Context(), after, 10))
		if len(page) > 10 {
			t.Fatalf("a page of %d", len(page))
		}
		for _, a := range page {
			if seen[a.User.String()] {
				t.Fatalf("%s is there twice", a.User)
			}
			seen[a.User.String()] = true
			after = a
		}
		if len(page) < 10 {
			break
		}
	}
	if len(seen) != users {
		t.Fatalf("%d users, want %d", len(seen), users)
	}
}

func records(t *testing.T, open ClusterOpener) {
	s, reopen := open(t)
	want := func(want ...cluster.Record) {
		t.Helper()
		got := get[[]cluster.Record](t)(s.ClusterRecords(t.Context()))
		if len(got) != len(want) {
			t.Fatalf("%d records, want %d", len(got), len(want))
		}
		for i, r := range got {
			if r.Key != want[i].Key || r.Version != want[i].Version {
				t.Fatalf("record %d: %s version %d, want %s version %d", i, r.Key, r.Version, want[i].Key, want[i].Version)
			}
			wantBytes(t, r.Data, string(want[i].Data))
		}
	}
	save := func(key, data string, version uint64, raise bool) error {
		return s.SaveClusterRecord(t.Context(), cluster.Record{Key: key, Data: []byte(data), Version: version}, raise)
	}
	want()
	wantErr(t, save("pair/a+b", "x", 1, false), cluster.ErrConflict)
	must(t, save("pair/a+b", "one", 0, false))
	wantErr(t, save("pair/a+b", "lost", 0, true), cluster.ErrConflict)
	wantEpoch(t, s, 0)
	must(t, save("pair/a+b", "two\x00", 1, false))
	must(t, save("layout", "", 0, true))
	if get[uint64](t)(s.ClusterEpoch(t.Context())) == 0 {
		t.Fatal("the epoch was not raised")
	}
	if reopen != nil {
		s = reopen()
	}
	want(cluster.Record{Key: "layout", Version: 1}, cluster.Record{Key: "pair/a+b", Data: []byte("two\x00"), Version: 2})
}

func racingRecords(t *testing.T, open ClusterOpener) {
	s, _ := open(t)
	ctx := context.WithoutCancel(t.Context())
	const writers = 20
	// Each one's change gets through, none is overwritten unseen.
	must(t, errors.Join(parallel(writers, func(i int) error {
		for {
			all, err := s.ClusterRecords(ctx)
			if err != nil {
				return err
			}
			r := cluster.Record{Key: "pair/a+b"}
			if len(all) > 0 {
				r = all[0]
			}
			r.Data = fmt.Append(r.Data, "x")
			if err = s.SaveClusterRecord(ctx, r, i%2 == 0); !errors.Is(err, cluster.ErrConflict) {
				return err
			}
		}
	})...))
	r := get[[]cluster.Record](t)(s.ClusterRecords(ctx))
	if len(r) != 1 || len(r[0].Data) != writers || r[0].Version != writers {
		t.Fatalf("%d records, %+v", len(r), r)
	}
	epochs := make([]uint64, writers)
	must(t, errors.Join(parallel(writers, func(i int) (err error) {
		epochs[i], err = s.SaveAssignments(ctx, []cluster.Assignment{{User: user(i), Home: homeAB}})
		return err
	})...))
	seen := map[uint64]bool{}
	for _, e := range epochs {
		if seen[e] {
			t.Fatalf("two changes made epoch %d", e)
		}
		seen[e] = true
	}
}
