package app

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
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

// Headers of a request that is passed on.
const (
	headerRemote = "X-Deskline-Remote"
	headerSecure = "X-Deskline-Secure"
	headerAgent  = "X-Deskline-Agent"
	headerSID    = "X-Deskline-Session"
	headerAny    = "X-Deskline-Any" // not only of a session that is there
	headerOwner  = "X-Deskline-Owner"
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

	flight singleflight.Group // of take-ups, by session

	mu     sync.Mutex // guards what follows
	passes map[live.Owner]map[uint64]context.CancelFunc
	passed uint64
	// departing has the sessions that are being handed over.
	departing map[router.SID]chan struct{}
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
		pause(ctx, againAfter)
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

// watch ends what waits for an owner when that is taken for dead.
func (t *takeover) watch(ctx context.Context, o live.Owner) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passed++
	id := t.passed
	if t.passes[o] == nil {
		t.passes[o] = make(map[uint64]context.CancelFunc)
	}
	t.passes[o][id] = cancel
	return ctx, func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		if delete(t.passes[o], id); len(t.passes[o]) == 0 {
			delete(t.passes, o)
		}
	}
}

// giveUp ends all that waits for an owner.
func (t *takeover) giveUp(o live.Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cancel := range t.passes[o] {
		cancel()
	}
}

// awaited lists the owners that requests were passed on to.
func (t *takeover) awaited() []live.Owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.passes))
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
	if !ok {
		return true // nobody ever reached it
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	who, err := t.ask(ctx, url)
	return err != nil || who != o.String()
}

func (t *takeover) sign(req *http.Request) { req.Header.Set("Authorization", "Bearer "+t.secret) }

var errNotThere = errors.New("pass on: the session is not there")

// pass has another node answer: for a session that it has, or any.
func (t *takeover) pass(ctx context.Context, url string, sid router.SID, in *bosh.Request, anyOne bool) (bosh.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+passPath, bytes.NewReader(in.Body))
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	t.sign(req)
	req.Header.Set(headerSID, string(sid))
	req.Header.Set(headerRemote, in.Remote.String())
	req.Header.Set(headerSecure, strconv.FormatBool(in.Secure))
	req.Header.Set(headerAgent, in.UserAgent)
	if anyOne {
		req.Header.Set(headerAny, "true")
	}
	res, err := t.client.Do(req)
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	if res.StatusCode == http.StatusMisdirectedRequest || res.Header.Get(headerSID) == "" {
		return bosh.Response{}, errNotThere
	}
	return bosh.Response{Body: body, ContentType: res.Header.Get("Content-Type"), Status: res.StatusCode}, nil
}

// ServeHTTP answers other nodes.
func (t *takeover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+t.secret)) != 1 {
		http.NotFound(w, r)
		return
	}
	if t.stopping.Load() {
		http.Error(w, "the node is shutting down", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == alivePath && t.shared.Adrift() {
		http.Error(w, "cut off from Redis", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == alivePath {
		_, _ = io.WriteString(w, t.shared.Me().String())
		return
	}
	if r.URL.Path == givePath {
		t.given(w, r)
		return
	}
	sid := router.SID(r.Header.Get(headerSID))
	body, err := io.ReadAll(r.Body)
	anyOne := r.Header.Get(headerAny) == "true"
	if err != nil || !anyOne && !t.bosh.Holds(sid) {
		http.Error(w, "the session is not here", http.StatusMisdirectedRequest)
		return
	}
	in := bosh.Request{Body: body, Secure: r.Header.Get(headerSecure) == "true", UserAgent: r.Header.Get(headerAgent), Passed: !anyOne}
	in.Remote, _ = netip.ParseAddrPort(r.Header.Get(headerRemote)) // it stays as it was
	out, ok := t.bosh.Serve(r.Context(), &in)
	if !ok {
		panic(http.ErrAbortHandler) // nobody waits, or the session has moved
	}
	w.Header().Set("Content-Type", out.ContentType)
	w.Header().Set(headerSID, string(sid))
	w.Header().Set("Content-Length", strconv.Itoa(len(out.Body)))
	w.WriteHeader(out.Status)
	_, _ = w.Write(out.Body) // the response is kept for a repeat
}

// takeUp makes a session of another owner this node's and reports whether it
// goes on here.
func (t *takeover) takeUp(ctx context.Context, sid router.SID, owner live.Owner) bool {
	v, _, _ := t.flight.Do(string(sid), func() (any, error) {
		if t.underWay(sid) != nil {
			return false, nil
		}
		return t.bosh.Holds(sid) || t.adopt(context.WithoutCancel(ctx), sid, owner), nil
	})
	here, _ := v.(bool)
	return here
}

func (t *takeover) adopt(ctx context.Context, sid router.SID, owner live.Owner) bool {
	taken, ok, err := t.shared.Adopt(ctx, sid, owner)
	if err != nil || !ok {
		if err != nil {
			t.log.WarnContext(ctx, "take a session up", "sid", sid.Ref(), "err", err)
		}
		return false
	}
	rec, err := bosh.ReadRecord(taken.State)
	if err != nil {
		t.end(ctx, sid, &taken) // its transport cannot be taken up, or it had just begun
		return false
	}
	var s *session.Session
	err = t.bosh.TakeUp(rec, taken.First-1, func(c session.Conn, snap session.Snapshot) (bosh.Session, error) {
		var err error
		s, err = t.sessions.Resume(ctx, c, snap)
		return s, err
	})
	if errors.Is(err, session.ErrReplaced) {
		t.end(ctx, sid, &taken)
		return false
	}
	if err != nil {
		t.log.WarnContext(ctx, "take a session up", "sid", sid.Ref(), "err", err)
		return false // it is tried again: this node is the owner now
	}
	t.shared.Attach(ctx, sid, taken, s)
	t.log.InfoContext(ctx, "session taken up", "sid", sid.Ref(), "jid", taken.JID.String(), "from", string(owner.Node))
	return true
}

// end ends a session that cannot go on: its contacts learn it, and what it did
// not get finds another way.
func (t *takeover) end(ctx context.Context, sid router.SID, taken *live.Adopted) {
	reg := t.router.Registry()
	list, err := reg.Lookup(ctx, taken.JID.Bare())
	for _, b := range list {
		if b.SID != sid {
			continue
		}
		err = errors.Join(err, reg.Unbind(ctx, b.Full, b.Gen))
		t.ended.SessionEnded(ctx, b, &router.Interest{})
	}
	for _, frame := range taken.Box {
		st, _, e := live.Unseal(frame)
		if e == nil && st.Type != "error" {
			e = t.router.Undelivered(ctx, st, taken.JID.Bare())
		}
		err = errors.Join(err, e)
	}
	err = errors.Join(err, t.shared.Drop(ctx, sid))
	t.log.InfoContext(ctx, "session ended with its node", "sid", sid.Ref(), "jid", taken.JID.String(), "err", err)
}

// leave lets other nodes take up what this one has.
func (t *takeover) leave(ctx context.Context) error {
	t.stopping.Store(true)
	t.bosh.HandOver()
	return t.shared.Close(ctx)
}

// Run takes up the sessions of nodes that died, until ctx ends.
func (t *takeover) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := t.sweep(ctx); err != nil && ctx.Err() == nil {
				t.log.WarnContext(ctx, "look after the cluster", "err", err)
			}
		}
	}
}

