package presence

import (
	"context"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// turns remembers when users turn into something else though nobody says anything, as whose client is idle turns away.
type turns struct {
	wake chan struct{}

	mu sync.Mutex // guards at
	at map[jid.JID]time.Time
}

// set says when a user turns next; zero is never. Of too many it forgets this one.
func (t *turns) set(user jid.JID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, there := t.at[user]
	switch {
	case at.IsZero():
		delete(t.at, user)
	case there || len(t.at) < maxMarks:
		if t.at[user] = at; !there || at.Before(was) {
			stir(t.wake)
		}
	}
}

// take returns those who have turned by now, and when the next does, zero if none.
func (t *turns) take(now time.Time) (turned map[jid.JID]time.Time, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	turned = map[jid.JID]time.Time{}
	for user, at := range t.at {
		switch {
		case !at.After(now):
			turned[user] = at
			delete(t.at, user)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return turned, next
}

// run calls mark for those who turn, within a second, until ctx ends. All are gone through for that, once a second at most.
func (t *turns) run(ctx context.Context, mark func(jid.JID, time.Time)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
		if rest := time.Second - time.Since(last); rest > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rest):
			}
		}
		last = time.Now()
		turned, next := t.take(last)
		for user, at := range turned {
			mark(user, at)
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
