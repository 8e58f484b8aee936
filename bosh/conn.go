package bosh

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// conn is the session.Conn of one BOSH session.
type conn struct {
	h       *Handler
	sess    Session
	info    session.ConnInfo
	content string // of responses, as the client asked
	ver     version
	legacy  bool // no version: errors are HTTP codes

	mu       sync.Mutex // guards all below; never held over calls into the session
	win      *Window
	waiters  []*waiter       // unanswered requests whose client is there or was
	settled  *waiter         // the first of those that unlock answers
	queue    []session.Frame // for the client
	bytes    int             // of queue
	kept     int             // bytes of the window that the handler knows of
	load     session.Load    // of queue, as far as it is bounded
	busy     bool            // somebody processes requests
	ended    bool
	end      ending
	orphans  []session.Frame // undelivered at an end that came before sess
	paused   time.Duration   // inactivity allowed instead, 0 if not paused
	idle     time.Time       // since when no request waits; zero while one does
	born     time.Time
	lastPeer string // connection and request of the last response
	lastRID  uint64
	authed   atomic.Bool
	leaving  atomic.Bool // another node is about to take it up

	// In a cluster responses wait until the session is written down with them.
	writing   *waiter // the first of those that are being
	upto      uint64  // number of the last mailbox frame that a response carries
	elsewhere bool    // ended here only
}

// Info implements session.Conn.
func (c *conn) Info() session.ConnInfo { return c.info }

// Write implements session.Conn.
func (c *conn) Write(frames ...session.Frame) error {
	more := session.LoadOf(frames)
	n := more.Bytes
	c.mu.Lock()
	defer c.unlock()
	if c.ended {
		return session.ErrEnded
	}
	if cfg := c.h.cfg.Load(); !c.load.Fits(more, cfg.Queue, cfg.QueueBytes) || c.h.full(n) {
		return session.ErrBacklog
	}
	c.load = c.load.Plus(more)
	c.queue = append(c.queue, frames...)
	c.bytes += n
	c.h.queued.Add(int64(n))
	c.h.frames.Add(int64(len(frames)))
	if !c.busy {
		c.flush(time.Now())
	}
	return nil
}

// Close implements session.Conn.
func (c *conn) Close(reason *stream.Error) error {
	c.finish(endingOf(reason))
	return nil
}

// flush answers requests as far as there is something to say. It is called
// with the lock held.
func (c *conn) flush(now time.Time) {
	for {
		rid, ok := c.win.Oldest()
		if !ok {
			return
		}
		w := c.waiter(rid)
		switch {
		case c.win.Passed():
			c.answerWith(rid, w, emptyBody, nil, now)
		case w != nil && !w.gone() && (len(c.queue) > 0 || c.win.Over()):
			c.answer(w, now)
		case (w == nil || w.gone()) && c.win.Unanswered() > 1 && c.win.Over():
			// Its client went away and came back with the next one; what there
			// is to say goes there, and a repeat gets an empty response.
			c.answerWith(rid, nil, emptyBody, nil, now)
		default:
			return
		}
	}
}

func (c *conn) waiter(rid uint64) *waiter {
	for _, w := range c.waiters {
		if w.rid == rid {
			return w
		}
	}
	return nil
}

func (c *conn) drop(rid uint64) {
	c.waiters = slices.DeleteFunc(c.waiters, func(w *waiter) bool { return w.rid == rid })
	c.mind(time.Now())
}

// mind starts or stops the inactivity clock.
func (c *conn) mind(now time.Time) {
	if slices.ContainsFunc(c.waiters, func(w *waiter) bool { return !w.gone() }) {
		c.idle = time.Time{}
	} else if c.idle.IsZero() {
		c.idle = now
	}
}

// answer gives the oldest request everything that waits.
func (c *conn) answer(w *waiter, now time.Time) {
	body, saved := c.encode(w.rid, now)
	c.lastPeer, c.lastRID = w.peer, w.rid
	c.answerWith(w.rid, w, body, saved, now)
}

// answerWith answers the oldest request; w is nil if nobody waits for it.
func (c *conn) answerWith(rid uint64, w *waiter, body []byte, saved []session.Frame, now time.Time) {
	c.win.Answer(body, saved, now)
	c.account()
	c.drop(rid)
	if w == nil {
		return
	}
	if len(saved) > 0 {
		w.arrived = saved[0].Stanza.Arrived
	}
	w.reply(response{body: body, status: 200})
}