const (
	sweepEvery = 500 * time.Millisecond
	// mateFirst is how long others leave the sessions of a dead node to its mate.
	// Those whose clients ask for them are taken up at once.
	mateFirst = 2 * time.Second
)

func (t *takeover) sweep(ctx context.Context) error {
	owners, err := t.shared.Owners(ctx)
	if err != nil {
		return err
	}
	// One whose sessions somebody else took up is no longer among the owners.
	for _, o := range t.awaited() {
		if !slices.Contains(owners, o) {
			owners = append(owners, o)
		}
	}
	var touch sync.WaitGroup
	defer touch.Wait()
	for _, o := range owners {
		if o == t.shared.Me() {
			continue
		}
		lease, err := t.shared.LeaseOf(ctx, o)
		if err != nil {
			return err
		}
		if lease.Held {
			delete(t.lost, o)
			t.shared.Remember(o, lease.URL)
			touch.Go(func() { t.keepInTouch(ctx, o, lease.URL) })
			continue
		}
		if !t.dead(ctx, o, lease) {
			continue
		}
		t.giveUp(o)
		if t.heir(o, time.Now()) {
			if err := t.inherit(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// heir reports whether this node is the one to take up what a dead owner has.
func (t *takeover) heir(o live.Owner, now time.Time) bool {
	since, known := t.lost[o]
	if !known {
		since = now
		t.lost[o] = now
	}
	mate := t.mate(o.Node)
	return mate == "" || mate == t.shared.Me().Node || now.Sub(since) >= mateFirst
}

// inherit takes up all sessions of a dead owner.
func (t *takeover) inherit(ctx context.Context, o live.Owner) error {
	sids, err := t.shared.SessionsOf(ctx, o)
	if err != nil {
		return err
	}
	if len(sids) == 0 {
		delete(t.lost, o)
		t.reach.heard(o, true)
		return t.shared.Forget(ctx, o)
	}
	t.log.InfoContext(ctx, "taking over", "from", string(o.Node), "sessions", len(sids))
	start := time.Now()
	var wg sync.WaitGroup
	slots := make(chan struct{}, takeUpsAtOnce)
	for _, sid := range sids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if !t.takeUp(ctx, sid, o) && !t.owned(ctx, sid, o) {
				_ = t.shared.Strike(ctx, sid, o) // it is looked at again if this fails
			}
		})
	}
	wg.Wait()
	t.log.InfoContext(ctx, "took over", "from", string(o.Node), "sessions", len(sids), "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// owned reports whether a session still is an owner's, as far as can be known.
func (t *takeover) owned(ctx context.Context, sid router.SID, o live.Owner) bool {
	now, ok, err := t.shared.OwnerOf(ctx, sid)
	return err != nil || ok && now == o
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
