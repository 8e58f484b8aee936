package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// health knows whether Redis is there, and asks for it while it is not.
type health struct {
	ping    func() error
	timeout time.Duration
	log     *slog.Logger
	ask     chan struct{} // says that Redis seems to be away

	mu    sync.Mutex // guards below
	cause error      // nil while Redis is there
	since time.Time
	up    chan struct{} // closed while Redis is there
}

func newHealth(cfg Config, ping func() error) *health {
	h := &health{ping: ping, timeout: cfg.Timeout, log: cfg.Log, ask: make(chan struct{}, 1), up: make(chan struct{})}
	close(h.up)
	return h
}

// saw learns from the answers of a round trip, and returns the error if there
// were none.
func (h *health) saw(sent []once) (cause error) {
	for _, one := range sent {
		err := one.Err()
		if err == nil || errors.Is(err, goredis.Nil) || !away(err) {
			h.set(nil)
			return nil
		}
		cause = err
	}
	h.set(cause)
	return cause
}

// set changes the state.
func (h *health) set(cause error) {
	h.mu.Lock()
	was := h.cause
	h.cause = cause
	switch {
	case was == nil && cause != nil:
		h.since, h.up = time.Now(), make(chan struct{})
	case was != nil && cause == nil:
		close(h.up)
	}
	h.mu.Unlock()
	if was == nil && cause != nil {
		select {
		case h.ask <- struct{}{}:
		default:
		}
	}
}

// back is closed once Redis is there.
func (h *health) back() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up
}

// why returns the error that says that Redis is away, nil if it is not.
func (h *health) why() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause
}

// away returns ErrUnavailable if Redis has been away for longer than a call
// waits for it.
func (h *health) away() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause == nil {
		return nil
	}
	if d := time.Since(h.since); d > h.timeout {
		return fmt.Errorf("%w: away for %v: %w", ErrUnavailable, d.Truncate(time.Second), h.cause)
	}
	return nil
}

// run asks for Redis whenever it seems to be away, until it is back, and logs
// both once.
func (h *health) run(quit <-chan struct{}) {
	for {
		select {
		case <-h.ask:
		case <-quit:
			return
		}
		began := time.Now()
		for attempt := 0; ; attempt++ {
			err := h.ping()
			if err == nil {
				h.set(nil)
				if attempt > 0 {
					h.log.Info("redis is back", "after", time.Since(began).Truncate(time.Millisecond).String())
				}
				break
			}
			h.set(err)
			if attempt == 0 {
				h.log.Error("redis is away", "err", err)
			}
			select {
			case <-time.After(delay(attempt)):
			case <-h.back(): // others have seen it
			case <-quit:
				return
			}
		}
	}
}

// delay is how long to wait after so many attempts: more each time, up to half
// a second, and never the same for two nodes.
func delay(attempts int) time.Duration {
	d := min(10*time.Millisecond<<min(attempts, 10), 500*time.Millisecond)
	return d/2 + rand.N(d)
}
