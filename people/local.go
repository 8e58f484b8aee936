package people

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"
)

// LocalConfig sets up a Local.
type LocalConfig struct {
	Domains []string
	// Page returns up to most people of a domain in the order of the bytes of
	// their local parts, those behind the local part after.
	Page func(ctx context.Context, domain, after string, most int) ([]Person, error)
	// Mark returns what is different after each change of an account, on any node
	// and by any command.
	Mark func(ctx context.Context) ([]byte, error)
	// Look is how often the mark is read, default 2 s; Whole is how often everybody
	// is, whatever the mark says, default 1 h.
	Look, Whole time.Duration
	Log         *slog.Logger
}

// Local is the source of those who have an account of this server.
type Local struct {
	cfg   LocalConfig
	kick  chan struct{}
	first chan struct{} // closed when everybody was told of
}

// NewLocal makes a Local.
func NewLocal(cfg LocalConfig) *Local {
	cfg.Look, cfg.Whole = cmp.Or(cfg.Look, 2*time.Second), cmp.Or(cfg.Whole, time.Hour)
	return &Local{cfg: cfg, kick: make(chan struct{}, 1), first: make(chan struct{})}
}

// First is closed once everybody has been told of for the first time.
func (l *Local) First() <-chan struct{} { return l.first }

// Kick has the accounts read again soon: one has changed.
func (l *Local) Kick() {
	select {
	case l.kick <- struct{}{}:
	default: // it will be, in any case
	}
}

// settle is how long changes are gathered after a kick.
const settle = 100 * time.Millisecond

// Run implements Source.
func (l *Local) Run(ctx context.Context, to Sink) error {
	var mark []byte
	var whole time.Time // when everybody is to be read whatever the mark says
	failing := false
	for kicked := false; ; {
		next, err := l.cfg.Mark(ctx)
		if err == nil && (kicked || whole.IsZero() || !time.Now().Before(whole) || !bytes.Equal(next, mark)) {
			// The mark is older than what is read, so no change is missed.
			if err = to.Replace(ctx, l.All(ctx)); err == nil {
				if whole.IsZero() {
					close(l.first)
				}
				mark, whole = bytes.Clone(next), time.Now().Add(jitter(l.cfg.Whole))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				l.cfg.Log.ErrorContext(ctx, "read accounts for search: what was read before stays", "err", err)
			} else {
				l.cfg.Log.InfoContext(ctx, "accounts for search are read again")
			}
		}
		if kicked, err = l.wait(ctx); err != nil {
			return err
		}
		kicked = kicked || failing
	}
}

// wait returns when the mark is to be looked at, or earlier after a kick.
func (l *Local) wait(ctx context.Context) (kicked bool, err error) {
	timer := time.NewTimer(jitter(l.cfg.Look))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-timer.C:
		return false, nil
	case <-l.kick:
	}
	timer.Reset(settle)
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-timer.C:
	}
	select {
	case <-l.kick:
	default:
	}
	return true, nil
}

// jitter spreads what nodes do at the same time: ± a fifth.
func jitter(d time.Duration) time.Duration {
	return d - d/5 + rand.N(2*d/5+1) //nolint:gosec // no secret
}

const page = 500

// All goes through everybody as the store has them now.
func (l *Local) All(ctx context.Context) iter.Seq2[Person, error] {
	return func(yield func(Person, error) bool) {
		for _, domain := range l.cfg.Domains {
			for after := ""; ; {
				list, err := l.cfg.Page(ctx, domain, after, page)
				if err != nil {
					yield(Person{}, fmt.Errorf("read accounts of %s: %w", domain, err))
					return
				}
				for i := range list {
					if !yield(list[i], nil) {
						return
					}
				}
				if len(list) < page {
					break
				}
				after = list[len(list)-1].JID.Local()
			}
		}
	}
}
