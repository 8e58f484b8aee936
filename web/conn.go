package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// recordHandshake is the first byte of a TLS connection (RFC 8446 §5.1). No
// HTTP method begins with it.
const recordHandshake = 0x16

// connKey finds the connection in a request's context.
type connKey struct{}

// listener hands out connections that find out by themselves whether they are
// TLS. Accept never waits for a client to say something.
type listener struct {
	net.Listener
	edge *Edge
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		limit := l.edge.cfg.MaxConnections
		if n := l.edge.open.Add(1); limit > 0 && n > int64(limit) {
			l.edge.open.Add(-1)
			l.edge.refused.Add(1)
			_ = nc.Close() // it was never ours
			continue
		}
		c := &conn{Conn: nc, edge: l.edge}
		if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
			a := a.AddrPort()
			c.remote = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		}
		return c, nil
	}
}

// conn is a connection that is taken for TLS or not by the first byte read.
// Deadlines set on it are those of the network connection for both.
type conn struct {
	net.Conn
	edge    *Edge
	remote  netip.AddrPort
	tls     atomic.Pointer[tls.Conn] // set once by Read; nil = plain or silent so far
	sniffed bool                     // owned by the reader
	head    []byte                   // read before by another engine; owned by the reader
	closed  atomic.Bool
	body    body
}

// Read is never called by two goroutines at a time; net/http sees to that.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		if c.head[0] == stunFirst && !c.isTLS() {
			return 0, c.noRelay(c.head)
		}
		n := copy(p, c.head)
		if c.head = c.head[n:]; len(c.head) == 0 {
			c.head = nil
		}
		return n, nil
	}
	if t := c.tls.Load(); t != nil {
		return t.Read(p)
	}
	n, err := c.Conn.Read(p)
	if c.sniffed || n == 0 {
		return n, err
	}
	c.sniffed = true
	if p[0] == stunFirst {
		return 0, c.noRelay(p[:n])
	}
	if p[0] != recordHandshake || c.edge.cfg.TLS == nil {
		return n, err
	}
	t := tls.Server(&replay{Conn: c.Conn, head: append([]byte(nil), p[:n]...)}, c.edge.cfg.TLS)
	c.tls.Store(t)
	if err := c.handshake(t); err != nil {
		return 0, err
	}
	return t.Read(p)
}

// noRelay ends a connection that asks for a relay of WebRTC.
func (c *conn) noRelay(first []byte) error {
	if err := refuseRelay(c.Conn, first); err != nil && !errors.Is(err, io.EOF) {
		c.edge.cfg.Log.Debug("request for a relay", "remote", c.remote, "err", err)
	}
	return io.EOF // net/http would answer another error
}

// handshake bounds what the reader's deadline does not: writing.
func (c *conn) handshake(t *tls.Conn) error {
	if d := c.edge.cfg.ReadHeaderTimeout; d > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return err
		}
	}
	err := t.HandshakeContext(context.Background()) // bounded by the two deadlines
	if err != nil {
		c.edge.cfg.Log.Debug("TLS handshake", "remote", c.remote, "err", err)
		// net/http would answer another error with an HTTP response.
		return &net.OpError{Op: "read", Net: "tcp", Err: err}
	}
	return nil
}

// Write bounds each write by itself: a response may be held for long before.
func (c *conn) Write(p []byte) (int, error) {
	if d := c.edge.cfg.WriteTimeout; d > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return 0, err
		}
	}
	if t := c.tls.Load(); t != nil {
		return t.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	c.edge.open.Add(-1)
	if t := c.tls.Load(); t != nil {
		return t.Close()
	}
	return c.Conn.Close()
}

// CloseWrite lets net/http end a response to a request it does not read to its
// end without the client losing the response.
func (c *conn) CloseWrite() error {
	if t := c.tls.Load(); t != nil {
		return t.CloseWrite()
	}
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return errors.ErrUnsupported
}

// isTLS reports whether the connection speaks TLS. It is settled once a
// request has been read from it.
func (c *conn) isTLS() bool { return c.tls.Load() != nil }

// bound gives the body of the present request its time. The whole of
// http.Server.ReadTimeout would also end a request that is held.
func (c *conn) bound(rc io.ReadCloser) io.ReadCloser {
	// The deadline goes when the body has ended. If the handler leaves a rest,
	// net/http reads on under it before the next request sets its own.
	if c.Conn.SetReadDeadline(time.Now().Add(c.edge.cfg.ReadTimeout)) != nil {
		return rc // closed: reading will say so
	}
	c.body = body{rc, c} // HTTP/1.1 has one request at a time on a connection
	return &c.body
}

// body is a request's body with a deadline that ends with it.
type body struct {
	io.ReadCloser
	conn *conn
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.conn.Conn.SetReadDeadline(time.Time{}) // fails on a closed connection only
	}
	return n, err
}

// replay gives what was read before reading on.
type replay struct {
	net.Conn
	head []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.head)
	if r.head = r.head[n:]; len(r.head) == 0 {
		r.head = nil
	}
	return n, nil
}
