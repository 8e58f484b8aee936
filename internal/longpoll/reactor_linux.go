package longpoll

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reactor is one goroutine that reads for many connections.
type reactor struct {
	engine *Engine
	epoll  int
	alarm  int      // an eventfd, to wake it
	file   *os.File // of epoll, for the runtime's poller
	wait   syscall.RawConn

	// Owned by the goroutine.
	scratch []byte
	head    head
	request Request
	words   words
	batch   [128]unix.EpollEvent
	ready   [128]*conn
	swept   []*conn // used again and again

	mu    sync.Mutex // guards what follows
	conns []*conn    // by descriptor
	gen   int32
}

// scratchSize is what is read from a connection at a time. A TLS record fits.
const scratchSize = 64 << 10

// interest is registered once. Edge-triggered, so that what nobody reads now
// costs nothing; it is told again after [conn.rearm].
const interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

func newReactor(e *Engine) (*reactor, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	alarm, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(ep)
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	r := &reactor{engine: e, epoll: ep, alarm: alarm, scratch: make([]byte, scratchSize), words: words{make(map[string]string)}}
	r.head.fields = make([]field, 0, maxFields)
	// A thread that waits in the kernel would keep a processor from those it has
	// made ready. An epoll can be watched by another: it is the runtime that waits.
	err = unix.SetNonblock(ep, true)
	r.file = os.NewFile(uintptr(ep), "epoll")
	if err == nil {
		r.wait, err = r.file.SyscallConn()
	}
	if err != nil {
		r.release()
		return nil, fmt.Errorf("wait for epoll: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(alarm)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, alarm, &ev); err != nil {
		r.release()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return r, nil
}

func (r *reactor) release() {
	_ = r.file.Close()
	_ = unix.Close(r.alarm)
}

// wake makes the reactor look at what has changed.
func (r *reactor) wake() {
	one := [8]byte{7: 1} // any number but 0, in either order of bytes
	_, _ = unix.Write(r.alarm, one[:])
}

func (r *reactor) add(c *conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gen++
	c.gen = r.gen
	for len(r.conns) <= c.fd {
		r.conns = append(r.conns, nil)
	}
	r.conns[c.fd] = c
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, c.fd, c.interest()); err != nil {
		r.conns[c.fd] = nil
		return fmt.Errorf("watch a connection: %w", err)
	}
	return nil
}

func (c *conn) interest() *unix.EpollEvent {
	return &unix.EpollEvent{Events: interest, Fd: int32(c.fd), Pad: c.gen}
}

// forget takes a connection off the table, before its descriptor is closed and
// can be another's.
func (r *reactor) forget(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c.fd] = nil
}

// run serves until the engine is closing.
func (r *reactor) run() {
	var (
		tick    = r.tick()
		due     time.Time // the next sweep
		n       int
		failed  error
		collect = func(uintptr) bool {
			n, failed = unix.EpollWait(r.epoll, r.batch[:], 0)
			return n != 0
		}
	)
	for !r.engine.closing.Load() {
		if now := time.Now(); !now.Before(due) {
			r.sweep()
			due = now.Add(tick)
			_ = r.file.SetReadDeadline(due) // Read would fail too
		}
		n, failed = 0, nil
		err := r.wait.Read(collect)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(failed, unix.EINTR):
			continue
		case err != nil || failed != nil:
			r.engine.cfg.Log.Error("wait for connections", "err", errors.Join(err, failed))
			return
		}
		woken := r.resolve(n)
		for i := range n {
			if c := r.ready[i]; c != nil {
				r.ready[i] = nil
				c.event(r.batch[i].Events)
			}
		}
		if woken {
			r.sweep()
		}
	}
	r.closeAll()
}

// resolve finds the connections of a batch; woken says that somebody called.
func (r *reactor) resolve(n int) (woken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range n {
		fd := int(r.batch[i].Fd)
		if fd == r.alarm {
			var b [8]byte
			_, _ = unix.Read(fd, b[:])
			woken = true
			continue
		}
		// An event may be older than the end of its connection.
		if c := r.conns[fd]; c != nil && c.gen == r.batch[i].Pad {
			r.ready[i] = c
		}
	}
	return woken
}

// tick is how exact the limits of time are.
func (r *reactor) tick() time.Duration {
	cfg, tick := &r.engine.cfg, time.Second
	for _, d := range []time.Duration{cfg.HeaderTimeout, cfg.BodyTimeout, cfg.WriteTimeout, cfg.IdleTimeout} {
		if d > 0 {
			tick = min(tick, d/4)
		}
	}
	return max(tick, 10*time.Millisecond)
}

// sweep ends the connections whose time is over, and idle ones when the engine
// is to stop.
func (r *reactor) sweep() {
	now, draining := int64(r.engine.now()), r.engine.draining.Load()
	for _, c := range r.all() {
		if d := c.deadline.Load(); d != 0 && now >= d || draining {
			c.overdue(now, draining)
		}
	}
	clear(r.swept)
}

func (r *reactor) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.swept = r.swept[:0]
	for _, c := range r.conns {
		if c != nil {
			r.swept = append(r.swept, c)
		}
	}
	return r.swept
}

func (r *reactor) closeAll() {
	for _, c := range r.all() {
		c.mu.Lock()
		h := c.close()
		c.mu.Unlock()
		if h != nil {
			h.Gone()
		}
	}
}
