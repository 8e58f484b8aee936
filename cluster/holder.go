package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
)

// HolderConfig is what a [Holder] needs.
type HolderConfig struct {
	Lease Lease
	Node  router.NodeID
	TTL   time.Duration // of the lease; it is renewed three times in that time
	// Lost, if not nil, is called once when a newer term is in force: this
	// process must write nothing more and close its sessions as moved.
	Lost func(term uint64)
	Log  *slog.Logger
}

// Holder keeps the lease of this node while it runs.
type Holder struct {
	cfg  HolderConfig
	term atomic.Uint64 // 0 = none
}

// TakeLease takes the lease of the node, so that its term is known before the
// node serves.
func TakeLease(ctx context.Context, cfg HolderConfig) (*Holder, error) {
	term, err := cfg.Lease.Hold(ctx, cfg.Node)
	if err != nil {
		return nil, fmt.Errorf("take the lease of %s: %w", cfg.Node, err)
	}
	h := &Holder{cfg: cfg}
	h.term.Store(term)
	cfg.Log.InfoContext(ctx, "lease taken", "node", cfg.Node, "term", term)
	return h, nil
}

// Term returns the term under which this process writes, 0 once it is lost.
func (h *Holder) Term() uint64 { return h.term.Load() }

// Run renews the lease until ctx ends, then drops it. That the store cannot be
// reached loses nothing: the term stays in force until somebody fences it. After
// a loss it returns ErrLost.
func (h *Holder) Run(ctx context.Context) error {
	tick := time.NewTicker(max(h.cfg.TTL/3, time.Millisecond))
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return h.drop(context.WithoutCancel(ctx))
		case <-tick.C:
		}
		err := h.renew(ctx)
		switch {
		case errors.Is(err, ErrLost):
			term := h.term.Swap(0)
			h.cfg.Log.ErrorContext(ctx, "lease lost, another node has taken over", "node", h.cfg.Node, "term", term)
			if h.cfg.Lost != nil {
				h.cfg.Lost(term)
			}
			return fmt.Errorf("lease of %s: %w", h.cfg.Node, ErrLost)
		case err != nil && ctx.Err() == nil && !away:
			away = true
			h.cfg.Log.WarnContext(ctx, "lease cannot be renewed", "node", h.cfg.Node, "err", err)
		case err == nil && away:
			away = false
			h.cfg.Log.InfoContext(ctx, "lease renewed again", "node", h.cfg.Node)
		}
	}
}

func (h *Holder) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.TTL/3)
	defer cancel()
	return h.cfg.Lease.Renew(ctx, h.cfg.Node, h.term.Load())
}

func (h *Holder) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.TTL/3)
	defer cancel()
	if err := h.cfg.Lease.Drop(ctx, h.cfg.Node, h.term.Swap(0)); err != nil {
		return fmt.Errorf("drop the lease of %s: %w", h.cfg.Node, err)
	}
	return nil
}
