package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// The states of a call.
const (
	callQueued int32 = iota
	callRunning
	callAbandoned
)

// call is one or more commands that are answered together.
type call struct {
	cmds  []command
	write bool
	once  bool // it has one command, which must not be repeated once it may have been carried out

	state    atomic.Int32
	deadline time.Time
	attempts int
	due      time.Time     // when it is tried again
	full     bool          // the server did not know a script
	done     chan struct{} // closed when the rest is final
	answers  []any         // nil for none
	err      error
}

// one is do for the answer to the last command.
func (b *batcher) one(ctx context.Context, c *call) (any, error) {
	answers, err := b.do(ctx, c)
	if err != nil {
		return nil, err
	}
	return answers[len(answers)-1], nil
}

// do carries a call out and returns the answers. If ctx ends first, a call not
// begun yet is withdrawn; one that has begun is waited for.
//
// When nothing else is under way the caller makes the round trip itself, which
// spares a lone one two changes of goroutines.
func (b *batcher) do(ctx context.Context, c *call) ([]any, error) {
	if err := b.admit(ctx, c); err != nil {
		return nil, err
	}
	if b.direct(ctx, c) {
		return c.answers, classify(c.err)
	}
	if err := b.enqueue(ctx, c); err != nil {
		return nil, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(callQueued, callAbandoned) {
			return nil, ctx.Err()
		}
		select {
		case <-c.done:
		case <-b.stopped:
		}
	case <-b.stopped:
	}
	select {
	case <-c.done:
		return c.answers, classify(c.err)
	default:
		return nil, ErrClosed // the workers ended before they saw it
	}
}

// direct makes a round trip with one call if nothing else is under way; false
// says that the call is still to be carried out.
func (b *batcher) direct(ctx context.Context, c *call) bool {
	if b.flying.Load() > 0 || b.health.why() != nil {
		return false
	}
	select {
	case <-b.alone:
	default:
		return false
	}
	defer func() { b.alone <- struct{}{} }()
	c.state.Store(callRunning)
	return len(b.fly(context.WithoutCancel(ctx), []*call{c})) == 0
}

// admit refuses a call that cannot be carried out, and gives others their time.
func (b *batcher) admit(ctx context.Context, c *call) error {
	select {
	case <-b.quit:
		return ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.health.away(); err != nil {
		return err
	}
	c.done = make(chan struct{})
	c.deadline = time.Now().Add(b.cfg.Timeout)
	return nil
}

// enqueue waits for a place in the queue.
func (b *batcher) enqueue(ctx context.Context, c *call) error {
	select {
	case b.queue <- c:
		return nil
	default:
	}
	limit := time.NewTimer(b.cfg.Timeout)
	defer limit.Stop()
	select {
	case b.queue <- c:
		return nil
	case <-b.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("%w: %d calls wait already", ErrUnavailable, b.cfg.Queue)
	}
}
