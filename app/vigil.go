package app

import (
	"context"
	"time"

	"github.com/deskline/deskline/store/redis/live"
)

const (
	// vigilTime is how long a vigil lasts at most; who still waits begins another.
	vigilTime = time.Second
	lameAgain = 100 * time.Millisecond // a session that was asked for is looked for again
)

// await waits until something may have become of an owner that has not answered.
// When a node dies all its clients come at once: one of them looks for it, the
// others wait for that one.
func (t *takeover) await(ctx context.Context, o live.Owner) {
	t.mu.Lock()
	over, kept := t.vigils[o]
	if !kept {
		over = make(chan struct{})
		t.vigils[o] = over
	}
	t.mu.Unlock()
	if kept {
		select {
		case <-ctx.Done():
		case <-over:
		}
		return
	}
	defer func() {
		t.mu.Lock()
		delete(t.vigils, o)
		t.mu.Unlock()
		close(over)
	}()
	for began := time.Now(); ctx.Err() == nil && time.Since(began) < vigilTime; {
		if t.reach.lame(o) {
			pause(ctx, lameAgain)
			return
		}
		pause(ctx, againAfter)
		lease, err := t.shared.LeaseOf(ctx, o)
		if err != nil {
			continue
		}
		if !lease.Held {
			return
		}
		if who, err := t.probe(ctx, lease.URL); err == nil && who == o.String() {
			return
		}
	}
}

// probe asks for a sign of life for as long as that may take.
func (t *takeover) probe(ctx context.Context, url string) (owner string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	owner, _, err = t.ask(ctx, url)
	return owner, err
}

// deadFor is how long it holds that an owner is dead: it does not come back
// under its old term unless it was halted, and then it asks first what is its own.
const deadFor = time.Second

// knownDead reports whether somebody has just found an owner dead.
func (t *takeover) knownDead(o live.Owner) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.died[o]
	if ok && time.Since(at) > deadFor {
		delete(t.died, o)
		ok = false
	}
	return ok
}

func (t *takeover) noteDead(o live.Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.died[o] = time.Now()
}