// encode builds a response from the queue and empties it.
func (c *conn) encode(rid uint64, now time.Time) ([]byte, []session.Frame) {
	if len(c.queue) == 0 && !c.win.p.Acks {
		return emptyBody, nil
	}
	out := make([]byte, 0, len(bodyStart)+len(bodyEnd)+c.bytes+64)
	out = append(out, bodyStart...)
	out = c.win.AppendAttrs(out, rid, now)
	if len(c.queue) == 0 {
		return append(out, "/>"...), nil
	}
	if c.negotiates() {
		out = append(out, streamNS...)
	}
	out = append(out, '>')
	var saved []session.Frame
	for i, f := range c.queue {
		out = append(out, f.Bytes...)
		c.upto = max(c.upto, f.Number)
		if f.Stanza != nil {
			saved = append(slices.Grow(saved, len(c.queue)-i), f)
		}
	}
	c.empty()
	return append(out, bodyEnd...), saved
}

func (c *conn) empty() {
	c.h.queued.Add(-int64(c.bytes))
	c.h.frames.Add(-int64(len(c.queue)))
	clear(c.queue)
	c.queue, c.bytes, c.load = c.queue[:0], 0, session.Load{}
	if cap(c.queue) > 16 {
		c.queue = nil
	}
}

// finish ends the session: every request is answered, the first with what is
// left to say. The rest of the work is the reaper's, so that this never blocks.
func (c *conn) finish(e ending) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended, c.end = true, e
	now := time.Now()
	lost := c.win.Unconfirmed()
	told := false
	c.unwritten()
	for _, w := range c.waiters {
		if w.gone() {
			continue
		}
		if told {
			w.reply(e.toOthers(c.legacy))
			continue
		}
		told = true
		r := e.response(c.legacy)
		r.body = c.last(e, w.rid, now)
		w.reply(r)
	}
	for _, f := range c.queue {
		if f.Stanza != nil {
			lost = append(lost, f)
		}
	}
	c.letGo()
	orphan := c.sess == nil
	if orphan {
		c.orphans = lost
	}
	c.unlock()
	if !orphan {
		c.h.bury(c, lost)
	}
}

// take handles one request of the session. It returns the request if it is not
// answered yet.
func (c *conn) take(a Arrival, n *stanza.Node, in *Request, to Waiter) Held {
	now := time.Now()
	c.mu.Lock()
	if c.ended {
		e, elsewhere := c.end, c.elsewhere
		c.mu.Unlock()
		if elsewhere && c.h.cfg.Load().Ledger != nil {
			return c.h.elsewhere(c.sess.SID(), a, n, *in, to)
		}
		if elsewhere {
			to.Respond(Response{}) // it comes again, and is passed on
		} else {
			to.Respond(e.response(c.legacy).of(c.content))
		}
		return nil
	}
	if in.Peer != "" && in.Peer == c.lastPeer && a.RID > c.lastRID {
		c.win.Got(c.lastRID)
	}
	if !a.Empty && a.RID >= c.win.next && c.win.find(a.RID) < 0 && c.h.full(len(in.Body)) {
		c.mu.Unlock()
		to.Respond(overloaded.of(c.content))
		return nil
	}
	w := &waiter{conn: c, to: to, rid: a.RID, peer: in.Peer, came: now}
	v := c.win.Accept(a, now)
	c.account()
	switch v.Outcome {
	case Fresh:
		c.park(w, n, len(in.Body))
	case Replay:
		c.idleFrom(now)
		w.reply(response{v.Response, 200}) // once it is written down
		c.unlock()
		return nil
	case Stale:
		c.mu.Unlock()
		to.Respond(ending{condition: v.Condition, reason: v.Reason}.response(c.legacy).of(c.content))
		return nil
	case Refuse:
		c.mu.Unlock()
		e := ending{condition: v.Condition, reason: v.Reason}
		c.finish(e)
		to.Respond(e.response(c.legacy).of(c.content))
		return nil
	case Again:
		if old := c.waiter(a.RID); old != nil {
			w.succeed(old)
			c.waiters = slices.DeleteFunc(c.waiters, func(o *waiter) bool { return o == old })
		}
	}
	c.waiters = append(c.waiters, w)
	slices.SortFunc(c.waiters, func(x, y *waiter) int { return cmp.Compare(x.rid, y.rid) })
	c.paused = 0
	c.mind(now)
	if !c.busy {
		c.step(now)
	}
	defer c.unlock()
	if w.done {
		return nil
	}
	w.wait(c.win.p.Wait)
	return w
}

// idleFrom restarts the inactivity clock if it runs.
func (c *conn) idleFrom(now time.Time) {
	if !c.idle.IsZero() {
		c.idle = now
	}
}

