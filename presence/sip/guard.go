package sip

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is taken from outside. SIP servers share few connections; what
// is more is no call manager.
const (
	maxConns        = 1024
	maxConnsAddr    = 64
	maxBuckets      = 4096
	trustedIdle     = time.Hour
	strangerIdle    = time.Minute
	strangersAmong  = maxConns / 4 // connections of addresses that are not trusted
	strangersList   = 16           // of them, where messages may be as large as a list
	defaultRate     = 2000
	readBufferBytes = 4 << 20 // of the UDP socket, for bursts
)

// guard decides whose bytes are read at all. It guards its maps by mu.
type guard struct {
	terms         atomic.Pointer[terms]
	strangersMost int // connections; not changed once it is used
	now           func() time.Time

	mu      sync.Mutex
	peers   map[netip.Addr]struct{} // of servers that are subscribed to
	buckets map[netip.Addr]*bucket
	conns   map[netip.Addr]int
	total   int
	foreign int
}

// terms are what a guard goes by. They may change.
type terms struct {
	trusted   []netip.Prefix
	strangers bool // others may come over TCP and TLS, to sign in
	rate      float64
}

type bucket struct {
	left float64
	at   time.Time
}

func newGuard(trusted []netip.Prefix, strangers bool, rate int) *guard {
	g := &guard{strangersMost: strangersAmong, now: time.Now, peers: map[netip.Addr]struct{}{}, buckets: map[netip.Addr]*bucket{}, conns: map[netip.Addr]int{}}
	g.set(trusted, strangers, rate)
	return g
}

// set has the guard go by other terms.
func (g *guard) set(trusted []netip.Prefix, strangers bool, rate int) {
	if rate <= 0 {
		rate = defaultRate
	}
	g.terms.Store(&terms{trusted, strangers, float64(rate)})
}

// trusts reports whether requests of an address are taken without a password.
func (g *guard) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(g.terms.Load().trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}

// know lets a server in that is subscribed to, for its responses and NOTIFYs.
func (g *guard) know(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.peers) < maxBuckets {
		g.peers[a.Unmap()] = struct{}{}
	}
}

func (g *guard) knows(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.peers[a]
	return ok
}

// take counts one message of an address against its rate.
func (g *guard) take(a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, rate := g.now(), g.terms.Load().rate
	b := g.buckets[a]
	if b == nil {
		if len(g.buckets) >= maxBuckets {
			clear(g.buckets)
		}
		b = &bucket{left: rate, at: now}
		g.buckets[a] = b
	}
	b.left = min(rate, b.left+now.Sub(b.at).Seconds()*rate)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func addrOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// packets is a UDP socket of which only datagrams of known addresses are read:
// others cost neither a parser nor a transaction, and cannot be told apart from
// those with a forged address.
type packets struct {
	net.PacketConn
	guard *guard
}

// ReadFrom implements net.PacketConn.
func (p packets) ReadFrom(buf []byte) (int, net.Addr, error) {
	for {
		n, from, err := p.PacketConn.ReadFrom(buf)
		if err != nil {
			return n, from, err
		}
		if a := addrOf(from); (p.guard.trusts(a) || p.guard.knows(a)) && p.guard.take(a) {
			return n, from, nil
		}
	}
}

// listener takes connections within the bounds.
type listener struct {
	net.Listener
	guard *guard
}

func (l listener) accept() (*conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		a := addrOf(c.RemoteAddr())
		known := l.guard.trusts(a) || l.guard.knows(a)
		if !l.guard.admit(a, known) {
			_ = c.Close() // nothing was said on it
			continue
		}
		idle := strangerIdle
		if known {
			idle = trustedIdle
		}
		return &conn{Conn: c, guard: l.guard, addr: a, known: known, idle: idle}, nil
	}
}

func (g *guard) admit(a netip.Addr, known bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !known && (!g.terms.Load().strangers || g.foreign >= g.strangersMost) || g.total >= maxConns || g.conns[a] >= maxConnsAddr {
		return false
	}
	g.total++
	g.conns[a]++
	if !known {
		g.foreign++
	}
	return true
}

func (g *guard) release(a netip.Addr, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.conns[a]--; g.conns[a] <= 0 {
		delete(g.conns, a)
	}
	if !known {
		g.foreign--
	}
}

// conn ends when it is silent for too long, and is counted until then.
type conn struct {
	net.Conn
	guard *guard
	addr  netip.Addr
	known bool
	idle  time.Duration
	once  sync.Once
	gone  func() // called when it is closed; may be nil
}

// Read implements net.Conn.
func (c *conn) Read(buf []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(buf)
}

// Write implements net.Conn: a peer that reads nothing holds up nobody for long.
func (c *conn) Write(buf []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	return c.Conn.Write(buf)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.guard.release(c.addr, c.known)
		if c.gone != nil {
			c.gone()
		}
	})
	return c.Conn.Close()
}
