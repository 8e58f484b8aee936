package websocket

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stream"
)

// conn is one client: a session.Conn.
type conn struct {
	door   *Door
	limits *Limits
	info   session.ConnInfo
	ws     *websocket.Conn

	hearing sync.Mutex // held while the client is being heard; guards sess; before mu
	sess    Session    // nil until the stream is open

	began  time.Time
	heard  atomic.Int64 // when the client last gave a sign of life, nanoseconds since began
	opened atomic.Bool  // <open/> is on its way, nothing may come before it
	bound  atomic.Bool

	wake  chan struct{}  // tells the writer of a change below
	pings sync.WaitGroup // of the writer

	mu    sync.Mutex // guards below
	queue []session.Frame
	load  session.Load // of queue and of what is being written
	over  *ending
	net   net.Conn // below ws
}

// ending is why a connection ends and what the client is told.
type ending struct {
	reason   string        // for logs and counts: a stream error's condition; or closed, left (without closing the stream), lost
	err      *stream.Error // nil = none to tell
	seeOther string
	status   websocket.StatusCode
	lost     bool // nothing can be told any more
}

func newConn(d *Door, info session.ConnInfo) *conn {
	return &conn{door: d, limits: d.limits.Load(), info: info, wake: make(chan struct{}, 1), began: time.Now()}
}

// hijack keeps the network connection that is taken over, which websocket.Conn
// would not cut while it waits for the client's part of a close.
type hijack struct {
	http.ResponseWriter
	conn *conn
}

func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil {
		h.conn.mu.Lock()
		h.conn.net = nc
		h.conn.mu.Unlock()
	}
	return nc, rw, err
}

// cut ends the connection at once.
func (c *conn) cut() {
	c.mu.Lock()
	nc := c.net
	c.mu.Unlock()
	if nc != nil {
		_ = nc.Close() // what is not closed is broken
	}
}

// Info implements session.Conn.
func (c *conn) Info() session.ConnInfo { return c.info }

// Write implements session.Conn.
func (c *conn) Write(frames ...session.Frame) error {
	if err := c.push(frames, session.LoadOf(frames)); err != nil {
		return err
	}
	c.stir()
	return nil
}

func (c *conn) push(frames []session.Frame, more session.Load) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return session.ErrEnded
	}
	if !c.load.Fits(more, c.limits.Queue, c.limits.QueueBytes) {
		return session.ErrBacklog
	}
	if b := c.door.cfg.Budget; b != nil && !b.Reserve(more.Bytes) {
		return session.ErrBacklog
	}
	c.queue = append(c.queue, frames...)
	c.load = c.load.Plus(more)
	return nil
}

// stir wakes the writer.
func (c *conn) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close implements session.Conn.
func (c *conn) Close(reason *stream.Error) error {
	if reason == nil {
		c.end(&ending{reason: "closed", status: websocket.StatusNormalClosure})
		return nil
	}
	if reason.Condition == stream.SeeOtherHost && strings.Contains(reason.Detail, "://") {
		c.end(&ending{reason: reason.Condition, seeOther: reason.Detail, status: websocket.StatusNormalClosure}) // RFC 7395 §3.6.1
		return nil
	}
	status := websocket.StatusNormalClosure
	if reason.Condition == stream.SystemShutdown {
		status = websocket.StatusGoingAway
	}
	c.end(&ending{reason: reason.Condition, err: reason, status: status})
	return nil
}

// end sets why the connection ends; the first reason counts.
func (c *conn) end(e *ending) {
	c.mu.Lock()
	first := c.over == nil
	if first {
		c.over = e
	}
	c.mu.Unlock()
	if first && e.lost {
		c.cut()
	}
	c.stir()
}

// isOver returns why the connection ends, nil while it does not.
func (c *conn) isOver() *ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// next returns what is to be written now, and why the connection ends if
// nothing is left before that.
func (c *conn) next() ([]session.Frame, *ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil && (c.over.lost || len(c.queue) == 0) {
		return nil, c.over
	}
	batch := c.queue
	c.queue = nil
	return batch, nil
}

