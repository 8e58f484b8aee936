package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
)

// Redis may be away for as long as it takes to restart or to fail over.
const (
	insistFor   = 15 * time.Second // from the beginning of an outage
	insistAgain = 50 * time.Millisecond
)

// passing reports whether an error says that Redis is away for now, rather than
// what it thinks of a command.
func passing(err error) bool {
	if err == nil || errors.Is(err, goredis.ErrClosed) || errors.Is(err, context.Canceled) {
		return false
	}
	var answer goredis.Error
	if !errors.As(err, &answer) {
		return true
	}
	text := answer.Error()
	for _, word := range []string{"LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "NOREPLICAS "} {
		// Redis 6 puts a script's errors into a sentence of its own.
		if strings.HasPrefix(text, word) || strings.HasPrefix(text, "ERR Error running script") && strings.Contains(text, "-"+word) {
			return true
		}
	}
	return false
}

// asAway lets others see of an error that it passes.
func asAway(err error) error {
	if !passing(err) || errors.Is(err, router.ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", router.ErrAway, err)
}

// tide knows whether Redis is there. Those who wait for it do not all ask.
type tide struct {
	ask chan struct{} // says that Redis seems to be away

	mu    sync.Mutex // guards all below
	cause error      // nil while Redis is there
	since time.Time
	back  chan struct{} // closed while Redis is there
}

func newTide() *tide {
	t := &tide{ask: make(chan struct{}, 1), back: make(chan struct{})}
	close(t.back)
	return t
}

// ebb notes that Redis did not answer.
func (t *tide) ebb(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil {
		t.since, t.back = time.Now(), make(chan struct{})
	}
	t.cause = cause
	select {
	case t.ask <- struct{}{}:
	default:
	}
}

// flood notes that Redis answers.
func (t *tide) flood() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != nil {
		t.cause = nil
		close(t.back)
	}
}

// state returns what is closed once Redis is there, how long one may still
// insist, and why.
func (t *tide) state() (back <-chan struct{}, left time.Duration, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil {
		return t.back, insistFor, nil
	}
	return t.back, insistFor - time.Since(t.since), t.cause
}

// run asks for Redis whenever it seems to be away, until ctx ends.
func (t *tide) run(ctx context.Context, ping func(context.Context) error) {
	for {
		select {
		case <-t.ask:
		case <-ctx.Done():
			return
		}
		for ping(ctx) != nil {
			select {
			case <-time.After(insistAgain):
			case <-ctx.Done():
				return
			}
		}
		t.flood()
	}
}

// insist carries out what may be carried out more than once, until Redis is
// there to answer. It gives up when Redis has been away for long, and then at
// once until it is back.
func (l *Shared) insist(ctx context.Context, do func() error) error {
	for {
		if _, left, cause := l.tide.state(); left <= 0 {
			return asAway(cause)
		}
		err := do()
		if !passing(err) {
			return err
		}
		l.tide.ebb(err)
		if !l.pause(ctx) {
			return asAway(err)
		}
	}
}

// surely runs a script that may run more than once.
func (l *Shared) surely(ctx context.Context, script *goredis.Script, keys []string, args ...any) (cmd *goredis.Cmd, err error) {
	err = l.insist(ctx, func() (err error) {
		if cmd, err = l.pipe.do(ctx, script, keys, args...); err == nil {
			err = cmd.Err()
		}
		return err
	})
	return cmd, err
}

// pause waits for Redis to be back, and a moment: it may not do for us yet what
// it does for others. It returns false when the time is up.
func (l *Shared) pause(ctx context.Context) bool {
	back, left, _ := l.tide.state()
	limit := time.NewTimer(left)
	defer limit.Stop()
	for _, next := range []<-chan struct{}{back, after(insistAgain)} {
		select {
		case <-next:
		case <-limit.C:
			return false
		case <-l.closed:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}

// Await waits for as long as Redis is away. The error says that it is not worth
// waiting for any more.
func (l *Shared) Await(ctx context.Context) error {
	back, _, _ := l.tide.state()
	select {
	case <-back:
		return nil
	case <-l.closed:
		return goredis.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
