package longpoll

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// state is what a connection does.
type state uint8

const (
	reading     state = iota // waits for a request or for the rest of one
	serving                  // the handler has the request
	writing                  // a part of the response is still to be written
	lingering                // all is written; waits for the client to take it and go
	handshaking              // a goroutine of its own reads
)

// conn is a connection of the engine's.
type conn struct {
	engine   *Engine
	reactor  *reactor
	name     string
	remote   netip.AddrPort
	gen      int32        // tells it from others that had the descriptor
	deadline atomic.Int64 // since the epoch; 0 = none

	// mu guards what follows. It is held over reading from and writing to the
	// socket, which never wait, but not over calls of the handler. Only the
	// reactor closes the descriptor.
	mu      sync.Mutex
	state   state
	settled bool   // whether it is TLS is known
	dry     bool   // nothing to read until the next event
	more    bool   // something to read was left, or to go through
	last    bool   // no request after this
	fd      int    // -1 = closed or handed over
	seq     uint32 // of the request
	scanned int    // of pending, without the end of a head in it
	need    int    // length of the request in pending, 0 = its head has not come whole
	pending []byte // of a request that has not come whole, or of the next one
	out     []byte // of a response, for when the socket takes it
	held    Held
	tls     *tls.Conn
	socket  *socket // under tls
}

// due sets when the connection's time is over; 0 = never.
func (c *conn) due(d time.Duration) {
	if d <= 0 {
		c.deadline.Store(0)
		return
	}
	c.deadline.Store(int64(c.engine.now() + d))
}

// event is called by the reactor when something has happened on the socket.
func (c *conn) event(ev uint32) {
	c.mu.Lock()
	gone := c.react(ev)
	c.mu.Unlock()
	if gone != nil {
		gone.Gone()
	}
}

// react is called with the lock held. It returns the request whose client has
// gone.
func (c *conn) react(ev uint32) (gone Held) {
	if c.fd < 0 {
		return nil
	}
	var (
		hung = ev&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
		some = ev&unix.EPOLLIN != 0 || hung
	)
	if len(c.out) > 0 && ev&unix.EPOLLOUT != 0 {
		c.flush()
	}
	switch c.state {
	case handshaking:
		c.socket.signal()
	case serving:
		// Nothing is read: what a client sends before it has its answer waits
		// in the kernel, and its window closes.
		c.more = c.more || some
		if hung {
			return c.close()
		}
	case writing:
		c.more = c.more || some
		if ev&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			return c.close()
		}
	case lingering:
		c.dry = false
		if _, end := c.fill(c.reactor.scratch); end || hung {
			return c.close()
		}
	case reading:
		switch c.more = c.more || some; {
		case len(c.out) > 0 && ev&(unix.EPOLLHUP|unix.EPOLLERR) == 0:
			// What TLS has to say goes first, so that it cannot pile up.
		case c.more:
			return c.read(hung)
		}
	}
	return nil
}

// read takes what is there. It serves one request at most; what comes behind
// it waits for the response.
func (c *conn) read(hung bool) (gone Held) {
	buf := c.reactor.scratch
	c.dry, c.more = false, false
	n, end := c.fill(buf)
	data := buf[:n]
	full := n == len(buf)
	// A client that has hung up may have sent much before.
	end = end || hung && !full
	if !c.settled && n > 0 {
		c.settled = true
		if data[0] == recordHandshake && c.engine.cfg.TLS != nil {
			c.startTLS(data)
			return nil
		}
	}
	if len(c.pending) > 0 {
		c.pending = append(c.pending, data...)
		data = c.pending
	}
	parsed := c.need == 0
	switch size := c.whole(data); {
	case size < 0:
		return c.handOver(data)
	case size > 0:
		if !parsed {
			_ = c.reactor.head.parse(data[:c.scanned]) // again: others have been read since
		}
		return c.serve(data, size, end, full)
	case end:
		return c.close()
	}
	if len(c.pending) == 0 && n > 0 {
		c.pending = append([]byte(nil), data...)
	}
	if full {
		c.more = true
		c.rearm()
	}
	return nil
}

// whole returns the length of the request at the beginning of data, 0 if it has
// not come whole, -1 if it is not one for this engine. It also sets the time
// that the rest has.
func (c *conn) whole(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	if c.need == 0 {
		cfg := &c.engine.cfg
		n := endOfHead(data, c.scanned)
		switch {
		case n < 0, n > cfg.MaxHead, n == 0 && len(data) > cfg.MaxHead:
			return -1
		case n == 0:
			if c.scanned == 0 {
				c.due(cfg.HeaderTimeout)
			}
			c.scanned = len(data)
			return 0
		}
		h := &c.reactor.head
		if !h.parse(data[:n]) || h.length > cfg.Handler.MaxBody(h.target) {
			return -1
		}
		if c.need = n + h.length; len(data) < c.need {
			c.due(cfg.BodyTimeout)
		}
		c.scanned = n
	}
	if len(data) < c.need {
		return 0
	}
	return c.need
}

