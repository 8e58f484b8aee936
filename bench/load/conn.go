//go:build linux

package load

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/deskline/deskline/bench/wire"
)

// resends is how often a request goes out again after its connection died.
const resends = 3

// conn is one keep-alive connection of a session and the request under way on
// it.
type conn struct {
	s    *session
	fd   int    // -1: not connected
	rid  uint64 // 0: free
	out  []byte // the request, kept for sending it again
	off  int    // what of it is written
	in   []byte // a response that came in pieces
	lost int    // how often this request lost its connection
}

func (c *conn) dial() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	l, addr := c.s.f.loop, &c.s.f.nodes[c.s.index%2]
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if addr.Addr[0] == 127 { // spread over loopback addresses, ports are finite
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		src := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + l.opened/perSource%250)}}
		if err := unix.Bind(fd, &src); err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("bind source address: %w", err)
		}
	}
	l.opened++
	if err := unix.Connect(fd, addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		_ = unix.Close(fd)
		return fmt.Errorf("connect: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("watch socket: %w", err)
	}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	c.fd = fd
	return nil
}

func (c *conn) close() {
	if c.fd >= 0 {
		c.s.f.loop.conns[c.fd] = nil
		_ = unix.Close(c.fd)
	}
	c.fd, c.in = -1, c.in[:0]
}

// start sends the request in c.out.
func (c *conn) start(rid uint64) {
	c.rid, c.off, c.lost = rid, 0, 0
	if c.fd < 0 {
		if err := c.dial(); err != nil {
			c.s.fail(err)
			return
		}
	}
	c.write()
}

func (c *conn) write() {
	for c.off < len(c.out) {
		n, err := unix.Write(c.fd, c.out[c.off:])
		if err != nil {
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOTCONN) {
				return // the writable event comes
			}
			c.broken()
			return
		}
		c.off += n
	}
}

func (c *conn) event(ev uint32) {
	if ev&unix.EPOLLOUT != 0 && c.rid != 0 && c.off < len(c.out) {
		c.write()
	}
	if c.fd >= 0 && ev&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.read(ev&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// read takes what is there. A short read has drained the socket: the events are
// edge-triggered, and more bytes make a new edge.
func (c *conn) read(closing bool) {
	buf := c.s.f.loop.buf
	for {
		n, err := unix.Read(c.fd, buf)
		switch {
		case err != nil && errors.Is(err, unix.EAGAIN):
			return
		case err != nil || n == 0:
			c.broken()
			return
		}
		data := buf[:n]
		if len(c.in) > 0 {
			c.in = append(c.in, data...)
			data = c.in
		}
		fd := c.fd
		if !c.take(data) || c.fd != fd {
			return
		}
		if n < len(buf) && !closing {
			return
		}
	}
}

// take handles the response in data, or keeps an unfinished one. It reports
// whether the connection is still usable.
func (c *conn) take(data []byte) bool {
	resp, used, err := wire.ParseResponse(data)
	if err != nil {
		c.s.fail(err)
		return false
	}
	if used == 0 {
		if len(c.in) == 0 {
			c.in = append(c.in, data...)
		}
		return true
	}
	rid := c.rid
	if rid == 0 || used != len(data) {
		c.s.fail(fmt.Errorf("response without a request, status %d", resp.Status))
		return false
	}
	c.rid = 0
	kept := c.in
	c.in = nil // the body may alias it
	if resp.Close {
		c.close()
	}
	c.s.response(rid, resp)
	c.in = kept[:0]
	return c.fd >= 0
}

// broken reacts to a dead connection: a request under way is sent again on a
// new one, with its number.
func (c *conn) broken() {
	c.close()
	if c.rid == 0 {
		return
	}
	c.s.f.Resent++
	if c.lost++; c.lost > resends && !c.s.f.moved {
		c.s.fail(errors.New("connection lost again and again"))
		return
	}
	c.off = 0
	if err := c.dial(); err != nil {
		c.s.fail(err)
		return
	}
	c.write()
}
