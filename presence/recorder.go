package presence

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/xmpp/jid"
)

// recorder keeps what users are, beside the way that presence goes: who changes is marked, which waits for nothing; a
// loop finds what became of those marked, and writes it in batches. So a state that lasts
// shorter than settle may not be kept, as when a page is loaded again.
type recorder struct {
	store Histories // nil = no history
	log   *slog.Logger
	state func(ctx context.Context, user jid.JID) (Report, time.Time, error)
	owns  func(user jid.JID) bool
	kept  atomic.Int64 // for how long; 0 = no history
	lost  atomic.Uint64
	wake  chan struct{}
	clean chan struct{} // old changes are to be removed
	turn  chan struct{} // held while what is below is used, and the store written
	queue []Change
	down  bool // it is known that the store is away
	turns turns

	mu    sync.Mutex // guards marks
	marks map[jid.JID]time.Time
}

// Bounds of what waits to be written.
const (
	settle      = 100 * time.Millisecond // how long marks are gathered
	maxMarks    = 50000                  // users marked
	maxUnsaved  = 20000                  // changes
	changeBatch = 500                    // changes written at once
	lookers     = 8                      // users looked up at once
	saveRetry   = time.Second
	saveTime    = 10 * time.Second
	sweepEvery  = time.Hour
)

func newRecorder(s *Service) *recorder {
	r := &recorder{
		store: s.cfg.Histories, log: s.cfg.Log, state: s.report, owns: s.owns,
		wake: make(chan struct{}, 1), clean: make(chan struct{}, 1), turn: make(chan struct{}, 1), marks: map[jid.JID]time.Time{},
		turns: turns{wake: make(chan struct{}, 1), at: map[jid.JID]time.Time{}},
	}
	r.kept.Store(int64(s.cfg.Keep))
	return r
}

// keep returns for how long changes are kept, 0 if they are not.
func (r *recorder) keep() time.Duration {
	if r.store == nil {
		return 0
	}
	return time.Duration(r.kept.Load())
}

// mark notes that a user may be something else now. It never waits.
func (r *recorder) mark(user jid.JID) { r.markAt(user, time.Now()) }

// markAt is mark for what happened at a time.
func (r *recorder) markAt(user jid.JID, at time.Time) {
	if r.keep() == 0 {
		return
	}
	r.mu.Lock()
	if was, marked := r.marks[user]; marked || len(r.marks) < maxMarks {
		if at.After(was) {
			r.marks[user] = at
		}
	} else {
		r.lost.Add(1)
	}
	r.mu.Unlock()
	stir(r.wake)
}

func stir(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and what is left then.
func (r *recorder) run(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { r.tidy(ctx) })
	others.Go(func() { r.turns.run(ctx, r.markAt) })
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
			defer cancel()
			r.flush(ctx)
			return nil
		case <-r.wake:
			if due == nil {
				due = time.After(settle)
			}
		case <-due:
			due = nil
			if !r.flush(ctx) {
				due = time.After(saveRetry)
			}
		}
	}
}

// tidy looks after what is written: at the start, and now and then.
func (r *recorder) tidy(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		r.sweep(ctx)
		r.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-r.clean:
		}
	}
}

// check marks who is something else than was written last, as after a crash that nobody was left to tell of.
func (r *recorder) check(ctx context.Context) {
	if r.keep() == 0 {
		return
	}
	err := r.store.LastChanges(ctx, func(changes []Change) error {
		for _, c := range changes {
			if c.State == Unavailable || !r.owns(c.User) {
				continue // who comes tells so
			}
			report, _, err := r.state(ctx, c.User)
			if err != nil {
				return err
			}
			if report.State != c.State {
				r.mark(c.User)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "check history", "err", err)
	}
}

// sweep removes what is older than is kept, or everything if nothing is.
func (r *recorder) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepEvery/2)
	defer cancel()
	keep := r.keep()
	if err := r.store.SweepChanges(ctx, time.Now().Add(-keep), keep == 0); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "remove old history", "err", err)
	}
}

// flush writes what those marked have become, and reports whether nothing is left.
func (r *recorder) flush(ctx context.Context) bool {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-r.turn }()
	looked := r.look(ctx)
	if r.keep() == 0 {
		r.queue = nil
	}
	return r.save(ctx) && looked
}

// look finds what those marked are now. Who cannot be looked up stays marked.
func (r *recorder) look(ctx context.Context) bool {
	r.mu.Lock()
	marks := r.marks
	r.marks = make(map[jid.JID]time.Time, min(len(marks), 1000))
	r.mu.Unlock()
	found := make(chan Change, lookers)
	failed := make(map[jid.JID]time.Time)
	var g errgroup.Group
	var mu sync.Mutex // guards failed
	g.SetLimit(lookers)
	go func() {
		for user, at := range marks {
			g.Go(func() error {
				report, next, err := r.state(ctx, user)
				if err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed[user] = at
					return nil
				}
				r.turns.set(user, next)
				found <- Change{User: user, At: at, State: report.State, Why: report.Why}
				return nil
			})
		}
		_ = g.Wait() // none returns an error
		close(found)
	}()
	for c := range found {
		r.queue = append(r.queue, c)
	}
	r.bound(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, at := range failed {
		if _, newer := r.marks[user]; !newer {
			r.marks[user] = at
		}
	}
	return len(failed) == 0
}

// bound drops the oldest of what waits for the store, if it is too much.
func (r *recorder) bound(ctx context.Context) {
	more := len(r.queue) - maxUnsaved
	if more <= 0 {
		return
	}
	if r.lost.Add(uint64(more)) == uint64(more) {
		r.log.WarnContext(ctx, "history has gaps", "changes", more)
	}
	r.queue = append([]Change(nil), r.queue[more:]...)
}

// save writes what waits.
func (r *recorder) save(ctx context.Context) bool {
	for len(r.queue) > 0 {
		batch := r.queue[:min(len(r.queue), changeBatch)]
		limited, cancel := context.WithTimeout(ctx, saveTime)
		err := r.store.SaveChanges(limited, batch, MaxChanges)
		cancel()
		if err != nil {
			if !r.down {
				r.log.WarnContext(ctx, "history is not written", "err", err)
			}
			r.down = true
			return false
		}
		r.down = false
		r.queue = r.queue[len(batch):]
	}
	r.queue = nil
	return true
}

// RunHistory keeps the history until ctx ends.
func (s *Service) RunHistory(ctx context.Context) error { return s.history.run(ctx) }

// FlushHistory writes what is not written yet, as before a stop.
func (s *Service) FlushHistory(ctx context.Context) {
	if s.history.keep() > 0 {
		s.history.flush(ctx)
	}
}

// Keep returns for how long changes are kept; 0 = not at all.
func (s *Service) Keep() time.Duration { return s.history.keep() }

// SetHistory says for how long changes are kept; 0 ends it and removes what there is.
func (s *Service) SetHistory(keep time.Duration) {
	if was := s.history.kept.Swap(int64(keep)); was != int64(keep) {
		stir(s.history.clean)
	}
}