// serve gives the handler the request at the beginning of data, whose head has
// been parsed. It lets go of the lock meanwhile.
func (c *conn) serve(data []byte, size int, end, full bool) (gone Held) {
	r := c.reactor
	n := c.scanned
	r.request = Request{
		Path: r.words.get(r.head.target), Body: append([]byte(nil), data[n:size]...), Conn: c.name, Remote: c.remote,
		Secure: c.tls != nil, head: &r.head, words: &r.words, conn: c,
	}
	c.state, c.last = serving, r.head.close || c.engine.draining.Load()
	c.more = end || full || size < len(data)
	c.need, c.scanned = 0, 0
	c.seq++
	seq := c.seq
	c.due(0)
	c.mu.Unlock()
	held, ok, panicked := c.call(&r.request)
	r.request = Request{}
	c.mu.Lock()
	switch {
	case panicked:
		return c.close()
	case !ok:
		return c.handOver(data)
	case c.seq == seq && c.state == serving:
		c.held = held
	}
	if c.pending = nil; size < len(data) {
		c.pending = append([]byte(nil), data[size:]...)
	}
	if end && c.state != writing {
		return c.close()
	}
	return nil
}

// call keeps a panic of the handler from ending the node.
func (c *conn) call(r *Request) (held Held, ok, panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			c.engine.cfg.Log.Error("handler panicked", "path", r.Path, "panic", v, "stack", string(debug.Stack()))
			panicked = true
		}
	}()
	held, ok = c.engine.cfg.Handler.Serve(r)
	return held, ok, false
}

// overdue is called when the time is over or the engine is to stop.
func (c *conn) overdue(now int64, draining bool) {
	c.mu.Lock()
	var gone Held
	d := c.deadline.Load()
	switch {
	case c.fd < 0:
	case d != 0 && now >= d && c.state == reading && c.need > 0:
		c.state = serving
		c.respond(&Response{Status: http.StatusRequestTimeout, ContentType: "text/plain; charset=utf-8", Close: true, Body: []byte("Request Timeout\n")}, origin{})
	case d != 0 && now >= d, draining && c.state == reading && len(c.pending) == 0 && !c.more:
		gone = c.close()
	}
	c.mu.Unlock()
	if gone != nil {
		gone.Gone()
	}
}

// close is called by the reactor, with the lock held. It returns the request
// whose client will have no answer.
func (c *conn) close() (gone Held) {
	if c.fd < 0 {
		return nil
	}
	if c.tls != nil && c.state != handshaking {
		_ = c.tls.CloseWrite() // a courtesy; the client may be gone
	}
	gone = c.held
	fd := c.leave()
	_ = unix.Close(fd) // there is nothing to do about an error
	if c.socket != nil {
		c.socket.signal()
	}
	if f := c.engine.cfg.Closed; f != nil {
		f()
	}
	return gone
}

// leave takes the connection out of the engine and returns its descriptor.
func (c *conn) leave() (fd int) {
	c.reactor.forget(c)
	fd, c.fd = c.fd, -1
	c.held, c.pending, c.out = nil, nil, nil
	c.due(0)
	c.engine.gone()
	return fd
}

// handOver gives the connection to the general server, with what was read.
func (c *conn) handOver(data []byte) (gone Held) {
	if len(c.out) > 0 {
		// The rest of an alert cannot be written by two.
		return c.close()
	}
	head := append([]byte(nil), data...)
	if err := unix.EpollCtl(c.reactor.epoll, unix.EPOLL_CTL_DEL, c.fd, nil); err != nil {
		return c.close()
	}
	fd := c.leave()
	nc, err := netConn(fd)
	if err != nil {
		c.engine.cfg.Log.Error("hand over a connection", "err", err)
		if f := c.engine.cfg.Closed; f != nil {
			f()
		}
		return nil
	}
	if c.socket != nil {
		c.socket.general = nc
	}
	c.engine.cfg.HandOver(Connection{Conn: nc, TLS: c.tls, Head: head, Remote: c.remote})
	return nil
}

// netConn makes a descriptor one of package net's again. It takes it.
func netConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	defer f.Close()
	return net.FileConn(f) // has a copy of its own
}
