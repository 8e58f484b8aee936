package longpoll

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Exchange answers one request. It may be copied; the zero value is of none.
type Exchange struct {
	conn   *conn
	seq    uint32
	origin origin
}

func newExchange(c *conn, o origin) Exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Exchange{c, c.seq, o}
}

// Respond writes the response, from any goroutine. It never waits for the
// client, and does nothing if that has gone or has its answer. The body is not
// kept.
func (x Exchange) Respond(r *Response) {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seq == x.seq {
		c.respond(r, x.origin)
	}
}

// respond is called with the lock held.
func (c *conn) respond(r *Response, o origin) {
	if c.fd < 0 || c.state != serving {
		return
	}
	if r.Status == 0 {
		c.abort()
		return
	}
	c.state, c.held, c.last = writing, nil, c.last || r.Close
	p := buffers.Get().(*[]byte)
	b := append(r.appendHead((*p)[:0], o, c.last, time.Now()), r.Body...)
	if c.tls != nil {
		if _, err := c.tls.Write(b); err != nil {
			c.abort()
		}
	} else {
		c.send(b)
	}
	putBuffer(p, b)
	c.written()
}

// written goes on when the socket has taken the whole response.
func (c *conn) written() {
	cfg := &c.engine.cfg
	switch {
	case len(c.out) > 0:
		c.due(cfg.WriteTimeout)
		return
	case c.last:
		// Closing at once could take the response from a client that still
		// sends (RFC 9112 §9.6).
		c.state = lingering
		c.due(lingerTime)
		if c.tls != nil {
			_ = c.tls.CloseWrite() // fails with the connection
		}
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	default:
		c.state = reading
		c.due(cfg.IdleTimeout)
	}
	if c.more {
		c.rearm()
	}
}

// send writes what the socket takes and keeps the rest. It is called with the
// lock held.
func (c *conn) send(b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	if n := c.push(b); n < len(b) {
		c.out = append([]byte(nil), b[n:]...)
	}
}

// flush writes what was kept.
func (c *conn) flush() {
	n := c.push(c.out)
	switch {
	case n == len(c.out):
		if c.out = nil; c.state == writing {
			c.written()
		} else if c.more {
			c.rearm()
		}
	case n > 0:
		c.out = c.out[n:]
		if c.state == writing {
			c.due(c.engine.cfg.WriteTimeout)
		}
	}
}

// push returns how much the socket took: all of it if the connection is broken.
func (c *conn) push(b []byte) (n int) {
	for n < len(b) {
		m, err := unix.Write(c.fd, b[n:])
		switch {
		case err == nil:
			n += m
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return n
		default:
			c.abort()
			return len(b)
		}
	}
	return n
}

// abort breaks the connection; the reactor hears of it and closes.
func (c *conn) abort() {
	c.more, c.out = true, nil
	_ = unix.Shutdown(c.fd, unix.SHUT_RDWR) // fails if it is broken already
}

// rearm has the reactor told again of what the socket is ready for.
func (c *conn) rearm() {
	_ = unix.EpollCtl(c.reactor.epoll, unix.EPOLL_CTL_MOD, c.fd, c.interest())
}
