package calendar

import (
	"container/heap"
	"maps"
	"slices"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// An event that is made or moved is told in several parts, and a calendar may change
// without end.
const (
	gather     = time.Second
	leastPause = 5 * time.Second
)

// Touch says that a user's calendar has changed, so that it is looked at soon.
func (p *Poller) Touch(user jid.JID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.all[user.Bare()]
	if e == nil {
		return
	}
	if e.busy {
		e.again = true
		return
	}
	if due := p.soon(e, time.Now()); due.Before(e.due) {
		e.due = due
		heap.Fix(&p.wait, e.at)
		p.rouse()
	}
}

// users are those whose calendars are asked for.
func (p *Poller) users() []jid.JID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.all))
}

func (p *Poller) soon(e *entry, now time.Time) time.Time {
	due := now.Add(gather)
	if next := e.asked.Add(leastPause); next.After(due) {
		return next
	}
	return due
}

func (p *Poller) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
