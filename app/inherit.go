package app

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/store/redis/live"
)

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
	t.eachAtOnce(sids, func(sid router.SID) {
		if !t.takeUp(ctx, sid, o) && !t.owned(ctx, sid, o) {
			_ = t.shared.Strike(ctx, sid, o) // it is looked at again if this fails
		}
	})
	t.log.InfoContext(ctx, "took over", "from", string(o.Node), "sessions", len(sids), "took", time.Since(start).Round(time.Millisecond))
	return nil
}

// eachAtOnce does something for each of many sessions, for some at a time.
func (t *takeover) eachAtOnce(sids []router.SID, do func(router.SID)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, takeUpsAtOnce)
	for _, sid := range sids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(sid)
		})
	}
	wg.Wait()
}

// owned reports whether a session still is an owner's, as far as can be known.
func (t *takeover) owned(ctx context.Context, sid router.SID, o live.Owner) bool {
	now, ok, err := t.shared.OwnerOf(ctx, sid)
	return err != nil || ok && now == o
}
