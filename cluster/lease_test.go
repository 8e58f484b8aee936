package cluster_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/cluster/leasetest"
	"github.com/deskline/deskline/router"
)

func TestLeases(t *testing.T) {
	leasetest.Run(t, func(_ *testing.T, ttl time.Duration) leasetest.Leases { return cluster.NewLeases(ttl) })
}

// flaky is a store that can be away.
type flaky struct {
	cluster.Lease
	away atomic.Bool
}

func (f *flaky) Renew(ctx context.Context, node router.NodeID, term uint64) error {
	if f.away.Load() {
		return errors.New("store away")
	}
	return f.Lease.Renew(ctx, node, term)
}

func TestHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 6 * time.Second
		leases := cluster.NewLeases(ttl)
		store := &flaky{Lease: leases}
		held := func() bool { _, held, _ := leases.Term(t.Context(), "n1"); return held }
		var lost []uint64
		cfg := cluster.HolderConfig{Lease: store, Node: "n1", TTL: ttl, Lost: func(term uint64) { lost = append(lost, term) }, Log: quiet()}
		h, err := cluster.TakeLease(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- h.Run(t.Context()) }()
		time.Sleep(10 * ttl)
		if !held() || h.Term() != 1 {
			t.Errorf("held %t under term %d after a while", held(), h.Term())
		}
		store.away.Store(true)
		time.Sleep(2 * ttl)
		if held() || h.Term() != 1 {
			t.Errorf("held %t under term %d while the store is away", held(), h.Term())
		}
		store.away.Store(false)
		time.Sleep(ttl)
		if !held() || h.Term() != 1 {
			t.Errorf("held %t under term %d when the store is back", held(), h.Term())
		}
		store.away.Store(true)
		time.Sleep(2 * ttl)
		if _, err := leases.Fence(t.Context(), "n1", 1); err != nil {
			t.Error(err)
		}
		store.away.Store(false)
		if err := <-done; !errors.Is(err, cluster.ErrLost) {
			t.Errorf("ended with %v", err)
		}
		if h.Term() != 0 || len(lost) != 1 || lost[0] != 1 {
			t.Errorf("term %d, lost %d", h.Term(), lost)
		}

		// A goodbye lets the lease lapse at once.
		if h, err = cluster.TakeLease(t.Context(), cfg); err != nil || h.Term() != 3 {
			t.Fatal(h, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- h.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil || held() {
			t.Errorf("ended with %v, held %t", err, held())
		}
	})
}
