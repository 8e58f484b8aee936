package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/deskline/deskline/router"
)

// Proof is the second witness that a member is gone, asked again and again once
// gossip has lost it.
type Proof interface {
	// Dead reports whether it is certain that m does not live any more. It
	// returns when ctx ends at the latest; with an error nothing is proven.
	Dead(ctx context.Context, m Member) (bool, error)
}

// ProofFunc is a function that is a [Proof].
type ProofFunc func(ctx context.Context, m Member) (bool, error)

// Dead implements Proof.
func (f ProofFunc) Dead(ctx context.Context, m Member) (bool, error) { return f(ctx, m) }

// Refused is the proof that the machine of a member answers and that nothing
// listens there: all its ports refuse. A loaded or stopped process still has
// its ports, and a machine that cannot be reached proves nothing.
func Refused() Proof {
	return ProofFunc(func(ctx context.Context, m Member) (bool, error) {
		for _, addr := range m.addresses() {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", addr)
			switch {
			case err == nil:
				_ = c.Close() // that it opened is the answer
				return false, nil
			case !errors.Is(err, syscall.ECONNREFUSED):
				return false, fmt.Errorf("knock at %s: %w", m.ID, err)
			}
		}
		return true, nil
	})
}

// addresses are those that belong to the process alone. The public address may
// be a proxy's.
func (m Member) addresses() []string {
	list := []string{m.Addr.String()}
	if u, err := url.Parse(m.InternalURL); err == nil && u.Host != "" {
		port := u.Port()
		switch {
		case port != "":
		case u.Scheme == "https":
			port = "443"
		default:
			port = "80"
		}
		list = append(list, net.JoinHostPort(u.Hostname(), port))
	}
	return list
}

// Leases tells who may write as a node, where nodes share a store.
type Leases interface {
	// Lapsed reports whether it is certain that nobody renews the lease of node.
	Lapsed(ctx context.Context, node router.NodeID) (bool, error)
}

// Lapsed is the proof that nobody renews the lease of a member.
func Lapsed(l Leases) Proof {
	return ProofFunc(func(ctx context.Context, m Member) (bool, error) {
		lapsed, err := l.Lapsed(ctx, m.ID)
		if err != nil {
			return false, fmt.Errorf("lease of %s: %w", m.ID, err)
		}
		return lapsed, nil
	})
}

// AnyOf asks all proofs at once and takes the word of the first that is certain.
func AnyOf(proofs ...Proof) Proof {
	return ProofFunc(func(ctx context.Context, m Member) (bool, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var wg sync.WaitGroup
		certain := make([]bool, len(proofs))
		errs := make([]error, len(proofs))
		for i, p := range proofs {
			wg.Go(func() {
				if certain[i], errs[i] = p.Dead(ctx, m); certain[i] {
					cancel() // the others need not go on
				}
			})
		}
		wg.Wait()
		if slices.Contains(certain, true) {
			return true, nil
		}
		return false, errors.Join(errs...)
	})
}

// proofTime bounds one question; a proof that has no answer is asked again.
const proofTime = time.Second
