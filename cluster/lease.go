package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/deskline/deskline/router"
)

var (
	// ErrLost says that a newer term of the lease is in force: what carries the
	// older one must not be written any more.
	ErrLost = errors.New("lease lost to a newer term")
	// ErrHeld says that a lease has not lapsed.
	ErrHeld = errors.New("lease is held")
)

// Lease says which process may write as a node. Every term is above all earlier
// ones of that node, for ever.
type Lease interface {
	// Hold takes the lease of node under a new term, at once, whoever had it: of
	// two processes of one name the younger wins, so that a node that starts
	// again need not wait for itself.
	Hold(ctx context.Context, node router.NodeID) (term uint64, err error)
	// Renew holds on for another while. It also revives a lease that has lapsed
	// unless somebody fenced it: the store may have been away. ErrLost if term
	// is not the one in force.
	Renew(ctx context.Context, node router.NodeID, term uint64) error
	// Drop gives the lease up, so that it has lapsed at once. One that is lost
	// is left alone.
	Drop(ctx context.Context, node router.NodeID, term uint64) error
}

// Terms is what others than the holder do with a lease.
type Terms interface {
	// Term returns the term in force, 0 if there was never one, and whether it
	// is held still.
	Term(ctx context.Context, node router.NodeID) (term uint64, held bool, err error)
	// Fence puts a new term in force that nobody holds, so that the holder of
	// term, should it live, can neither renew nor write. ErrHeld while term is
	// held, ErrLost if another is in force already.
	Fence(ctx context.Context, node router.NodeID, term uint64) (fenced uint64, err error)
}

// Leases keeps leases in the memory of one process, for nodes that stand alone
// and for tests.
type Leases struct {
	ttl time.Duration

	mu  sync.Mutex // guards all
	all map[router.NodeID]leased
}

type leased struct {
	term  uint64
	until time.Time
}

// NewLeases returns leases that lapse after ttl.
func NewLeases(ttl time.Duration) *Leases {
	return &Leases{ttl: ttl, all: map[router.NodeID]leased{}}
}

// Hold implements Lease.
func (l *Leases) Hold(_ context.Context, node router.NodeID) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := leased{l.all[node].term + 1, time.Now().Add(l.ttl)}
	l.all[node] = next
	return next.term, nil
}

// Renew implements Lease.
func (l *Leases) Renew(_ context.Context, node router.NodeID, term uint64) error {
	return l.set(node, term, time.Now().Add(l.ttl))
}

// Drop implements Lease.
func (l *Leases) Drop(_ context.Context, node router.NodeID, term uint64) error {
	if err := l.set(node, term, time.Time{}); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}

func (l *Leases) set(node router.NodeID, term uint64, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now, ok := l.all[node]; !ok || now.term != term {
		return ErrLost
	}
	l.all[node] = leased{term, until}
	return nil
}

// Term implements Terms.
func (l *Leases) Term(_ context.Context, node router.NodeID) (uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.all[node]
	return now.term, time.Now().Before(now.until), nil
}

// Fence implements Terms.
func (l *Leases) Fence(_ context.Context, node router.NodeID, term uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.all[node]
	switch {
	case now.term != term:
		return 0, ErrLost
	case time.Now().Before(now.until):
		return 0, ErrHeld
	}
	l.all[node] = leased{term: term + 1}
	return term + 1, nil
}
