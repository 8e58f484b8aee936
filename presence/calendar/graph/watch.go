package graph

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// WatchConfig is how changes are heard of.
type WatchConfig struct {
	Name      string // of the source
	Hub       *Hub   // what answers at the address
	NotifyURL string // where the service is to tell of changes
	Log       *slog.Logger
}

// Lifetimes of subscriptions; the service takes 45 minutes to 4230, or to 10080 in places. They
// bound how long it tells of those that nobody has any more: of a node that has died, or
// made by a request whose answer was lost.
const (
	firstLife = 2 * time.Hour
	lifetime  = 24 * time.Hour // when it is renewed
)

// times are how a watcher goes about it.
type times struct {
	around time.Duration // between two looks for who is new
	pace   time.Duration // from one request to the next, so that the limits of the application leave room for others
	grace  time.Duration // a subscription of somebody who is gone is kept, for many are back soon
	first  time.Duration // pause after a failure; it grows
	again  time.Duration // between two renewals at least
	limit  time.Duration // of a request
	bye    time.Duration // for deleting at the end
}

func usual() times {
	return times{around: 2 * time.Second, pace: time.Second, grace: 10 * time.Minute, first: 5 * time.Second, again: time.Minute, limit: time.Minute, bye: 3 * time.Second}
}

const (
	maxPause   = 5 * time.Minute
	maxRefused = 30 * time.Minute // while nobody at all can be subscribed to
	maxOwn     = 6 * time.Hour    // of one mailbox that is not there, or may not be read
	maxWarned  = 20
	refusals   = 5 // in a row say that it is not the mailbox
)

// watcher keeps a subscription for each mailbox of a source.
type watcher struct {
	s       *Source
	c       WatchConfig
	name    string
	t       times
	changed func(jid.JID)
	wake    chan struct{} // something is due

	// Of the goroutine of run alone:
	paused  time.Time     // nothing is asked until then
	pause   time.Duration // it grows
	quiet   time.Time     // nobody is subscribed to until then
	hush    time.Duration // it grows
	refused int           // in a row
	down    bool          // as the log has it
	warned  int

	mu  sync.Mutex // guards what follows, and the subs; it is not held while anything is asked
	all map[jid.JID]*sub
}

// sub is the subscription of a mailbox, there or wanted.
type sub struct {
	user     jid.JID
	box      string
	tag      tag
	id       string    // "" = there is none
	due      time.Time // it is made or renewed
	expires  time.Time
	renewed  time.Time
	failures int
	gone     time.Time // the user is away since then; zero = is not
}

// Watch makes a calendar.Config's Watch: it subscribes to the calendars of users and hears
// from the hub of their changes. What is missed is found by the next look.
func (s *Source) Watch(c WatchConfig) func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
	return func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
		w := &watcher{s: s, c: c, name: c.Name, t: s.times, changed: changed, wake: make(chan struct{}, 1), all: map[jid.JID]*sub{}}
		defer w.end(ctx)
		var looked time.Time
		for {
			now := time.Now()
			if now.Sub(looked) >= w.t.around || looked.IsZero() {
				looked = now
				w.arrange(users(), now)
			}
			wait, wake := w.t.around, w.wake
			if list := w.next(now); len(list) > 0 {
				w.carryOut(ctx, list)
				wait, wake = max(0, w.t.pace-time.Since(now)), nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			case <-wake:
			}
		}
	}
}

// arrange takes up who is new, and notes who is gone.
func (w *watcher) arrange(users []jid.JID, now time.Time) {
	there := make(map[jid.JID]string, len(users))
	for _, u := range users {
		there[u.Bare()] = w.s.c.Mailbox(u.Bare())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for u, box := range there {
		old := w.all[u]
		switch {
		case old != nil && old.box == box:
			old.gone = time.Time{}
		case box != "" && old == nil:
			m := &sub{user: u, box: box, tag: w.c.Hub.tag(w.name, u), due: now}
			w.all[u] = m
			w.c.Hub.join(m.tag, w, u)
		case old != nil && old.gone.IsZero(): // it is another mailbox, taken up when this one is done with
			old.gone = now.Add(-w.t.grace)
		}
	}
	for u, m := range w.all {
		if _, ok := there[u]; !ok && m.gone.IsZero() {
			m.gone = now
		}
	}
}

// forget ends what is known of somebody. The lock is held.
func (w *watcher) forget(m *sub) {
	delete(w.all, m.user)
	w.c.Hub.leave(m.tag, w)
}

// hear takes a notice from the hub, and reports whether the user is here still.
func (w *watcher) hear(user jid.JID, n notice) bool {
	w.mu.Lock()
	m := w.all[user]
	here := m != nil && m.gone.IsZero()
	if here && m.id != "" && m.id == n.ID {
		switch n.Event {
		case "reauthorizationRequired":
			m.due = soonest(m.due, m.renewed.Add(w.t.again))
			rouse(w.wake)
		case "subscriptionRemoved":
			m.id, m.due = "", m.renewed.Add(w.t.again)
			rouse(w.wake)
		}
	}
	w.mu.Unlock()
	if n.Event != "reauthorizationRequired" {
		w.changed(user) // an event such as missed says that something may have
	}
	return here
}

// count says how many subscriptions there are, and how many mailboxes refuse one.
func (w *watcher) count() (active, refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.all {
		switch {
		case m.id != "":
			active++
		case m.failures > 0:
			refused++
		}
	}
	return active, refused
}

func soonest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// jitter spreads what would happen at the same time: three quarters up to the whole.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // nobody gains by guessing it
}