// wrote accounts for a batch; rest are those not written.
func (c *conn) wrote(batch, rest []session.Frame) {
	gone := session.LoadOf(batch[:len(batch)-len(rest)])
	c.release(gone.Bytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load = c.load.Minus(gone)
	if len(rest) > 0 {
		c.queue = append(rest[:len(rest):len(rest)], c.queue...)
	} else if c.queue == nil && cap(batch) <= 16 {
		clear(batch)
		c.queue = batch[:0]
	}
}

func (c *conn) release(size int) {
	if c.door.cfg.Budget != nil {
		c.door.cfg.Budget.Release(size)
	}
}

// undelivered takes what was never written. Nothing can be queued after it,
// because the end has been set.
func (c *conn) undelivered() []session.Frame {
	c.mu.Lock()
	rest, load := c.queue, c.load
	c.queue, c.load = nil, session.Load{}
	c.mu.Unlock()
	c.release(load.Bytes)
	return rest
}

// hear notes a sign of life.
func (c *conn) hear() { c.heard.Store(int64(time.Since(c.began))) }

// write is the loop that writes, and watches the time. It ends the session as
// soon as all is written, not only when the client has taken its leave too.
func (c *conn) write(ctx context.Context) {
	defer c.pings.Wait()
	defer func() { _ = c.ws.CloseNow() }() // an error here was told where it arose
	over, broken := c.pump(ctx)
	told := !broken && c.farewell(ctx, over)
	c.finish(ctx, over)
	if told {
		late := time.AfterFunc(c.door.cfg.CloseWait, c.cut)
		defer late.Stop()
		_ = c.ws.Close(over.status, "") // it is over either way
	}
}

// pump writes until the connection is over; broken says that no more can be
// written.
func (c *conn) pump(ctx context.Context) (over *ending, broken bool) {
	timer := time.NewTimer(c.tick(ctx))
	defer timer.Stop()
	for {
		batch, over := c.next()
		if over != nil {
			return over, over.lost
		}
		if len(batch) > 0 {
			rest := c.send(ctx, batch)
			c.delivered(batch[:len(batch)-len(rest)])
			c.wrote(batch, rest)
			if len(rest) > 0 {
				c.end(&ending{reason: "lost", lost: true})
				return c.isOver(), true
			}
			continue
		}
		select {
		case <-c.wake:
		case <-timer.C:
			timer.Reset(c.tick(ctx))
		}
	}
}

// delivered notes how long the oldest of the frames took.
func (c *conn) delivered(frames []session.Frame) {
	note := c.door.cfg.Delivered
	if note == nil {
		return
	}
	for i := range frames {
		if st := frames[i].Stanza; st != nil && !st.Arrived.IsZero() {
			note(time.Since(st.Arrived))
			return
		}
	}
}

// finish ends the session, after what the client is being heard for.
func (c *conn) finish(ctx context.Context, over *ending) {
	c.hearing.Lock()
	defer c.hearing.Unlock()
	rest := c.undelivered()
	if c.sess != nil {
		c.sess.Ended(ctx, over.reason, rest)
		return
	}
	c.door.cfg.Log.DebugContext(ctx, "WebSocket ended without a session", "remote", c.info.Remote.Addr().String(), "reason", over.reason)
}

// send writes frames and returns those that it could not.
func (c *conn) send(ctx context.Context, frames []session.Frame) []session.Frame {
	for i := range frames {
		if err := c.sendOne(ctx, frames[i].Bytes); err != nil {
			c.door.cfg.Log.DebugContext(ctx, "WebSocket write", "remote", c.info.Remote.Addr().String(), "err", err)
			return frames[i:]
		}
	}
	return nil
}

func (c *conn) sendOne(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.door.cfg.WriteTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, data)
}

// farewell ends the stream (RFC 7395 §3.5, §3.6).
func (c *conn) farewell(ctx context.Context, over *ending) bool {
	var list []session.Frame
	if !c.opened.Load() {
		// An error has to stand in a stream.
		list = append(list, session.Frame{Bytes: c.opening(c.door.cfg.Domain)})
	}
	if over.err != nil {
		list = append(list, session.Frame{Bytes: over.err.AppendXML(nil)})
	}
	list = append(list, session.Frame{Bytes: closing(over.seeOther)})
	return c.send(ctx, list) == nil
}

// tick does what time asks for and returns how long until it has to look again.
func (c *conn) tick(ctx context.Context) time.Duration {
	const never = 24 * time.Hour
	cfg, now := &c.door.cfg, time.Since(c.began)
	wait := never
	if !c.bound.Load() {
		if wait = c.limits.Unauthenticated - now; wait <= 0 {
			_ = c.Close(stream.NewError(stream.ConnectionTimeout, "not logged in in time"))
			return never
		}
	}
	ping := c.limits.Ping
	if ping <= 0 {
		return wait
	}
	silent := now - time.Duration(c.heard.Load())
	switch {
	case silent >= ping+cfg.PingWait:
		c.end(&ending{reason: stream.ConnectionTimeout, lost: true})
		return never
	case silent >= ping:
		c.pings.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, cfg.PingWait)
			defer cancel()
			_ = c.ws.Ping(ctx) // the pong is heard by the reader
		})
		return min(wait, cfg.PingWait)
	}
	return min(wait, ping-silent)
}
