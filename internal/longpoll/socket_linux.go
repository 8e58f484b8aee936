package longpoll

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// recordHandshake is the first byte of a TLS connection (RFC 8446 §5.1). No
// HTTP method begins with it.
const recordHandshake = 0x16

// errDry says that there is nothing to read now. crypto/tls takes an error that
// is temporary for no end of its connection.
var errDry error = dry{}

type dry struct{}

func (dry) Error() string   { return "nothing to read" }
func (dry) Timeout() bool   { return false }
func (dry) Temporary() bool { return true }

// recv reads from the socket without waiting. It is called with the lock held.
func (c *conn) recv(p []byte) (int, error) {
	for !c.dry {
		n, err := unix.Read(c.fd, p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			// There is no more than that; what comes is told by an event.
			c.dry = n < len(p)
			return n, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			c.dry = true
		default:
			return 0, err
		}
	}
	return 0, errDry
}

// fill reads until there is nothing more or the buffer is full; end says that
// nothing will come any more.
func (c *conn) fill(buf []byte) (n int, end bool) {
	for n < len(buf) {
		var m int
		var err error
		if c.tls != nil {
			m, err = c.tls.Read(buf[n:])
		} else {
			m, err = c.recv(buf[n:])
		}
		n += m
		if err != nil {
			return n, !errors.Is(err, errDry)
		}
	}
	return n, false
}

// startTLS leaves the connection to a goroutine until the handshake is done.
func (c *conn) startTLS(data []byte) {
	c.state = handshaking
	c.socket = &socket{conn: c, head: append([]byte(nil), data...), ready: make(chan struct{}, 1)}
	c.tls = tls.Server(c.socket, c.engine.cfg.TLS)
	c.engine.work.Go(c.handshake)
}

func (c *conn) handshake() {
	err := c.tls.HandshakeContext(context.Background()) // the reactor closes when its time is over
	c.mu.Lock()
	defer c.mu.Unlock()
	c.socket.ready, c.socket.head = nil, nil
	if c.fd < 0 {
		return
	}
	c.socket.inline = true
	c.state = reading
	if err != nil {
		c.engine.cfg.Log.Debug("TLS handshake", "remote", c.remote, "err", err)
		c.abort()
	}
	c.more = true
	c.rearm()
}

// socket is the net.Conn under a tls.Conn.
type socket struct {
	conn   *conn
	head   []byte        // read before
	ready  chan struct{} // something has happened, while the handshake is under way
	inline bool          // called with the lock held; nothing waits

	general net.Conn // has the connection, after it was handed over
}

func (s *socket) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case s.general != nil:
		return s.general.Read(p)
	case s.inline:
		return s.conn.recv(p)
	case len(s.head) > 0:
		n := copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	for {
		n, err := s.try(p)
		if !errors.Is(err, errDry) {
			return n, err
		}
		<-s.ready
	}
}

func (s *socket) try(p []byte) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	c.dry = false
	return c.recv(p)
}

// Write implements net.Conn. Before the connection is handed over it never
// waits.
func (s *socket) Write(p []byte) (int, error) {
	switch {
	case s.general != nil:
		return s.general.Write(p)
	case !s.inline:
		s.conn.mu.Lock()
		defer s.conn.mu.Unlock()
	}
	if s.conn.fd < 0 {
		return 0, net.ErrClosed
	}
	s.conn.send(p)
	return len(p), nil
}

// Close implements net.Conn. As long as the connection is the engine's only the
// reactor closes it.
func (s *socket) Close() error {
	if s.general != nil {
		return s.general.Close()
	}
	return nil
}

// LocalAddr implements net.Conn. Nobody asks before the connection is handed over.
func (s *socket) LocalAddr() net.Addr {
	if s.general != nil {
		return s.general.LocalAddr()
	}
	return &net.TCPAddr{}
}

// RemoteAddr implements net.Conn.
func (s *socket) RemoteAddr() net.Addr {
	if s.general != nil {
		return s.general.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(s.conn.remote)
}

// SetDeadline implements net.Conn. The engine's connections have the reactor's.
func (s *socket) SetDeadline(t time.Time) error {
	if s.general != nil {
		return s.general.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (s *socket) SetReadDeadline(t time.Time) error {
	if s.general != nil {
		return s.general.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn.
func (s *socket) SetWriteDeadline(t time.Time) error {
	if s.general != nil {
		return s.general.SetWriteDeadline(t)
	}
	return nil
}
