package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/deskline/deskline/router"
)

// Config is what [Members] need.
type Config struct {
	Node      router.NodeID
	Listen    string // address for gossip, UDP and TCP
	Advertise string // address that others use, if it is not that of Listen
	Key       []byte // 16, 24 or 32 bytes of AES; nil = anybody can listen and join
	Seeds     []string
	SeedsFile string // further seeds, one a line; read again at each attempt
	Meta      Meta
	Proof     Proof // nil = the word of gossip is enough
	// Changed, if not nil, is told of each view by Run, one after another. It
	// does not wait for long: the next view waits for it.
	Changed func(*View)
	Probing
	// Transport, if not nil, stands between gossip and the network.
	Transport func(memberlist.NodeAwareTransport) memberlist.NodeAwareTransport
	Log       *slog.Logger
}

// Probing is how gossip watches over members. Zero fields take the defaults.
type Probing struct {
	Interval  time.Duration // between two probes, 250 ms
	Timeout   time.Duration // for an answer, 200 ms; then others are asked to probe
	Suspicion int           // intervals a suspect has to object, times the logarithm of the nodes, 5
	Rejoin    time.Duration // longest between two attempts to reach a missing seed, 15 s
	Forget    time.Duration // dead and left members are kept for so long, 24 h
}

func (p *Probing) setDefaults() {
	if p.Interval <= 0 {
		p.Interval = 250 * time.Millisecond
	}
	if p.Timeout <= 0 {
		p.Timeout = p.Interval * 4 / 5
	}
	if p.Suspicion <= 0 {
		p.Suspicion = 5
	}
	if p.Rejoin <= 0 {
		p.Rejoin = 15 * time.Second
	}
	if p.Forget <= 0 {
		p.Forget = 24 * time.Hour
	}
}

// Members is this node among the others.
type Members struct {
	cfg   Config
	list  *memberlist.Memberlist
	seeds seeds
	view  atomic.Pointer[View]
	wake  chan struct{} // something about the members is new
	news  chan struct{} // something about this node is new
	turn  chan struct{} // held by who announces: memberlist wants one at a time

	mu       sync.Mutex // guards what follows; taken under locks of memberlist, so nothing is called under it
	meta     Meta
	nodes    map[router.NodeID]*known
	conflict error
	last     time.Time // of the conflict
}

// known is what this node holds about a member.
type known struct {
	Member
	asking bool // for proof
}

// Open begins to listen. The node is alone until Run finds the others.
func Open(ctx context.Context, cfg Config) (*Members, error) {
	cfg.setDefaults()
	if cfg.Meta.Incarnation == 0 {
		cfg.Meta.Incarnation = rand.Uint64()
	}
	if _, err := cfg.Meta.Encode(); err != nil {
		return nil, err
	}
	m := &Members{
		cfg: cfg, seeds: seeds{list: cfg.Seeds, file: cfg.SeedsFile, log: cfg.Log}, meta: cfg.Meta,
		wake: make(chan struct{}, 1), news: make(chan struct{}, 1), turn: make(chan struct{}, 1), nodes: map[router.NodeID]*known{},
	}
	m.view.Store(&View{Self: cfg.Node})
	gossip, err := m.gossipConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if m.list, err = memberlist.Create(gossip); err != nil {
		return nil, fmt.Errorf("cluster: listen at %s: %w", cfg.Listen, errors.Join(err, gossip.Transport.Shutdown()))
	}
	m.publish()
	if len(cfg.Key) == 0 {
		cfg.Log.WarnContext(ctx, "gossip is not encrypted: who reaches its port can join the cluster; set cluster.key_file")
	}
	return m, nil
}

// View returns the membership of this moment.
func (m *Members) View() *View { return m.view.Load() }

// Addr returns the address that others use for gossip.
func (m *Members) Addr() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[m.cfg.Node].Addr.String()
}

