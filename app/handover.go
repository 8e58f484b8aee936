package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stream"
)

// mover implements cluster.Mover. Sessions that can go on elsewhere go without
// their client noticing; the others end, and their clients are told where to.
type mover struct{ n *node }

const (
	givePath   = "/cluster/v1/give"
	givenAtAll = 16               // sessions under way at the same time
	giveTime   = 5 * time.Second  // for one session
	moveTime   = 30 * time.Second // without any progress, then the move has failed
	moveAgain  = 250 * time.Millisecond
	moveSoon   = 10 * time.Millisecond // what cannot go on elsewhere takes its leave
)

// Move implements cluster.Mover.
func (m mover) Move(ctx context.Context, order cluster.Move) error {
	t := m.n.takeover
	if order.Gone {
		return t.inherited(ctx, order.From)
	}
	began, last, before := time.Now(), time.Now(), -1
	for ctx.Err() == nil {
		due, later := m.theirs(order, time.Since(began))
		left := len(due) + later
		if left == 0 {
			return nil
		}
		if before < 0 || left < before || later > 0 {
			before, last = left, time.Now()
		}
		if time.Since(last) > moveTime {
			return fmt.Errorf("%d sessions are still here", left)
		}
		lease, err := t.shared.LeaseOf(ctx, live.Owner{Node: order.To})
		if err == nil && lease.URL == "" {
			err = errors.New("it holds no lease")
		}
		if err == nil {
			err = m.give(ctx, due, order.To, lease.URL)
		}
		if err != nil && ctx.Err() == nil {
			m.n.log.WarnContext(ctx, "hand sessions over", "to", string(order.To), "err", err)
		}
		if later == 0 && err == nil {
			pause(ctx, moveSoon)
		} else {
			pause(ctx, moveAgain)
		}
	}
	return ctx.Err()
}

// bequeathTime is how long a node that stops hands its sessions over. What is
// left then is cut off, and taken up by whoever its clients come to.
const bequeathTime = 8 * time.Second

// bequeath hands all sessions of a node that stops over to one that lives.
func (n *node) bequeath(ctx context.Context) {
	to := n.successor()
	if to == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bequeathTime)
	defer cancel()
	began, count := time.Now(), n.sessions.Len()
	err := mover{n}.Move(ctx, cluster.Move{From: n.shared.Me().Node, To: to, Mine: func(jid.JID) bool { return true }})
	n.log.InfoContext(ctx, "sessions handed over", "to", string(to), "sessions", count, "took", time.Since(began).Round(time.Millisecond), "err", err)
}

// successor is the node that gets the sessions of this one when it stops: its
// mate, or else the one with the fewest. It is empty if there is no other.
func (n *node) successor() (best router.NodeID) {
	me, view := n.shared.Me().Node, n.members.View()
	mate := n.recovery.Plan().Peer(me)
	fewest := uint64(0)
	for _, m := range view.Members {
		if m.ID == me || m.State != cluster.Alive || m.Draining || m.Leaving {
			continue
		}
		if m.ID == mate {
			return mate
		}
		if best == "" || m.Sessions < fewest {
			best, fewest = m.ID, m.Sessions
		}
	}
	return best
}

// theirs returns the bound sessions that a move speaks of and whose time has
// come, and how many follow later.
func (m mover) theirs(order cluster.Move, passed time.Duration) (due []*session.Session, later int) {
	for _, s := range m.n.sessions.Sessions() {
		bare := s.JID().Bare()
		switch {
		case !s.Bound() || !order.Mine(bare):
		case passed < order.Window.Offset(bare):
			later++
		default:
			due = append(due, s)
		}
	}
	return due, later
}

