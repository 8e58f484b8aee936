package bosh

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Session is what the door needs of a session.Session.
type Session interface {
	SID() router.SID
	JID() jid.JID
	Authenticated() bool
	Features() []byte
	Restart(ctx context.Context, o session.Opening) error
	Receive(ctx context.Context, n *stanza.Node) error
	Ended(ctx context.Context, reason string, undelivered []session.Frame)
	// AppendState writes the session down; ok is false before it is bound.
	AppendState(dst []byte) (out []byte, ok bool)
	// Freeze ends the session here because it goes on elsewhere.
	Freeze()
}

// Ledger keeps sessions written down, so that another node can go on with them.
type Ledger interface {
	// Commit writes a session's state down, with the number of the last mailbox
	// frame that is in it. done is called once, soon, and must not be waited for
	// while a lock is held that it takes.
	Commit(sid router.SID, state []byte, upto uint64, done func(error))
	// Gather has what a session's request causes to be committed wait for end,
	// which carries it out together. The caller holds no lock and may wait.
	Gather(sid router.SID) (end func())
	// Fenced reports whether an error of Commit says that the session is
	// another node's by now.
	Fenced(err error) bool
	// Sure reports whether no other node can have taken this one for dead.
	Sure() bool
	// Ready waits until the node is sure.
	Ready(ctx context.Context) error
}

// Elsewhere answers a request of a session that is not here: by passing it on,
// or by taking the session up, which found then reports. It may wait for other
// nodes.
type Elsewhere interface {
	Forward(ctx context.Context, sid router.SID, in *Request) (r Response, answered, found bool)
}

// Config sets up a Handler. Zero fields take the defaults given.
type Config struct {
	// Open starts a session; the error is a *stream.Error.
	Open func(ctx context.Context, c session.Conn, o session.Opening) (Session, error)

	Wait            time.Duration // longest a request is held, default 55 s
	Hold            int           // requests held at most, default 1
	Requests        int           // at the same time at most, default Hold+1
	Inactivity      time.Duration // default 60 s
	Polling         time.Duration // default 5 s
	MaxPause        time.Duration // default 5 min
	Unauthenticated time.Duration // default 30 s
	Compress        int           // responses from this size on, 0 never
	Limits          stanza.Limits
	Queue           int   // frames waiting for a client, default 1000
	QueueBytes      int   // their size, default 1 MiB
	Memory          int64 // of what waits for all clients and what is kept of them, default 512 MiB

	// Peer tells where a request comes from and whether nobody can listen.
	Peer func(*http.Request) (remote netip.AddrPort, secure bool)
	// Origin decides on the origin of a request for CORS.
	Origin func(*http.Request) (origin string, ok bool)
	// Delivered notes how long the oldest stanza of a response took from its
	// arrival; nil notes nothing.
	Delivered func(time.Duration)
	// Ledger and Elsewhere are nil on a node that stands alone.
	Ledger    Ledger
	Elsewhere Elsewhere
	Log       *slog.Logger // nil says nothing
}