// Update changes what this node tells of itself. The others hear of it soon;
// changes that come quickly go together.
func (m *Members) Update(change func(*Meta)) error {
	m.mu.Lock()
	next := m.meta
	m.mu.Unlock()
	change(&next)
	if _, err := next.Encode(); err != nil {
		return err
	}
	m.mu.Lock()
	same := next == m.meta
	m.meta = next
	m.mu.Unlock()
	if !same {
		signal(m.news)
	}
	return nil
}

// Conflict says that another process uses the name of this node, as long as it
// was seen lately.
func (m *Members) Conflict() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conflict != nil && time.Since(m.last) < time.Minute {
		return m.conflict
	}
	return nil
}

// Run joins the seeds, again whenever one is missing, and watches over the
// members until ctx ends.
func (m *Members) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { m.rejoin(ctx) })
	wg.Go(func() { m.announce(ctx) })
	wg.Go(func() { m.watch(ctx) })
	wg.Wait()
	return nil
}

// Leave says goodbye, so that nobody has to find out. Run may still be running.
// That nobody listened, such as a mate that stops at the same time, is no error.
func (m *Members) Leave(ctx context.Context) error {
	// Nothing else is announced from now on: a later word takes the place of an
	// earlier one that is still on its way.
	m.mu.Lock()
	m.meta.Leaving, m.meta.Draining = true, true
	m.mu.Unlock()
	wait := leaveTime
	if until, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(until))
	}
	if wait <= 0 {
		return ctx.Err()
	}
	if err := errors.Join(m.say(wait/2), m.list.Leave(wait/2)); err != nil {
		m.cfg.Log.WarnContext(ctx, "nobody heard the goodbye, the others will find out", "err", err)
	}
	return nil
}

// say tells the others what this node is now, and waits until somebody was told
// or for the time given.
func (m *Members) say(wait time.Duration) error {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	return m.list.UpdateNode(wait)
}

func (m *Members) leaving() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta.Leaving
}

const leaveTime = 2 * time.Second

// Close ends gossip. Without Leave the others see this node die.
func (m *Members) Close() error {
	if err := m.list.Shutdown(); err != nil {
		return fmt.Errorf("close gossip: %w", err)
	}
	return nil
}

// announce tells the others what is new about this node.
func (m *Members) announce(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.news:
		}
		if m.leaving() {
			continue
		}
		// It is told to the others even if this gives up waiting.
		if err := m.say(time.Second); err != nil {
			m.cfg.Log.DebugContext(ctx, "announcing slowly", "err", err)
		}
		signal(m.wake)
	}
}

// watch publishes views and asks for proofs.
func (m *Members) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	var told *View
	for {
		for _, doubtful := range m.publish() {
			wg.Go(func() { m.ask(ctx, doubtful) })
		}
		if v := m.view.Load(); v != told && m.cfg.Changed != nil {
			told = v
			m.cfg.Changed(v)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-tick.C:
			m.forget()
		}
	}
}

// ask looks for proof that a doubtful member is dead.
func (m *Members) ask(ctx context.Context, suspect Member) {
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	dead, err := m.cfg.Proof.Dead(ctx, suspect)
	m.mu.Lock()
	k := m.nodes[suspect.ID]
	if k != nil {
		k.asking = false
		// It may have been heard of meanwhile, or have started anew.
		if dead = dead && k.State == Doubtful && k.Incarnation == suspect.Incarnation; dead {
			k.State, k.Since = Dead, time.Now()
		}
	}
	m.mu.Unlock()
	if dead {
		m.cfg.Log.WarnContext(ctx, "node is dead", "node", suspect.ID, "doubtful_for", time.Since(suspect.Since).Round(time.Millisecond))
		signal(m.wake)
		return
	}
	m.cfg.Log.DebugContext(ctx, "no proof that a node is dead", "node", suspect.ID, "err", err)
}

// forget drops members that are gone for long.
func (m *Members) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, k := range m.nodes {
		if (k.State == Dead || k.State == Left) && time.Since(k.Since) > m.cfg.Forget {
			delete(m.nodes, id)
		}
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
