package bosh

import (
	"net/http"

	"github.com/deskline/deskline/xmpp/stanza"
)

// maxAnonymous is the largest body of a client that nobody knows yet: more than
// any login takes, and little to hold for strangers (RFC 6120 §13.12).
const maxAnonymous = 16 << 10

var tooMuchAnonymous = ending{condition: "policy-violation", reason: "body too large before authentication"}

// overloaded puts a client off that sends more while there is no memory left:
// it is to send the request again, whether it goes by the code or by the body
// (XEP-0124 §17.3).
var overloaded = response{[]byte("<body xmlns='" + NS + "' type='error'/>"), http.StatusServiceUnavailable}

// full reports whether n bytes more are too many.
func (h *Handler) full(n int) bool {
	return h.queued.Load()+h.kept.Load()+int64(n) > h.cfg.Load().Memory
}

// Reserve takes n bytes of the memory for what waits for all clients, for a
// door that shares the bound; false if there are not so many left.
func (h *Handler) Reserve(n int) bool {
	if h.queued.Add(int64(n))+h.kept.Load() > h.cfg.Load().Memory {
		h.queued.Add(-int64(n))
		return false
	}
	return true
}

// Release gives back what Reserve took.
func (h *Handler) Release(n int) { h.queued.Add(-int64(n)) }

// account makes the handler's figures follow the window. Like all below it is
// called with the lock held.
func (c *conn) account() {
	if kept := c.win.Kept(); kept != c.kept {
		c.h.kept.Add(int64(kept - c.kept))
		c.kept = kept
	}
}

// park leaves a request with its waiter until its turn has come.
func (c *conn) park(w *waiter, n *stanza.Node, size int) {
	w.parked, w.size = n, size
	c.h.kept.Add(int64(size))
}

// unpark takes what was parked.
func (c *conn) unpark(w *waiter) *stanza.Node {
	n := w.parked
	c.h.kept.Add(-int64(w.size))
	w.parked, w.size = nil, 0
	return n
}

// letGo gives back the memory of a session that is over.
func (c *conn) letGo() {
	for _, w := range c.waiters {
		c.unpark(w)
	}
	c.empty()
	c.waiters = nil
	c.h.kept.Add(-int64(c.kept))
	c.kept = 0
}