// give hands sessions over and returns the last thing that went wrong.
func (m mover) give(ctx context.Context, list []*session.Session, to router.NodeID, url string) error {
	var wrong atomic.Pointer[error]
	var wg sync.WaitGroup
	slots := make(chan struct{}, givenAtAll)
	for _, s := range list {
		if !s.Moves() {
			s.Redirect(m.n.doorOf(to, s.Transport()), "the node hands its users over")
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := m.n.takeover.give(ctx, s.SID(), url); err != nil {
				wrong.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := wrong.Load(); err != nil {
		return *err
	}
	return nil
}

// give has another node take a session of this one up. If it does not, the
// session stays here.
func (t *takeover) give(ctx context.Context, sid router.SID, url string) error {
	ctx, cancel := context.WithTimeout(ctx, giveTime)
	defer cancel()
	gone := t.depart(sid)
	ceded := t.bosh.Cede(ctx, sid)
	err := ctx.Err()
	if ceded {
		err = t.offer(ctx, url, sid)
	}
	gone()
	if ceded && err != nil {
		// Unless the other one has it, in spite of all.
		t.takeUp(context.WithoutCancel(ctx), sid, t.shared.Me())
	}
	return err
}

// depart marks a session that is on its way to another node: who asks for it
// waits until that is over.
func (t *takeover) depart(sid router.SID) (over func()) {
	done := make(chan struct{})
	t.mu.Lock()
	t.departing[sid] = done
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		delete(t.departing, sid)
		t.mu.Unlock()
		close(done)
	}
}

// departed waits for a session that is on its way to another node.
func (t *takeover) departed(ctx context.Context, sid router.SID) {
	if done := t.underWay(sid); done != nil {
		select {
		case <-ctx.Done():
		case <-done:
		}
	}
}

func (t *takeover) underWay(sid router.SID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.departing[sid]
}

// offer asks a node to take a session of this one up.
func (t *takeover) offer(ctx context.Context, url string, sid router.SID) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+givePath, http.NoBody)
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	t.sign(req)
	req.Header.Set(headerSID, string(sid))
	req.Header.Set(headerOwner, t.shared.Me().String())
	res, err := t.client.Do(req)
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<10)) // so that the connection serves again
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("hand over: %s", res.Status)
	}
	return nil
}

// given takes up a session that another node hands over.
func (t *takeover) given(w http.ResponseWriter, r *http.Request) {
	sid := router.SID(r.Header.Get(headerSID))
	owner, err := live.ParseOwner(r.Header.Get(headerOwner))
	if err != nil || sid == "" || owner == t.shared.Me() {
		http.Error(w, "not an offer", http.StatusBadRequest)
		return
	}
	if !t.takeUp(r.Context(), sid, owner) {
		http.Error(w, "the session cannot be taken up", http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// inherited waits until nobody has to take anything up from a node that is gone.
func (t *takeover) inherited(ctx context.Context, from router.NodeID) error {
	began := time.Now()
	for ctx.Err() == nil {
		left, err := t.estate(ctx, from)
		if err == nil && left == 0 {
			return nil
		}
		if time.Since(began) > moveTime {
			return errors.Join(err, fmt.Errorf("%d sessions of %s were not taken up", left, from))
		}
		pause(ctx, moveAgain)
	}
	return ctx.Err()
}

// estate counts the sessions of a node that are left to those who live.
func (t *takeover) estate(ctx context.Context, node router.NodeID) (left int, err error) {
	owners, err := t.shared.Owners(ctx)
	for _, o := range owners {
		if o.Node != node {
			continue
		}
		lease, e := t.shared.LeaseOf(ctx, o)
		sids, f := t.shared.SessionsOf(ctx, o)
		if err = errors.Join(err, e, f); err == nil && !lease.Held {
			left += len(sids)
		}
	}
	return left, err
}

// redirect implements session.Config's: it tells clients where to go that come to
// a drained node, or, if cluster.redirect says so, to another node than theirs.
func (n *node) redirect(transport string, user jid.JID) *stream.Error {
	me := router.NodeID(n.options.Config.Cluster.Node)
	var to router.NodeID
	text := "this node is drained"
	if n.recovery.Drained(me) {
		to = n.recovery.Plan().Peer(me)
	} else if n.options.Config.Cluster.Redirect && !user.IsZero() {
		to, text = n.recovery.Seat(user), "the user's home is another node"
	}
	if to == "" || to == me {
		return nil
	}
	door := n.doorOf(to, transport)
	if door == "" {
		return nil
	}
	return &stream.Error{Condition: stream.SeeOtherHost, Detail: door, Text: text}
}

// doorOf returns the address at which another node has a transport, "" if it is
// not alive or has not.
func (n *node) doorOf(id router.NodeID, transport string) string {
	if m, ok := n.members.View().Member(id); !ok || m.State != cluster.Alive {
		return ""
	}
	door, websocket := n.recovery.Reach(id).Doors()
	if transport == "websocket" {
		return websocket
	}
	return door
}
