package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/emiago/sipgo"
	"golang.org/x/sync/errgroup"
)

// Why a Source cannot listen: ErrPort for UDP and TCP, ErrTLSPort for TLS.
var (
	ErrPort    = errors.New("listen for SIP")
	ErrTLSPort = errors.New("listen for SIP over TLS")
)

// ports are what is listened to. A set is not changed, another one takes its place.
type ports struct {
	udp      *datagrams
	tcp, tls *door
}

// each calls f with what there is.
func (p *ports) each(f func(what any)) {
	if p.udp != nil {
		f(p.udp)
	}
	if p.tcp != nil {
		f(p.tcp)
	}
	if p.tls != nil {
		f(p.tls)
	}
}

func (p *ports) has(what any) (found bool) {
	p.each(func(o any) { found = found || o == what })
	return found
}

// closeBut closes all that another set has not, and the connections that came in by it.
func (p *ports) closeBut(other *ports) {
	p.each(func(what any) {
		if other.has(what) {
			return
		}
		switch c := what.(type) {
		case *datagrams:
			_ = c.Close()
		case *door:
			c.shut()
		}
	})
}

// anyPort is how often a port is looked for that is free for UDP and TCP alike.
const anyPort = 20

// open opens what a configuration has, but for what is open already by another one.
func open(ctx context.Context, cfg *Config, g *guard, old *ports, was *Config) (*ports, error) {
	kept := &ports{}
	if cfg.Listen == was.Listen && cfg.Listen != "" {
		if cfg.UDP {
			kept.udp = old.udp
		}
		if cfg.TCP {
			kept.tcp = old.tcp
		}
	}
	secure := cfg.TLSListen != "" && cfg.TLS != nil
	if secure && cfg.TLSListen == was.TLSListen {
		kept.tls = old.tls
	}
	tries := 1
	if _, port, _ := net.SplitHostPort(cfg.Listen); port == "0" && kept.udp == nil && kept.tcp == nil {
		tries = anyPort
	}
	var next *ports
	var err error
	for ; tries > 0; tries-- {
		if next, err = openPlain(ctx, cfg, g, kept); err == nil {
			break
		}
		next.closeBut(kept)
	}
	if err != nil {
		return nil, taken(ErrPort, err, cfg.Listen, old)
	}
	if secure && next.tls == nil {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", cfg.TLSListen)
		if err != nil {
			next.closeBut(kept)
			return nil, taken(ErrTLSPort, err, cfg.TLSListen, old)
		}
		next.tls = newDoor(l, g)
	}
	return next, nil
}

// openPlain opens what is missing for UDP and TCP. What it returns is to be closed on errors.
func openPlain(ctx context.Context, cfg *Config, g *guard, kept *ports) (*ports, error) {
	next := *kept
	if cfg.Listen == "" {
		return &next, nil
	}
	var lc net.ListenConfig
	at := cfg.Listen
	if next.tcp != nil {
		at = next.tcp.Addr().String() // the same, should the port be any
	}
	if cfg.UDP && next.udp == nil {
		c, err := lc.ListenPacket(ctx, "udp", at)
		if err != nil {
			return &next, err
		}
		if u, ok := c.(*net.UDPConn); ok {
			_ = u.SetReadBuffer(readBufferBytes) // as much as the system allows
		}
		next.udp = &datagrams{packets: packets{c, g}, ready: make(chan struct{})}
	}
	if next.udp != nil {
		at = next.udp.LocalAddr().String()
	}
	if cfg.TCP && next.tcp == nil {
		l, err := lc.Listen(ctx, "tcp", at)
		if err != nil {
			return &next, err
		}
		next.tcp = newDoor(l, g)
	}
	return &next, nil
}

// taken explains why a port cannot be had. A port that is listened to at another address
// has to be let go of first, and that is not done before the new one is sure.
func taken(what, err error, at string, old *ports) error {
	if _, port, _ := net.SplitHostPort(at); errors.Is(err, syscall.EADDRINUSE) {
		own := ""
		old.each(func(o any) {
			addr := addrOfPort(o).String()
			if _, p, _ := net.SplitHostPort(addr); p == port {
				own = addr
			}
		})
		if own != "" {
			return fmt.Errorf("%w: %w; it is the port of %s, which is listened to: to take the same one at another address needs a restart", what, err, own)
		}
	}
	return fmt.Errorf("%w: %w", what, err)
}

