// Package leasetest is the contract of [cluster.Lease] and [cluster.Terms], as
// tests that every store of leases has to pass.
//
//	func TestLeases(t *testing.T) {
//		leasetest.Run(t, func(t *testing.T, ttl time.Duration) leasetest.Leases { return open(t, ttl) })
//	}
package leasetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
)

// Leases is what a store of leases offers.
type Leases interface {
	cluster.Lease
	cluster.Terms
}

// Opener returns leases that nobody has taken and that lapse after ttl. It
// closes them when the test ends.
type Opener func(t *testing.T, ttl time.Duration) Leases

const (
	long  = time.Hour
	short = 150 * time.Millisecond
	node  = router.NodeID("n1")
	other = router.NodeID("n2")
)

// Run runs every test.
func Run(t *testing.T, open Opener) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"a lease nobody took", untaken},
		{"terms rise", rising},
		{"nodes have leases of their own", apart},
		{"an older term is lost", lost},
		{"a lease lapses and is revived", revived},
		{"renewal holds on", renewed},
		{"a dropped lease has lapsed", dropped},
		{"a fenced holder is out", fenced},
		{"one of many takes over", raced},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open) })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func hold(t *testing.T, l Leases, n router.NodeID) uint64 {
	t.Helper()
	term, err := l.Hold(t.Context(), n)
	must(t, err)
	return term
}

func want(t *testing.T, l Leases, n router.NodeID, term uint64, held bool) {
	t.Helper()
	got, is, err := l.Term(t.Context(), n)
	must(t, err)
	if got != term || is != held {
		t.Fatalf("term %d held %t, want term %d held %t", got, is, term, held)
	}
}

// lapse waits until the lease of the node has lapsed.
func lapse(t *testing.T, l Leases) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		_, held, err := l.Term(t.Context(), node)
		must(t, err)
		if !held {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the lease does not lapse")
		}
	}
}

func untaken(t *testing.T, open Opener) {
	l := open(t, long)
	want(t, l, node, 0, false)
	wantErr(t, l.Renew(t.Context(), node, 1), cluster.ErrLost)
	wantErr(t, l.Renew(t.Context(), node, 0), cluster.ErrLost)
	must(t, l.Drop(t.Context(), node, 1))
	want(t, l, node, 0, false)
}

func rising(t *testing.T, open Opener) {
	l := open(t, long)
	first := hold(t, l, node)
	second := hold(t, l, node)
	if first == 0 || second <= first {
		t.Fatalf("terms %d and %d", first, second)
	}
	must(t, l.Drop(t.Context(), node, second))
	if third := hold(t, l, node); third <= second {
		t.Fatalf("term %d after %d was dropped", third, second)
	}
}

func apart(t *testing.T, open Opener) {
	l := open(t, long)
	term := hold(t, l, node)
	want(t, l, other, 0, false)
	hold(t, l, other)
	hold(t, l, other)
	want(t, l, node, term, true)
	must(t, l.Renew(t.Context(), node, term))
}

func lost(t *testing.T, open Opener) {
	l := open(t, long)
	old := hold(t, l, node)
	now := hold(t, l, node)
	wantErr(t, l.Renew(t.Context(), node, old), cluster.ErrLost)
	wantErr(t, l.Renew(t.Context(), node, now+1), cluster.ErrLost)
	must(t, l.Drop(t.Context(), node, old))
	want(t, l, node, now, true)
	must(t, l.Renew(t.Context(), node, now))
}

func revived(t *testing.T, open Opener) {
	l := open(t, short)
	term := hold(t, l, node)
	lapse(t, l)
	want(t, l, node, term, false)
	// Nobody was there meanwhile: the store may just have been away.
	must(t, l.Renew(t.Context(), node, term))
	want(t, l, node, term, true)
	lapse(t, l)
	if next := hold(t, l, node); next <= term {
		t.Fatalf("term %d after %d lapsed", next, term)
	}
}

func renewed(t *testing.T, open Opener) {
	l := open(t, 20*short)
	term := hold(t, l, node)
	tick := time.NewTicker(2 * short)
	defer tick.Stop()
	for range 15 { // one and a half times as long as it would last
		<-tick.C
		must(t, l.Renew(t.Context(), node, term))
	}
	want(t, l, node, term, true)
}

func dropped(t *testing.T, open Opener) {
	l := open(t, long)
	term := hold(t, l, node)
	must(t, l.Drop(t.Context(), node, term))
	must(t, l.Drop(t.Context(), node, term))
	want(t, l, node, term, false)
	next, err := l.Fence(t.Context(), node, term)
	must(t, err)
	if next <= term {
		t.Fatalf("fenced with term %d after %d", next, term)
	}
}

func fenced(t *testing.T, open Opener) {
	l := open(t, short)
	_, err := l.Fence(t.Context(), other, 7)
	wantErr(t, err, cluster.ErrLost)
	old := hold(t, l, node)
	lapse(t, l)
	now, err := l.Fence(t.Context(), node, old)
	must(t, err)
	want(t, l, node, now, false)
	wantErr(t, l.Renew(t.Context(), node, old), cluster.ErrLost)
	_, err = l.Fence(t.Context(), node, old)
	wantErr(t, err, cluster.ErrLost)
	// The node comes back and is newer than who took over.
	if term := hold(t, l, node); term <= now {
		t.Fatalf("term %d after it was fenced with %d", term, now)
	}
}

func raced(t *testing.T, open Opener) {
	l := open(t, long)
	held := hold(t, l, node)
	_, err := l.Fence(t.Context(), node, held)
	wantErr(t, err, cluster.ErrHeld)
	must(t, l.Drop(t.Context(), node, held))
	ctx := context.WithoutCancel(t.Context())
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = l.Fence(ctx, node, held) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, cluster.ErrLost):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Fatalf("%d took over", won)
	}
}
