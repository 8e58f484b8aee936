package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a write.
const (
	opQueued int32 = iota
	opRunning
	opAbandoned
)

// op is one write on its way to the disk. Its fn may run more than once, each
// time on a state without its former effects; the last run counts.
type op struct {
	fn    func(context.Context, *handle) error
	state atomic.Int32
	done  chan struct{} // closed when err is final
	err   error
}

// writer is the one goroutine that writes.
type writer struct {
	queue   chan *op
	conns   *pool
	batch   int
	log     *slog.Logger
	once    sync.Once
	quit    chan struct{} // closed by stop
	stopped chan struct{} // closed when the goroutine has ended
	down    bool          // the last transaction failed; used by the goroutine alone
	told    func(time.Duration, error)
}

// startWriter starts the goroutine; stop ends it.
func startWriter(ctx context.Context, cfg Config, conns *pool) *writer {
	w := &writer{
		queue: make(chan *op, cfg.Queue), conns: conns, batch: cfg.Batch, log: cfg.Log, told: cfg.OnCommit,
		quit: make(chan struct{}), stopped: make(chan struct{}),
	}
	go w.run(context.WithoutCancel(ctx))
	return w
}

// stop lets the writes in the queue be committed and waits for that.
func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.stopped
}

// write runs fn in a transaction and returns when it is on the disk. If ctx
// ends first, a write not begun yet is withdrawn; one that has begun is waited
// for, so that the answer is always true.
func (s *Store) write(ctx context.Context, fn func(context.Context, *handle) error) error {
	o, err := s.writes.enqueue(ctx, fn)
	if err != nil {
		return err
	}
	return s.writes.wait(ctx, o)
}

func (w *writer) enqueue(ctx context.Context, fn func(context.Context, *handle) error) (*op, error) {
	o := &op{fn: fn, done: make(chan struct{})}
	select {
	case <-w.quit:
		return nil, ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case w.queue <- o:
		return o, nil
	case <-w.quit:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *writer) wait(ctx context.Context, o *op) error {
	select {
	case <-o.done:
		return o.err
	case <-w.stopped:
	case <-ctx.Done():
		if o.state.CompareAndSwap(opQueued, opAbandoned) {
			return ctx.Err()
		}
		select {
		case <-o.done:
			return o.err
		case <-w.stopped:
		}
	}
	// The writer has ended: with an answer, or before it saw the write.
	select {
	case <-o.done:
		return o.err
	default:
		return ErrClosed
	}
}

func (w *writer) run(ctx context.Context) {
	defer close(w.stopped)
	ops := make([]*op, 0, w.batch)
	for {
		select {
		case o := <-w.queue:
			ops = w.gather(append(ops[:0], o))
			w.commit(ctx, ops)
			clear(ops)
		case <-w.quit:
			for {
				ops = w.gather(ops[:0])
				if len(ops) == 0 {
					return
				}
				w.commit(ctx, ops)
			}
		}
	}
}

// gather takes what has arrived during the last commit.
func (w *writer) gather(ops []*op) []*op {
	for len(ops) < w.batch {
		select {
		case o := <-w.queue:
			ops = append(ops, o)
		default:
			return ops
		}
	}
	return ops
}

// commit writes ops in one transaction and answers them.
func (w *writer) commit(ctx context.Context, ops []*op) {
	begun := ops[:0]
	for _, o := range ops {
		if o.state.CompareAndSwap(opQueued, opRunning) {
			begun = append(begun, o)
		}
	}
	if len(begun) == 0 {
		return
	}
	err := w.transaction(ctx, begun)
	if err != nil && isFull(err) && len(begun) > 1 {
		// One may be too large for the space left; the others need not suffer.
		for _, o := range begun {
			if e := w.transaction(ctx, []*op{o}); e != nil {
				o.err = e
			} else {
				err = nil
			}
			close(o.done)
		}
		w.report(err)
		return
	}
	for _, o := range begun {
		if err != nil {
			o.err = err
		}
		close(o.done)
	}
	w.report(err)
}

// report logs when the store goes down and comes back, once each.
func (w *writer) report(err error) {
	if down := err != nil; down != w.down {
		w.down = down
		if down {
			w.log.Error("store cannot write", "err", err)
		} else {
			w.log.Info("store writes again")
		}
	}
}

// transaction leaves each write's own error in it; an error returned is that of
// all: nothing of them was kept.
func (w *writer) transaction(ctx context.Context, ops []*op) error {
	start := time.Now()
	h, err := w.conns.get(ctx)
	if err == nil {
		err = w.apply(ctx, h, ops)
		w.conns.giveBack(h, err)
	}
	err = classify(err)
	w.told(time.Since(start), machine(err))
	return err
}

func (w *writer) apply(ctx context.Context, h *handle, ops []*op) error {
	if _, err := h.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		if !isBusy(err) {
			err = fmt.Errorf("%w: %w", errLost, err)
		}
		return fmt.Errorf("begin: %w", err)
	}
	for _, o := range ops {
		if o.err = savepoint(ctx, h, o.fn); fatal(o.err) {
			return rollback(ctx, h, o.err)
		}
	}
	if _, err := h.exec(ctx, "COMMIT"); err != nil {
		return rollback(ctx, h, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// errLost says that the connection's transaction is not where it should be,
// perhaps because SQLite rolled it back by itself.
var errLost = errors.New("transaction lost")

// fatal reports that the transaction cannot go on after err.
func fatal(err error) bool {
	return err != nil && (isFull(err) || isBusy(err) || isBroken(err))
}

// savepoint undoes what fn did if it fails.
func savepoint(ctx context.Context, h *handle, fn func(context.Context, *handle) error) error {
	if _, err := h.exec(ctx, "SAVEPOINT w"); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	err := fn(ctx, h)
	if err != nil {
		if fatal(err) {
			return err
		}
		if _, e := h.exec(ctx, "ROLLBACK TO w"); e != nil {
			return fmt.Errorf("%w: %w: %w", errLost, e, err)
		}
	}
	if _, e := h.exec(ctx, "RELEASE w"); e != nil {
		return fmt.Errorf("%w: %w", errLost, e)
	}
	return err
}

// rollback ends a transaction that failed for cause. SQLite may have done so
// already, in which case there is nothing to roll back and the error says just
// that.
func rollback(ctx context.Context, h *handle, cause error) error {
	_, _ = h.exec(ctx, "ROLLBACK")
	return cause
}