func addrOfPort(what any) net.Addr {
	if d, ok := what.(*door); ok {
		return d.Addr()
	}
	return what.(*datagrams).LocalAddr() //nolint:forcetypeassert // there is nothing else
}

// Listen binds the ports, so that a start with one that is taken fails.
func (s *Source) Listen(ctx context.Context) error {
	next, err := open(ctx, s.Config(), s.guard, &ports{}, &Config{})
	if err != nil {
		return err
	}
	s.listenBy(next)
	return nil
}

// listenBy has other ports listened to, and closes those that are not any more. A source that has
// ended listens to none.
func (s *Source) listenBy(next *ports) {
	s.portMu.Lock()
	old := s.ports.Load()
	if s.ended {
		next.closeBut(&ports{})
		s.portMu.Unlock()
		return
	}
	s.ports.Store(next)
	s.portMu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
	old.closeBut(next) // what comes to the new ones waits there already
}

// Close lets go of the ports, for good. A source that runs does so by itself.
func (s *Source) Close() {
	s.close()
	_ = s.ua.Close() // nothing was under way
}

// close lets go of the ports, for good.
func (s *Source) close() {
	s.portMu.Lock()
	defer s.portMu.Unlock()
	s.ended = true
	s.ports.Load().closeBut(&ports{})
}

// Addrs are the addresses listened to, nil for those that are not.
func (s *Source) Addrs() (udp, tcp, secure net.Addr) {
	p := s.ports.Load()
	if p.udp != nil {
		udp = p.udp.LocalAddr()
	}
	if p.tcp != nil {
		tcp = p.tcp.Addr()
	}
	if p.tls != nil {
		secure = p.tls.Addr()
	}
	return udp, tcp, secure
}

// serve takes what comes to the ports, whichever they are, until ctx ends or one fails.
func (s *Source) serve(ctx context.Context, g *errgroup.Group, server *sipgo.Server) error {
	served := &ports{}
	for {
		now := s.ports.Load()
		now.each(func(what any) {
			if served.has(what) {
				return
			}
			g.Go(func() error {
				err := s.serveOne(server, what)
				if ctx.Err() != nil || !s.ports.Load().has(what) {
					return nil
				}
				return fmt.Errorf("serve SIP at %s: %w", addrOfPort(what), errors.Join(err, net.ErrClosed))
			})
		})
		served = now
		select {
		case <-ctx.Done():
			return nil
		case <-s.moved:
		}
	}
}

func (s *Source) serveOne(server *sipgo.Server, what any) error {
	switch c := what.(type) {
	case *datagrams:
		return server.ServeUDP(c)
	case *door:
		if c != s.ports.Load().tls {
			return server.ServeTCP(c)
		}
		return server.ServeTLS(tls.NewListener(c, s.Config().TLS))
	}
	return nil
}

// datagrams is a UDP socket that tells when it is served: before that, the library would
// open it a second time for what is sent from it.
type datagrams struct {
	packets
	ready chan struct{}
	once  sync.Once
}

// ReadFrom implements net.PacketConn.
func (d *datagrams) ReadFrom(buf []byte) (int, net.Addr, error) {
	d.once.Do(func() { close(d.ready) })
	return d.packets.ReadFrom(buf)
}

// await waits until requests can be sent over a transport.
func (s *Source) await(ctx context.Context, transport string) error {
	udp := s.ports.Load().udp
	if transport != "udp" || udp == nil {
		return nil
	}
	select {
	case <-udp.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// door is a listener whose connections can be ended with it.
type door struct {
	listener

	mu   sync.Mutex // guards all below
	open map[*conn]struct{}
	over bool
}

func newDoor(l net.Listener, g *guard) *door {
	return &door{listener: listener{l, g}, open: map[*conn]struct{}{}}
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.accept()
	if err != nil {
		return nil, err
	}
	c.gone = func() {
		d.mu.Lock()
		delete(d.open, c)
		d.mu.Unlock()
	}
	d.mu.Lock()
	d.open[c] = struct{}{}
	over := d.over
	d.mu.Unlock()
	if over {
		_ = c.Close()
	}
	return c, nil
}

// shut ends the listener and all its connections.
func (d *door) shut() {
	_ = d.Close()
	d.mu.Lock()
	d.over = true
	all := make([]*conn, 0, len(d.open))
	for c := range d.open {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}
