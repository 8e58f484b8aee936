package longpoll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Engine serves connections until Shutdown.
type Engine struct {
	cfg      Config
	epoch    time.Time // deadlines count from here
	reactors []*reactor
	turn     atomic.Uint32

	draining atomic.Bool
	closing  atomic.Bool
	work     sync.WaitGroup // reactors and handshakes

	mu    sync.Mutex // guards open
	open  int
	empty chan struct{} // closed when nothing is open and draining

	emptied sync.Once
}

// maxReactors is enough to read for as many processors as there will be: a
// reactor only parses heads and calls the handler.
const maxReactors = 4

// New starts an engine.
func New(cfg Config) (*Engine, error) {
	cfg.MaxHead = cmp.Or(cfg.MaxHead, defaultMaxHead)
	e := &Engine{cfg: cfg, epoch: time.Now(), empty: make(chan struct{})}
	for range min(maxReactors, max(1, runtime.GOMAXPROCS(0)/2)) {
		r, err := newReactor(e)
		if err != nil {
			for _, r := range e.reactors {
				r.release()
			}
			return nil, err
		}
		e.reactors = append(e.reactors, r)
	}
	for _, r := range e.reactors {
		e.work.Go(r.run)
	}
	return e, nil
}

// Add takes over a connection. On an error it is left as it was; on
// [ErrUnsupported] it is none that the engine can wait for.
func (e *Engine) Add(nc net.Conn) error {
	remote, ok := nc.RemoteAddr().(*net.TCPAddr)
	sc, isSys := nc.(syscall.Conn)
	if !ok || !isSys || e.draining.Load() {
		return ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("take over a connection: %w", err)
	}
	// The runtime's poller would be woken for each byte as well, so that it must
	// not know the descriptor; what is open behind it stays as it is.
	fd := -1
	ctlErr := raw.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(ctlErr, err); err != nil {
		return fmt.Errorf("take over a connection: %w", err)
	}
	addr := remote.AddrPort()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	c := &conn{engine: e, fd: fd, name: remote.String(), remote: addr}
	c.reactor = e.reactors[int(e.turn.Add(1))%len(e.reactors)]
	c.due(e.cfg.HeaderTimeout)
	e.mu.Lock()
	e.open++
	e.mu.Unlock()
	if err := c.reactor.add(c); err != nil {
		_ = unix.Close(fd) // the copy; the connection is the caller's still
		e.gone()
		return err
	}
	_ = nc.Close() // the copy has it now
	return nil
}

// gone counts a connection that is the engine's no more.
func (e *Engine) gone() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open--
	e.checkEmpty()
}

func (e *Engine) checkEmpty() {
	if e.open == 0 && e.draining.Load() {
		e.emptied.Do(func() { close(e.empty) })
	}
}

// Shutdown is called once. It closes idle connections, lets the others finish their request, and
// closes what is left when ctx ends. What is held has to be answered by the
// handler before. Nothing is added from now on.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.draining.Store(true)
	e.checkEmpty()
	e.mu.Unlock()
	e.wake()
	var err error
	select {
	case <-e.empty:
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.closing.Store(true)
	e.wake()
	e.work.Wait()
	for _, r := range e.reactors {
		r.release()
	}
	return err
}

func (e *Engine) wake() {
	for _, r := range e.reactors {
		r.wake()
	}
}

// now is the time since the epoch.
func (e *Engine) now() time.Duration { return time.Since(e.epoch) }
