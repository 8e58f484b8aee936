package presence

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// A resource that comes is told of everybody by its own node. What of that changes meanwhile may reach it before, by
// the node that tells contacts, or not at all, if that node did not see it yet. So each node looks after those that came to it:
// while they are told by the versions of what was decided, and a short time after by arrivals.

// lag is how long the news of another node take at most, as a rule.
const lag = 2 * time.Second

// maxArrivals bounds those remembered.
const maxArrivals = 20000

// arrivals remembers resources that came to this node a short time ago. The zero arrivals is empty.
type arrivals struct {
	mu    sync.Mutex // guards all below
	order []arrival  // the oldest first
	by    map[jid.JID][]arrival
}

type arrival struct {
	at  time.Time
	own router.Binding
}

func (a *arrivals) add(own router.Binding, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(now)
	if a.by == nil {
		a.by = map[jid.JID][]arrival{}
	}
	one := arrival{now, own}
	bare := own.Full.Bare()
	a.order = append(a.order, one)
	a.by[bare] = append(a.by[bare], one)
}

// trim forgets who came too long ago. It is called with the lock held.
func (a *arrivals) trim(now time.Time) {
	n := max(0, len(a.order)-maxArrivals+1)
	for n < len(a.order) && now.Sub(a.order[n].at) >= lag {
		n++
	}
	for _, old := range a.order[:n] {
		bare := old.own.Full.Bare()
		if left := a.by[bare][1:]; len(left) > 0 {
			a.by[bare] = left
		} else {
			delete(a.by, bare)
		}
	}
	if a.order = a.order[n:]; len(a.order) == 0 {
		a.order, a.by = nil, nil // there may have been many
	}
}

// any reports whether somebody came since a time.
func (a *arrivals) any(since, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim(now)
	return len(a.order) > 0 && !a.order[len(a.order)-1].at.Before(since)
}

// of adds to a list the resources of a user that came since a time.
func (a *arrivals) of(user jid.JID, since time.Time, list []router.Binding) []router.Binding {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.by[user] {
		if !one.at.Before(since) && !slices.ContainsFunc(list, func(b router.Binding) bool { return b.Full == one.own.Full }) {
			list = append(list, one.own)
		}
	}
	return list
}

// turned reports whether something else was decided of a user after a version. Of those of whom nothing is known
// any more nobody knows when that was.
func (c *composer) turned(user jid.JID, version uint64) bool {
	sh := c.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if e := sh.entries[user]; e != nil {
		return e.turned > version
	}
	return sh.ended > version
}

// correct tells a resource anew of those, and of its own account, of whom something else was decided while it was told of them,
// since version: what it was told may be older than what it heard from another side.
func (s *Service) correct(ctx context.Context, version uint64, own *router.Binding, list []jid.JID, more iter.Seq[jid.JID]) error {
	if s.cfg.Cluster != nil && s.composer.users.Load() > 0 {
		s.arrivals.add(*own, time.Now())
	}
	if s.composer.version.Load() == version {
		return nil
	}
	var p post
	var errs []error
	for user := range chain(list, more) {
		if s.composer.turned(user, version) {
			errs = append(errs, s.retell(ctx, &p, user, own))
		}
	}
	if bare := own.Full.Bare(); s.composer.turned(bare, version) {
		errs = append(errs, s.retell(ctx, &p, bare, own))
	}
	return errors.Join(append(errs, s.deliver(ctx, p, *own))...)
}

// retell tells a resource of somebody who may not be there any more for it.
func (s *Service) retell(ctx context.Context, p *post, user jid.JID, to *router.Binding) error {
	told, err := s.tell(ctx, p, user, to)
	if err == nil && !told && user != to.Full.Bare() {
		err = s.goodbye(ctx, p, user, []router.Binding{*to})
	}
	return err
}

// skew is by how much the clocks of nodes differ at most, as a rule.
const skew = 100 * time.Millisecond

// hears notes when something was heard of that may make the user something else. It is called with the lock held.
func (e *entry) hears(at time.Time) {
	if e.stirred.IsZero() || at.Before(e.stirred) {
		e.stirred = at
	}
}

// began is the time after which the node that tells contacts has looked for them. Who came before is told by it. It is called
// with the lock held.
func (e *entry) began(now time.Time) time.Time {
	at := now.Add(-skew)
	if !e.stirred.IsZero() {
		at = e.stirred
	}
	if !e.border.IsZero() && !e.border.After(now) { // something has begun or ended by itself
		if border := e.border.Add(-skew); border.Before(at) {
			at = border
		}
	}
	return at
}

// relay tells those who came to this node since a time of somebody whom another node tells contacts of.
func (s *Service) relay(ctx context.Context, user jid.JID, since time.Time) error {
	if !s.arrivals.any(since, time.Now()) {
		return nil
	}
	subscribers, more, err := s.cfg.Contacts.Subscribers(ctx, user)
	if err != nil {
		return err
	}
	came := s.arrivals.of(user, since, nil)
	for contact := range chain(subscribers, more) {
		came = s.arrivals.of(contact, since, came)
	}
	watching, err := s.overseers(ctx, user)
	for i := range watching {
		for _, b := range s.arrivals.of(watching[i].Full.Bare(), since, nil) {
			if b.Full == watching[i].Full {
				came = append(came, b)
			}
		}
	}
	var p post
	for i := range came {
		err = errors.Join(err, s.retell(ctx, &p, user, &came[i]))
	}
	return errors.Join(err, s.deliver(ctx, p, came...))
}

// deliver sends to resources that came. If that takes long, as while Redis is away, others may have told them meanwhile what
// is newer; they count as having come now, so that they are told it again.
func (s *Service) deliver(ctx context.Context, p post, came ...router.Binding) error {
	began := time.Now()
	err := s.cfg.Router.Send(ctx, p.letters)
	if now := time.Now(); now.Sub(began) >= lag/4 {
		for _, own := range came {
			s.arrivals.add(own, now)
		}
	}
	return err
}

// chain goes through a list and what is not in it; nil = nothing.
func chain(list []jid.JID, more iter.Seq[jid.JID]) iter.Seq[jid.JID] {
	return func(yield func(jid.JID) bool) {
		for _, one := range list {
			if !yield(one) {
				return
			}
		}
		if more != nil {
			more(yield)
		}
	}
}