func (c Config) withDefaults() Config {
	c.Wait = cmp.Or(c.Wait, 55*time.Second)
	c.Hold = cmp.Or(c.Hold, 1)
	c.Requests = cmp.Or(c.Requests, c.Hold+1)
	c.Inactivity = cmp.Or(c.Inactivity, time.Minute)
	c.Polling = cmp.Or(c.Polling, 5*time.Second)
	c.MaxPause = cmp.Or(c.MaxPause, 5*time.Minute)
	c.Unauthenticated = cmp.Or(c.Unauthenticated, 30*time.Second)
	c.Queue = cmp.Or(c.Queue, 1000)
	c.QueueBytes = cmp.Or(c.QueueBytes, 1<<20)
	c.Memory = cmp.Or(c.Memory, 512<<20)
	c.Limits.Bytes = cmp.Or(c.Limits.Bytes, 256<<10)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

// Handler is the door: an http.Handler for every path that speaks BOSH.
type Handler struct {
	cfg      atomic.Pointer[Config]
	held     atomic.Int64
	frames   atomic.Int64 // queued for all clients
	queued   atomic.Int64 // their bytes, with what other doors reserved
	kept     atomic.Int64 // bytes of responses kept for repeats, and of requests whose turn has not come
	stopping atomic.Bool
	opened   context.Context // until the door closes
	close    context.CancelFunc
	table    table
	jobs     chan *conn // to a worker that waits
	crew     crew       // the reaper, while it runs, and those who work for a session

	mu     sync.Mutex // guards what follows
	dead   []burial
	reaper bool
	graves graves
}

// burial is a session that ended and what it left behind.
type burial struct {
	c    *conn
	lost []session.Frame
}

// New returns a Handler without sessions.
func New(cfg Config) *Handler {
	h := &Handler{jobs: make(chan *conn)}
	h.opened, h.close = context.WithCancel(context.Background())
	h.SetConfig(cfg)
	h.table.init()
	h.graves.m = make(map[router.SID]Response)
	return h
}

// SetConfig puts cfg in force for the requests and sessions to come. A session
// keeps what it negotiated; the bounds on its queue and on the time to sign in
// change for it too. cfg.Open stays the same.
func (h *Handler) SetConfig(cfg Config) {
	cfg = cfg.withDefaults()
	h.cfg.Store(&cfg)
}

// Config returns what is in force.
func (h *Handler) Config() Config { return *h.cfg.Load() }

// Stats are figures of the moment.
type Stats struct {
	Sessions    int
	Held        int64 // requests waiting for something to answer
	Queued      int64 // frames waiting for their clients
	QueuedBytes int64
	KeptBytes   int64 // of responses kept for repeats, and of requests whose turn has not come
}

// Stats returns the figures of the moment.
func (h *Handler) Stats() Stats {
	return Stats{Sessions: h.table.len(), Held: h.held.Load(), Queued: h.frames.Load(), QueuedBytes: h.queued.Load(), KeptBytes: h.kept.Load()}
}

// Run ends sessions whose client has not come back and goes on with those that
// wait for a request that is lost, until ctx ends.
func (h *Handler) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, c := range h.table.all() {
				c.giveUp(now)
				if e, over := c.overdue(now); over {
					c.finish(e)
				}
			}
			h.forget(now)
		}
	}
}

// Shutdown ends all sessions: held requests are answered, what was not
// delivered is handed back. It returns when that is done or ctx ends.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.stopping.Store(true)
	h.close()
	for _, c := range h.table.all() {
		c.finish(ending{condition: "system-shutdown", reason: "the node is shutting down"})
	}
	select {
	case <-h.crew.idle():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bury takes a session that ended out of the table and leaves the rest, which
// may wait for a store, to the reaper.
func (h *Handler) bury(c *conn, lost []session.Frame) {
	sid := c.sess.SID()
	defer h.table.remove(sid) // at no moment is it unknown
	h.mu.Lock()
	defer h.mu.Unlock()
	h.graves.add(sid, c.end.response(c.legacy).of(c.content), time.Now())
	h.dead = append(h.dead, burial{c, lost})
	if !h.reaper {
		h.reaper = true
		h.crew.join()
		go h.reap()
	}
}

// workerIdle is how long a worker waits for the next session.
const workerIdle = 5 * time.Second

// hire has a worker process what a session received: one that waits, or a new
// one. There are as many as sessions being processed at the same moment.
func (h *Handler) hire(c *conn) {
	h.crew.join()
	select {
	case h.jobs <- c:
	default:
		go h.worker(c)
	}
}

func (h *Handler) worker(c *conn) {
	timer := time.NewTimer(workerIdle)
	defer timer.Stop()
	for {
		c.work()
		h.crew.leave()
		timer.Reset(workerIdle)
		select {
		case c = <-h.jobs:
		case <-timer.C:
			return
		}
	}
}

// reap runs while there are sessions that ended and nobody was told of.
func (h *Handler) reap() {
	defer h.crew.leave()
	for {
		h.mu.Lock()
		if len(h.dead) == 0 {
			h.reaper = false
			h.mu.Unlock()
			return
		}
		batch := h.dead
		h.dead = nil
		h.mu.Unlock()
		for _, b := range batch {
			b.c.sess.Ended(context.Background(), b.c.end.log(), b.lost)
		}
	}
}

func (h *Handler) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.graves.forget(now)
}

// gone answers a request for a session that is not here: with how it ended, if
// that is remembered.
func (h *Handler) gone(sid router.SID) Response {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.graves.m[sid]; ok {
		return r
	}
	if h.stopping.Load() {
		return Response{} // it may be written down, and go on when the node is back
	}
	return ending{condition: "item-not-found", reason: "no such session"}.response(false).of("")
}