// step lets the requests whose turn it is and that carry nothing be held or
// answered, and leaves the rest to a worker. It is called with the lock held
// while nobody is at work, by whoever reads requests: that must not wait for
// what a session does.
func (c *conn) step(now time.Time) {
	for {
		a, ok := c.win.Turn()
		if !ok {
			break
		}
		w := c.waiter(a.RID)
		if !a.Empty || a.Pause || a.Terminate || c.win.Keyed() || w == nil {
			c.busy = true
			c.h.hire(c)
			return
		}
		c.unpark(w)
		c.win.Done(a.RID)
	}
	c.flush(now)
}

// work processes the requests whose turn has come, one after another. Only one
// goroutine works for a session at a time; requests that come meanwhile are
// left to it. It lets go of the lock while the session works.
func (c *conn) work() {
	if ledger := c.h.cfg.Load().Ledger; ledger != nil {
		defer ledger.Gather(c.sess.SID())()
	}
	c.mu.Lock()
	defer c.unlock()
	for !c.ended {
		a, ok := c.win.Turn()
		if !ok {
			break
		}
		if !c.win.Unlock(a) {
			c.endLocked(ending{condition: "item-not-found", reason: "key sequence broken"})
			break
		}
		var n *stanza.Node
		if w := c.waiter(a.RID); w != nil {
			n = c.unpark(w)
		}
		late := a.RID < c.win.next
		c.unlock()
		// The client may hang up; what it sent is done all the same.
		e, over := c.process(c.origin(a.RID, late), n)
		c.mu.Lock()
		if c.ended {
			break
		}
		c.win.Done(a.RID)
		if over {
			c.endLocked(e)
			break
		}
		if a.Pause && n != nil {
			c.pause(n.Attr("pause"))
		}
		c.flush(time.Now())
	}
	c.busy = false
}

func (c *conn) endLocked(e ending) {
	c.unlock()
	c.finish(e)
	c.mu.Lock()
}

// process gives the session what one body carries; over says that it is done.
func (c *conn) process(ctx context.Context, n *stanza.Node) (e ending, over bool) {
	if n == nil {
		return ending{}, false
	}
	if isTrue(n.AttrNS(NSXBOSH, "restart")) {
		o := session.Opening{To: n.Attr("to"), From: n.Attr("from"), Lang: n.AttrNS(stanza.NSXML, "lang")}
		if err := c.sess.Restart(ctx, o); err != nil {
			return c.broke(ctx, err), true
		}
		c.enqueue(c.sess.Features())
		n.Children = nil // XEP-0206 §5: to be ignored
	}
	for i := range n.Children {
		if err := c.sess.Receive(ctx, &n.Children[i]); err != nil {
			return c.broke(ctx, err), true
		}
		router.OriginOf(ctx).Next()
	}
	if !c.authed.Load() && c.sess.Authenticated() {
		c.authed.Store(true)
	}
	if n.Attr("type") == "terminate" {
		return ending{reason: "closed by the client"}, true
	}
	return ending{}, false
}

func (c *conn) enqueue(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, session.Frame{Bytes: frame})
	c.bytes += len(frame)
	c.h.queued.Add(int64(len(frame)))
	c.h.frames.Add(1)
}

// pause answers all requests and lets the client be away for as long as it
// asked, at most MaxPause; that may also be less than usual (XEP-0124 §10). It is called with the lock held.
func (c *conn) pause(asked string) {
	d := c.win.p.MaxPause
	if seconds, _ := parseNumber(asked); seconds < uint64(d/time.Second) {
		d = time.Duration(seconds) * time.Second
	}
	// The answers carry no payload; it stays for when the client is back.
	kept, size, load := c.queue, c.bytes, c.load
	c.queue, c.bytes = nil, 0
	now := time.Now()
	for {
		rid, ok := c.win.Oldest()
		if !ok {
			break
		}
		if w := c.waiter(rid); w != nil && !w.gone() {
			c.answer(w, now)
			continue
		}
		c.win.Answer(emptyBody, nil, now)
		c.account()
		c.drop(rid)
	}
	c.queue, c.bytes, c.load = kept, size, load
	c.paused = d // 0 only fetches what is held
}

// overdue says why the session is to be given up, if it is. Only one that is
// not signed in has a client that can still be told.
func (c *conn) overdue(now time.Time) (e ending, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
		return ending{}, false
	case !c.authed.Load() && now.Sub(c.born) > c.h.cfg.Load().Unauthenticated:
		return endingOf(stream.NewError(stream.ConnectionTimeout, "not authenticated in time")), true
	case c.idle.IsZero():
		return ending{}, false
	case c.paused > 0:
		return ending{condition: "item-not-found", reason: "did not come back from a pause", silent: true}, now.Sub(c.idle) > c.paused
	}
	return ending{condition: "item-not-found", reason: "inactivity", silent: true}, now.Sub(c.idle) > c.win.p.Inactivity
}
