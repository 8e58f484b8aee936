package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/stream"
)

// Paths that nodes use among themselves.
const (
	passPath  = "/cluster/v1/bosh"
	alivePath = "/cluster/v1/alive"
)

// takeover lets any node take any request: it passes requests on to the node
// that has the session, and takes sessions up whose node is dead. A node is
// taken for dead on two proofs: its lease has lapsed, and it does not answer.
type takeover struct {
	shared   *live.Shared
	bosh     *bosh.Handler
	sessions *session.Manager
	router   *router.Router
	ended    session.Observer
	secret   string
	client   *http.Client
	log      *slog.Logger
	stopping atomic.Bool
	others   func() []cluster.Member
	refuge   atomic.Pointer[string] // who answers for this node while it alone has lost Redis
	// mate returns the node that stands in for another one, "" if that does not live.
	reach  *reach
	wishes chan asked // of other nodes
	mate   func(router.NodeID) router.NodeID
	lost   map[live.Owner]time.Time // dead since; of sweep alone
	// abandoned are sessions that a castaway let go of; of beacon alone.
	abandoned []router.SID

	flight singleflight.Group // of take-ups, by session

	mu     sync.Mutex // guards what follows
	passes map[live.Owner]map[uint64]context.CancelFunc
	passed uint64
	// departing has the sessions that are being handed over.
	departing map[router.SID]chan struct{}
	vigils    map[live.Owner]chan struct{}
	died      map[live.Owner]time.Time
}

const (
	probeTime     = 300 * time.Millisecond // for the sign of life of a node
	againAfter    = 40 * time.Millisecond
	patience      = 10 * time.Second // with a session whose owner is in doubt
	takeUpsAtOnce = 32
)

func newTakeover(ctx context.Context, n *node) (*takeover, error) {
	secret, err := n.shared.Secret(ctx)
	if err != nil {
		return nil, err
	}
	return &takeover{
		passes: make(map[live.Owner]map[uint64]context.CancelFunc), departing: make(map[router.SID]chan struct{}),
		vigils: make(map[live.Owner]chan struct{}), died: make(map[live.Owner]time.Time),
		lost: make(map[live.Owner]time.Time), mate: n.livingMate, reach: newReach(), wishes: make(chan asked, wishesAtMost), others: n.others,
		shared: n.shared, sessions: n.sessions, router: n.router, ended: n.presence, secret: secret, log: n.log,
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true, DialContext: line.DialContext,
		}},
	}, nil
}

// Commit implements bosh.Ledger.
func (t *takeover) Commit(sid router.SID, state []byte, upto uint64, done func(error)) {
	t.shared.Commit(sid, state, upto, done)
}

// Gather implements bosh.Ledger.
func (t *takeover) Gather(sid router.SID) (end func()) { return t.shared.Gather(sid) }

// Fenced implements bosh.Ledger.
func (t *takeover) Fenced(err error) bool { return errors.Is(err, live.ErrFenced) }

// Sure implements bosh.Ledger.
func (t *takeover) Sure() bool { return t.shared.Sure() }

// Ready implements bosh.Ledger.
func (t *takeover) Ready(ctx context.Context) error {
	for began := time.Now(); !t.shared.Sure() && t.refuge.Load() == nil; {
		if ctx.Err() != nil || time.Since(began) > patience {
			return errors.Join(ctx.Err(), errAdrift)
		}
		pause(ctx, readyAgain)
	}
	return nil
}

var errAdrift = errors.New("the node does not hold its lease")

const readyAgain = 10 * time.Millisecond

// lapsed lets go of the sessions that others took up while this node was halted
// or cut off.
func (t *takeover) lapsed(ctx context.Context) error {
	all := make(map[router.SID]*session.Session)
	var sids []router.SID
	for _, s := range t.sessions.Sessions() {
		if s.Bound() {
			all[s.SID()] = s
			sids = append(sids, s.SID())
		}
	}
	lost, err := t.shared.Lost(ctx, sids)
	for _, sid := range lost {
		if t.bosh.Holds(sid) {
			t.bosh.Moved(sid)
		} else {
			all[sid].End(stream.ConnectionTimeout, "the node was cut off from the others")
		}
	}
	t.log.WarnContext(ctx, "cluster lease had lapsed", "sessions", len(sids), "lost", len(lost))
	return err
}

// Forward implements bosh.Elsewhere.
func (t *takeover) Forward(ctx context.Context, sid router.SID, in *bosh.Request) (r bosh.Response, answered, found bool) {
	if in.Passed || t.stopping.Load() {
		return r, true, false // the sender finds out who has it now
	}
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < patience; {
		t.departed(ctx, sid)
		if r, answered = t.toRefuge(ctx, sid, in); answered {
			return r, true, false
		}
		owner, ok, err := t.shared.OwnerOf(ctx, sid)
		if err == nil && !ok {
			return t.unbound(ctx, sid, in)
		}
		if err == nil {
			asked := time.Now()
			if r, answered, found = t.try(ctx, sid, owner, in); answered || found {
				return r, answered, found
			}
			if time.Since(asked) > time.Second {
				began = time.Now() // the owner had it, and is gone
			}
		}
		if err != nil || owner == t.shared.Me() {
			pause(ctx, againAfter)
		} else {
			t.await(ctx, owner)
		}
	}
	return r, true, false // cut off: the client comes again
}

// unbound has the node answer that a session began on, for nobody else knows of
// one to which nobody has signed in yet.
func (t *takeover) unbound(ctx context.Context, sid router.SID, in *bosh.Request) (r bosh.Response, answered, found bool) {
	node := sid.Birthplace()
	if node == "" || node == t.shared.Me().Node {
		return r, false, false
	}
	lease, err := t.shared.LeaseOf(ctx, live.Owner{Node: node})
	if err == nil && lease.URL == "" {
		return r, false, false
	}
	if err == nil {
		r, err = t.pass(ctx, lease.URL, sid, in, false)
	}
	return r, !errors.Is(err, errNotThere), false // cut off for any other error: the client comes again
}

// try has the owner answer, or makes this node the owner.
func (t *takeover) try(ctx context.Context, sid router.SID, owner live.Owner, in *bosh.Request) (r bosh.Response, answered, found bool) {
	if owner == t.shared.Me() {
		return r, false, t.bosh.Holds(sid) || t.takeUp(ctx, sid, owner)
	}
	lease, err := t.shared.LeaseOf(ctx, owner)
	switch {
	case err != nil:
	case lease.Held && t.reach.lame(owner):
		t.wish(ctx, sid, owner)
	case lease.Held:
		waits, done := t.watch(ctx, owner)
		defer done()
		r, err = t.pass(waits, lease.URL, sid, in, false)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errNotThere) {
			t.reach.doubt(owner)
		}
		return r, err == nil, false
	case t.dead(ctx, owner, lease):
		return r, false, t.takeUp(ctx, sid, owner)
	}
	return r, false, false
}

// dead looks for the second proof beside a lease that is not held.
func (t *takeover) dead(ctx context.Context, o live.Owner, lease live.Lease) bool {
	if lease.Past || o.Node == t.shared.Me().Node {
		return true
	}
	if !t.shared.Settled() {
		return false // the other one may have lost Redis as this one had
	}
	url, ok := t.shared.URLOf(o)
	if !ok || t.knownDead(o) {
		return true // nobody ever reached it, or somebody has just tried
	}
	if who, err := t.probe(ctx, url); err == nil && who == o.String() {
		return false
	}
	t.noteDead(o)
	return true
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
