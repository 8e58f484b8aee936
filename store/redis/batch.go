package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// batcher carries out calls in pipelines, see the package's comment.
type batcher struct {
	cfg     Config
	client  goredis.UniversalClient
	queue   chan *call
	health  *health
	quit    chan struct{} // closed by stop
	once    sync.Once
	stopped chan struct{} // closed when all goroutines have ended
	alone   chan struct{} // holds one thing while no caller makes a round trip itself
	flying  atomic.Int64  // round trips under way
	trips   atomic.Int64  // round trips so far
	sent    atomic.Int64  // commands so far
}

// startBatcher starts the workers; stop ends them.
func startBatcher(ctx context.Context, cfg Config, client goredis.UniversalClient) *batcher {
	b := &batcher{
		cfg: cfg, client: client, queue: make(chan *call, cfg.Queue),
		quit: make(chan struct{}), stopped: make(chan struct{}), alone: make(chan struct{}, 1),
	}
	b.alone <- struct{}{}
	ctx = context.WithoutCancel(ctx)
	b.health = newHealth(cfg, func() error {
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
		return client.Ping(ctx).Err()
	})
	var wg sync.WaitGroup
	for range cfg.Flights {
		wg.Go(func() { b.run(ctx) })
	}
	wg.Go(func() { b.health.run(b.quit) })
	go func() {
		wg.Wait()
		close(b.stopped)
	}()
	return b
}

// stop lets the calls in the queue be carried out and waits for that. It
// reports whether it was the first to be called.
func (b *batcher) stop() (first bool) {
	b.once.Do(func() {
		first = true
		close(b.quit)
		<-b.alone // for good
	})
	<-b.stopped
	return first
}

// run is a worker.
func (b *batcher) run(ctx context.Context) {
	var later []*call // to be tried again in a moment
	for {
		calls, ok := b.next(&later)
		if !ok {
			break
		}
		later = append(later, b.fly(ctx, b.begin(b.gather(calls)))...)
	}
	for calls := b.gather(nil); len(calls) > 0; calls = b.gather(nil) {
		later = append(later, b.fly(ctx, b.begin(calls))...)
	}
	for _, c := range later {
		b.finish(c, nil, ErrClosed)
	}
}

// next waits for a call, or until those to be tried again are due; while Redis
// is away nothing is until it is back, or the time of one of them is up. It
// returns false at the end.
func (b *batcher) next(later *[]*call) (calls []*call, ok bool) {
	if len(*later) == 0 {
		select {
		case c := <-b.queue:
			return []*call{c}, true
		case <-b.quit:
			return nil, false
		}
	}
	due, deadline := (*later)[0].due, (*later)[0].deadline
	for _, c := range *later {
		due, deadline = earlier(due, c.due), earlier(deadline, c.deadline)
	}
	moment := time.NewTimer(time.Until(earlier(due, deadline)))
	defer moment.Stop()
	left := time.NewTimer(time.Until(deadline))
	defer left.Stop()
	queue, back := b.queue, b.health.back()
	if b.health.why() != nil {
		queue = nil
	}
	select {
	case c := <-queue:
		return []*call{c}, true
	case <-moment.C:
	case <-b.quit:
		return nil, false
	}
	select {
	case <-back:
	case <-left.C:
	case <-b.quit:
		return nil, false
	}
	calls, *later = *later, nil
	return calls, true
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// gather takes what has arrived during the last round trip.
func (b *batcher) gather(calls []*call) []*call {
	n := 0
	for _, c := range calls {
		n += len(c.cmds)
	}
	for n < b.cfg.Batch {
		select {
		case c := <-b.queue:
			calls = append(calls, c)
			n += len(c.cmds)
		default:
			return calls
		}
	}
	return calls
}

// begin leaves out calls that nobody waits for any more, and ends those whose
// time is up.
func (b *batcher) begin(calls []*call) []*call {
	now, begun := time.Now(), calls[:0]
	for _, c := range calls {
		switch {
		case !c.state.CompareAndSwap(callQueued, callRunning):
		case now.After(c.deadline):
			b.finish(c, nil, b.late(c))
		default:
			begun = append(begun, c)
		}
	}
	return begun
}

// late is the error of a call whose time is up, with the reason of its last
// attempt or that of others.
func (b *batcher) late(c *call) error {
	cause := c.err
	if cause == nil {
		cause = b.health.why()
	}
	if cause == nil {
		return fmt.Errorf("%w: no answer within %v", ErrUnavailable, b.cfg.Timeout)
	}
	return fmt.Errorf("%w: no answer within %v: %w", ErrUnavailable, b.cfg.Timeout, cause)
}

func (b *batcher) finish(c *call, answers []any, err error) {
	c.answers, c.err = answers, err
	close(c.done)
}

// fly carries calls out in one pipeline, answers them, and returns those to be
// tried again.
func (b *batcher) fly(ctx context.Context, calls []*call) (again []*call) {
	if len(calls) == 0 {
		return nil
	}
	b.flying.Add(1)
	defer b.flying.Add(-1)
	pipe := b.client.Pipeline() // the client's own timeouts bound it
	sent := make([]once, 0, len(calls)+1)
	writes := false
	for _, c := range calls {
		writes = writes || c.write
		for _, cmd := range c.cmds {
			one := cmd.build(ctx, c.full)
			sent = append(sent, one)
			_ = pipe.Process(ctx, one) // only queues
		}
	}
	var copies once
	if b.cfg.Replicas > 0 && writes {
		copies = plain("WAIT", b.cfg.Replicas, b.cfg.Timeout.Milliseconds()/2).build(ctx, false)
		_ = pipe.Process(ctx, copies)
	}
	told, start := b.cfg.OnRead, time.Now()
	if writes {
		told = b.cfg.OnCommit
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	b.trips.Add(1)
	b.sent.Add(int64(len(sent)))
	told(time.Since(start), b.health.saw(sent))
	for _, c := range calls {
		if b.settle(c, sent[:len(c.cmds)], copies) {
			again = append(again, c)
		}
		sent = sent[len(c.cmds):]
	}
	return again
}

// settle answers a call, or reports that it is to be tried again.
func (b *batcher) settle(c *call, sent []once, copies once) (again bool) {
	answers := make([]any, len(sent))
	var failed error
	retry := true
	for i, one := range sent {
		answer, err := one.Result()
		if errors.Is(err, goredis.Nil) {
			err = nil
		}
		answers[i] = answer
		if err == nil {
			continue
		}
		out := outcomeOf(err)
		c.full = c.full || out == noScript
		retry = retry && out != final && (out != unknown || !c.once)
		if failed == nil || out == final {
			failed = err
		}
	}
	if failed == nil && c.write && copies.Cmd != nil {
		failed, retry = b.copied(copies), false
	}
	if failed == nil || !retry || time.Now().After(c.deadline) {
		b.finish(c, answers, failed)
		return false
	}
	c.err, c.due = failed, time.Now()
	if outcomeOf(failed) != noScript { // the script goes with the next one
		c.due = c.due.Add(delay(c.attempts))
		c.attempts++
	}
	c.state.Store(callQueued)
	return true
}

// copied returns nil if enough replicas have what was written.
func (b *batcher) copied(copies once) error {
	n, err := copies.Int()
	if err == nil && n < b.cfg.Replicas {
		err = fmt.Errorf("%w: %d replicas have the write, redis.replicas asks for %d", ErrUnavailable, n, b.cfg.Replicas)
	}
	return err
}
