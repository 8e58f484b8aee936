//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// perSource is how many connections leave from one loopback address before
// the next one is used: a source address has some 28,000 ports.
const perSource = 12000

// loop is the event loop under a fleet: it owns the epoll instance, the
// connections and the clock of the open loop.
type loop struct {
	ep, timer int
	conns     []*conn // by file descriptor
	opened    int
	buf       []byte
	events    []unix.EpollEvent
	dirty     []*session // sessions with something to send after this batch
	now       time.Time
	tick      func() error // runs when the timer fires
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	l := &loop{
		ep: ep, timer: timer, buf: make([]byte, 512<<10), now: time.Now(),
		events: make([]unix.EpollEvent, 256),
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(timer)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, timer, &ev); err != nil {
		return nil, fmt.Errorf("watch timer: %w", err)
	}
	return l, nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			c.close()
		}
	}
	_ = unix.Close(l.timer)
	_ = unix.Close(l.ep)
}

// at makes f run at t, once; the zero time takes an earlier call back.
func (l *loop) at(t time.Time, f func() error) error {
	l.tick = f
	var spec unix.ItimerSpec
	if !t.IsZero() {
		spec.Value = unix.NsecToTimespec(max(time.Until(t), 1).Nanoseconds())
	}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		return fmt.Errorf("set timer: %w", err)
	}
	return nil
}

// run handles events until done says so (true) or limit has passed (false).
func (l *loop) run(done func() bool, limit time.Duration) (bool, error) {
	l.now = time.Now()
	l.flush()
	end := l.now.Add(limit)
	for {
		if done() {
			return true, nil
		}
		if l.now.After(end) {
			return false, nil
		}
		n, err := unix.EpollWait(l.ep, l.events, 20)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("wait for events: %w", err)
		}
		l.now = time.Now()
		for _, ev := range l.events[:max(n, 0)] {
			if err := l.handle(ev); err != nil {
				return false, err
			}
		}
		l.flush()
	}
}

func (l *loop) handle(ev unix.EpollEvent) error {
	fd := int(ev.Fd)
	if fd != l.timer {
		if c := l.conns[fd]; c != nil {
			c.event(ev.Events)
		}
		return nil
	}
	var b [8]byte
	_, _ = unix.Read(fd, b[:])
	if l.tick == nil {
		return nil
	}
	return l.tick()
}

// flush lets each session with news send once, so that what was gathered in one
// batch of events goes in one request.
func (l *loop) flush() {
	for i := 0; i < len(l.dirty); i++ { // send may add to it
		s := l.dirty[i]
		s.dirty = false
		s.send()
	}
	l.dirty = l.dirty[:0]
}

func (l *loop) mark(s *session) {
	if !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
}
