package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// Mover hands the sessions of users from one node to another.
type Mover interface {
	// Move returns nil once every session that m speaks of lives at m.To, and
	// nothing of it was lost. It is called on m.From, or on m.To if m.From is
	// gone. When ctx ends, another move has taken its place.
	Move(ctx context.Context, m Move) error
}

// Move is an order to hand sessions over.
type Move struct {
	From, To router.NodeID
	Gone     bool               // From does not live: its sessions are taken up from the store
	Mine     func(jid.JID) bool // whose sessions; the others stay
	Window   Window             // over which they are spread; the zero value is at once
}

// Membership is what [Recovery] needs of [Members].
type Membership interface {
	View() *View
	Update(change func(*Meta)) error
}

// RecoveryConfig is what a [Recovery] needs. All nodes have the same Mode and
// Pairs.
type RecoveryConfig struct {
	Node    router.NodeID // in one of the pairs
	Mode    Mode
	Pairs   []Pair
	Store   Store
	Members Membership
	Mover   Mover // nil = sessions cannot be handed over
	Heirs   bool  // nodes take up the sessions of lost ones without an order
	// Failover, if not nil, is told when this node has seen a takeover begin.
	Failover func(Reason)

	AutoFallback time.Duration // after a node is well again; 0 = an administrator says when
	ServiceDelay time.Duration // its services may fail for so long
	StartDelay   time.Duration // a peer may take so long to show up
	Relogin      Window        // over which users go home
	Poll         time.Duration // between two looks at the store, 1 s
	Log          *slog.Logger
}

// Recovery looks after the pairs: it keeps the [Plan] up to date with the
// store, steps the pair of this node through its states, and does what
// administrators order.
type Recovery struct {
	cfg     RecoveryConfig
	pair    Pair
	began   time.Time
	plan    atomic.Pointer[Plan]
	records atomic.Pointer[shared]
	wake    chan struct{}

	// The loop's alone.
	ill     map[router.NodeID]time.Time // since when services fail
	running *move
	moves   sync.WaitGroup
	failing bool // the store, told already
	drained bool // as the others were told
}

// shared is what the nodes share beside assignments. It is never changed.
type shared struct {
	layout   Record
	pairs    map[string]pairRecord
	nodes    map[router.NodeID]nodeRecord
	versions map[string]uint64
}

// pairRecord is a pair as it stands in the store.
type pairRecord struct {
	Standing     Standing  `json:"standing"`
	Incarnations [2]uint64 `json:"incarnations"`
	Drained      [2]bool   `json:"drained"` // by an administrator, until a fallback
}

// nodeRecord is how to reach a node, should it not be heard of.
type nodeRecord struct {
	PublicURL string `json:"public_url"`
	BOSH      string `json:"bosh"`
	WebSocket string `json:"websocket"`
}

const (
	layoutKey  = "layout"
	pairPrefix = "pair/"
	nodePrefix = "node/"
	pageSize   = 1000
	storeTime  = 5 * time.Second
)

// NewRecovery reads the store. If the pairs or the mode differ from what was
// last in force, the epoch is raised.
func NewRecovery(ctx context.Context, cfg RecoveryConfig) (*Recovery, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	r := &Recovery{cfg: cfg, began: time.Now(), wake: make(chan struct{}, 1), ill: map[router.NodeID]time.Time{}}
	empty, err := NewPlan(0, cfg.Mode, cfg.Pairs, nil)
	if err != nil {
		return nil, fmt.Errorf("cluster.pairs: %w", err)
	}
	pair, ok := empty.PairOf(cfg.Node)
	if !ok {
		return nil, fmt.Errorf("cluster.pairs: node %s is in none", cfg.Node)
	}
	r.pair = pair
	r.plan.Store(empty)
	r.records.Store(&shared{})
	err = r.load(ctx)
	for err == nil && string(r.records.Load().layout.Data) != empty.layout() {
		layout := r.records.Load().layout
		layout.Key, layout.Data = layoutKey, []byte(empty.layout())
		if err = cfg.Store.SaveClusterRecord(ctx, layout, true); err == nil || errors.Is(err, ErrConflict) {
			err = r.load(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return r, nil
}

// Plan returns the assignments in force.
func (r *Recovery) Plan() *Plan { return r.plan.Load() }

// Kick makes Run look at once; it is called when the view has changed.
func (r *Recovery) Kick() { signal(r.wake) }

// Run watches over the pair of this node until ctx ends.
func (r *Recovery) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Poll)
	defer tick.Stop()
	defer r.moves.Wait()
	for {
		err := r.look(ctx)
		r.tell(ctx, err)
		var moved chan error
		if r.running != nil {
			moved = r.running.done
		}
		select {
		case <-ctx.Done():
			if r.running != nil {
				r.running.cancel()
			}
			return nil
		case <-tick.C:
		case <-r.wake:
		case err := <-moved:
			r.tell(ctx, r.arrived(ctx, err))
		}
	}
}

// tell logs that the store is away, and that it is back.
func (r *Recovery) tell(ctx context.Context, err error) {
	switch {
	case err != nil && ctx.Err() == nil && !r.failing:
		r.cfg.Log.ErrorContext(ctx, "the cluster's store cannot be used, states stay as they are", "err", err)
	case err == nil && r.failing:
		r.cfg.Log.InfoContext(ctx, "the cluster's store can be used again")
	}
	r.failing = err != nil
}

// look is one round.
func (r *Recovery) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := r.load(ctx); err != nil {
		return err
	}
	if err := r.introduce(ctx); err != nil {
		return err
	}
	return r.watch(ctx)
}

