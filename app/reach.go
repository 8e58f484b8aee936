package app

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
)

// Nodes that all have Redis may be unable to reach each other. What comes to the
// wrong one cannot be passed on then, and the owner of the session is alive: it is
// asked over Redis to let go of it.

const (
	lameAfter = 2 // signs of life that a node has failed to give
	wishAgain = 500 * time.Millisecond
)

// reach knows which living nodes do not answer.
type reach struct {
	mu      sync.Mutex // guards all below
	missed  map[live.Owner]int
	wished  map[router.SID]time.Time
	cleaned time.Time // of what was wished for long ago
}

func newReach() *reach {
	return &reach{missed: make(map[live.Owner]int), wished: make(map[router.SID]time.Time)}
}

// heard takes in whether a node answered, and reports whether it has just become
// lame.
func (r *reach) heard(o live.Owner, answered bool) (lame bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if answered {
		delete(r.missed, o)
		return false
	}
	r.missed[o]++
	return r.missed[o] == lameAfter
}

// doubt notes that a request did not get through, which may be for other reasons.
func (r *reach) doubt(o live.Owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missed[o] = max(r.missed[o], 1)
}

// doubted reports whether a node is to be asked for a sign of life.
func (r *reach) doubted(o live.Owner) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed[o] > 0
}

// lame reports whether a node does not answer, though it may live.
func (r *reach) lame(o live.Owner) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.missed[o] >= lameAfter
}

// mayWish reports whether it is time to ask for a session (again).
func (r *reach) mayWish(sid router.SID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.cleaned) > time.Minute {
		clear(r.wished)
		r.cleaned = now
	}
	if at, ok := r.wished[sid]; ok && now.Sub(at) < wishAgain {
		return false
	}
	r.wished[sid] = now
	return true
}

// keepInTouch asks a living node for a sign of life if requests wait there or did
// not get there.
func (t *takeover) keepInTouch(ctx context.Context, o live.Owner, url string) {
	t.mu.Lock()
	waits := len(t.passes[o]) > 0
	t.mu.Unlock()
	if !waits && !t.reach.doubted(o) {
		return
	}
	who, err := t.probe(ctx, url)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return // it does not run: there is nobody to ask, and its lease will lapse
	}
	if t.reach.heard(o, err == nil && who != "") {
		t.log.WarnContext(ctx, "node does not answer this one, its sessions are asked for as clients come", "node", string(o.Node), "err", err)
		t.giveUp(o)
	}
}

// wish asks the owner of a session to let go of it.
func (t *takeover) wish(ctx context.Context, sid router.SID, o live.Owner) {
	if !t.reach.mayWish(sid, time.Now()) {
		return
	}
	if err := t.shared.Wish(ctx, sid, o); err != nil {
		t.log.WarnContext(ctx, "ask for a session", "sid", sid.Ref(), "node", string(o.Node), "err", err)
	}
}

// asked is a wish of another node.
type asked struct {
	sid router.SID
	to  live.Owner
}

const wishesAtMost = 1000 // that wait; more are asked for again

// hear notes a wish of another node.
func (t *takeover) hear(sid router.SID, to live.Owner) {
	select {
	case t.wishes <- asked{sid, to}:
	default:
	}
}

// grantAll grants wishes until ctx ends.
func (t *takeover) grantAll(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, givenAtAll)
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-t.wishes:
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				t.grant(ctx, a.sid, a.to)
			})
		}
	}
}

// grant lets go of a session for a node that asks for it.
func (t *takeover) grant(ctx context.Context, sid router.SID, to live.Owner) {
	ctx, cancel := context.WithTimeout(ctx, giveTime)
	defer cancel()
	if t.stopping.Load() || t.underWay(sid) != nil || !t.bosh.Holds(sid) {
		return
	}
	over := t.depart(sid)
	defer over()
	if !t.bosh.Cede(ctx, sid) {
		return
	}
	if ok, err := t.shared.Grant(ctx, sid, to); err != nil || !ok {
		t.log.WarnContext(ctx, "grant a session", "sid", sid.Ref(), "node", string(to.Node), "err", err)
	}
}
