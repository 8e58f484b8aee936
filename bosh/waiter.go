package bosh

import (
	"cmp"
	"time"

	"github.com/deskline/deskline/xmpp/stanza"
)

// Waiter gets the response to one request, whatever carries HTTP.
type Waiter interface {
	// Respond is called once, from any goroutine and with no lock held. It must
	// not wait for the client.
	Respond(r Response)
}

// response is what a request of a session gets.
type response struct {
	body   []byte
	status int
}

// of adds the content type that a client wants all responses to have.
func (r response) of(content string) Response {
	return Response{Body: r.body, ContentType: cmp.Or(content, defaultContent), Status: r.status}
}

// Response is what a request gets. Without a status it gets none, and its
// connection is closed: the client sends it again.
type Response struct {
	Body        []byte
	ContentType string
	Status      int
	Close       bool // the connection, after this
}

// Held is a request that waits for its response.
type Held interface {
	// Gone says that the client has gone and nobody waits any more.
	Gone()
}

// waiter is a request of a session that is not answered yet. The lock of its
// conn guards it.
type waiter struct {
	conn   *conn
	to     Waiter
	rid    uint64
	peer   string // the connection, to see it used again
	cut    bool   // the client has gone
	done   bool   // answered
	held   bool   // counted as such
	came   time.Time
	timer  *time.Timer // ends the wait
	twin   *waiter     // an earlier copy of the request, answered alike
	parked *stanza.Node
	size   int      // bytes accounted for it
	answer response // when done
	next   *waiter  // answered with it

	arrived time.Time // of the oldest stanza in the response
}

// reply answers the request and its copies as soon as the lock is let go of.
func (w *waiter) reply(r response) {
	for ; w != nil; w = w.twin {
		if w.done {
			continue
		}
		w.done, w.answer = true, r
		w.rest()
		if w.cut {
			continue
		}
		last := &w.conn.settled
		for *last != nil {
			last = &(*last).next
		}
		*last = w
	}
}

// unlock lets go of the lock, and then writes the responses that were settled
// under it.
func (c *conn) unlock() {
	if c.settled != nil && c.commit() {
		return
	}
	w := c.settled
	c.settled = nil
	c.mu.Unlock()
	c.respond(w)
}

// respond writes responses. It is called without the lock.
func (c *conn) respond(w *waiter) {
	for w != nil {
		next := w.next
		w.next = nil
		w.to.Respond(w.answer.of(c.content))
		if note := c.h.cfg.Load().Delivered; note != nil && !w.arrived.IsZero() {
			note(time.Since(w.arrived))
		}
		w = next
	}
}

// wait lets the request be held for as long as was agreed.
func (w *waiter) wait(d time.Duration) {
	w.held = true
	w.conn.h.held.Add(1)
	w.timer = time.AfterFunc(d, w.expire)
}

// rest ends the wait.
func (w *waiter) rest() {
	if w.held {
		w.held = false
		w.conn.h.held.Add(-1)
		w.timer.Stop()
	}
}

// Gone implements Held.
func (w *waiter) Gone() {
	c := w.conn
	c.mu.Lock()
	defer c.unlock()
	w.cut = true
	w.rest()
	c.mind(time.Now())
}

// expire answers a request that was held long enough.
func (w *waiter) expire() {
	c := w.conn
	c.mu.Lock()
	defer c.unlock()
	if w.done || w.cut || c.ended {
		return
	}
	held := c.waiter(w.rid)
	if held.answers(w) {
		if rid, ok := c.win.Oldest(); ok && rid == w.rid {
			c.answer(held, time.Now())
		}
	}
	if !w.done {
		// Requests before it may still be at work; it is answered after.
		w.timer.Reset(time.Second)
	}
}

// answers reports whether o is w or an earlier copy.
func (w *waiter) answers(o *waiter) bool {
	for ; w != nil; w = w.twin {
		if w == o {
			return true
		}
	}
	return false
}

// gone reports whether nobody waits for the response any more.
func (w *waiter) gone() bool {
	for ; w != nil; w = w.twin {
		if !w.cut {
			return false
		}
	}
	return true
}

// copiesKept is how many copies of a request wait for its response.
const copiesKept = 4

// succeed takes the place of an earlier copy of the same request. Nobody knows
// which of them the client waits for: the one that came last may be the one it
// gave up first, on its way through a proxy or a node that was cut off, or the
// network has doubled it. So all are answered alike. XEP-0124 §14.3 would have
// the earlier one get an error that clients take for the response.
func (w *waiter) succeed(old *waiter) {
	w.parked, w.size = old.parked, old.size
	old.parked, old.size = nil, 0
	w.twin = old
	last := w
	for i := 1; i < copiesKept && last.twin != nil; i++ {
		last = last.twin
	}
	last.twin.reply(response{}) // its connection is cut, and its client, if it waits, comes again
	last.twin = nil
}