// load reads what is new in the store.
func (r *Recovery) load(ctx context.Context) error {
	epoch, err := r.cfg.Store.ClusterEpoch(ctx)
	if err != nil {
		return err
	}
	if before := r.plan.Load(); epoch > before.Epoch {
		if err := r.reassign(ctx, before, epoch); err != nil {
			return err
		}
	}
	records, err := r.cfg.Store.ClusterRecords(ctx)
	if err != nil {
		return err
	}
	s := &shared{pairs: map[string]pairRecord{}, nodes: map[router.NodeID]nodeRecord{}, versions: map[string]uint64{}}
	for _, rec := range records {
		s.versions[rec.Key] = rec.Version
		switch {
		case rec.Key == layoutKey:
			s.layout = rec
		case strings.HasPrefix(rec.Key, pairPrefix):
			var p pairRecord
			if err = json.Unmarshal(rec.Data, &p); err == nil {
				s.pairs[strings.TrimPrefix(rec.Key, pairPrefix)] = p
			}
		case strings.HasPrefix(rec.Key, nodePrefix):
			var n nodeRecord
			if err = json.Unmarshal(rec.Data, &n); err == nil {
				s.nodes[router.NodeID(strings.TrimPrefix(rec.Key, nodePrefix))] = n
			}
		}
		if err != nil {
			return fmt.Errorf("cluster record %s: %w", rec.Key, err)
		}
	}
	r.records.Store(s)
	return nil
}

// reassign makes the plan of a later epoch.
func (r *Recovery) reassign(ctx context.Context, before *Plan, epoch uint64) error {
	explicit := maps.Clone(before.explicit)
	if explicit == nil {
		explicit = map[jid.JID]Home{}
	}
	for after := (Assignment{Epoch: before.Epoch}); ; {
		page, err := r.cfg.Store.Assignments(ctx, after, pageSize)
		if err != nil {
			return err
		}
		for _, a := range page {
			if after = a; a.Home.Primary == "" {
				delete(explicit, a.User)
			} else {
				explicit[a.User] = a.Home
			}
		}
		if len(page) < pageSize {
			break
		}
	}
	next, err := NewPlan(epoch, r.cfg.Mode, r.cfg.Pairs, explicit)
	if err != nil {
		return err
	}
	if !r.plan.CompareAndSwap(before, next) {
		return nil // another look was faster, and if it saw less the next one sees more
	}
	if err := r.cfg.Members.Update(func(m *Meta) { m.Epoch = epoch }); err != nil {
		return err
	}
	r.cfg.Log.InfoContext(ctx, "assignments changed", "epoch", epoch, "explicit", len(explicit))
	return nil
}

// introduce writes down how to reach the nodes that are heard of, so that clients
// can be told of one that is away though this process never heard of it.
func (r *Recovery) introduce(ctx context.Context) error {
	s, plan := r.records.Load(), r.plan.Load()
	for _, m := range r.cfg.Members.View().Members {
		now := nodeRecord{m.PublicURL, m.BOSH, m.WebSocket}
		if m.State != Alive || !plan.has(m.ID) || s.nodes[m.ID] == now {
			continue
		}
		key := nodePrefix + string(m.ID)
		data, err := json.Marshal(now)
		if err != nil {
			return fmt.Errorf("node %s: %w", m.ID, err)
		}
		err = r.cfg.Store.SaveClusterRecord(ctx, Record{Key: key, Data: data, Version: s.versions[key]}, false)
		if err != nil && !errors.Is(err, ErrConflict) { // a conflict is seen by the next look
			return err
		}
	}
	return nil
}
