package presence

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Change is that a user came to be in a state.
type Change struct {
	User  jid.JID   `json:"-"`
	At    time.Time `json:"at"`
	State Name      `json:"state"`
	Why   string    `json:"why"` // choice, resource, or the source that decided; never a text of anybody's
}

// Histories keeps changes. Times are kept to the microsecond.
type Histories interface {
	// SaveChanges keeps changes, which may come in any order, more than once, and be to the state that the user was in
	// already. Of one time the last counts. Those of nobody with an account are left out. Of each
	// user the latest max stay.
	SaveChanges(ctx context.Context, changes []Change, max int) error
	// Changes returns the last change of a user before from, if there is one, and up to max of those from
	// from on, before until, the oldest first.
	Changes(ctx context.Context, user jid.JID, from, until time.Time, max int) ([]Change, error)
	// SweepChanges removes the changes before a time. The last of them of each user stays, unless
	// last is set: it says what the user has been since.
	SweepChanges(ctx context.Context, before time.Time, last bool) error
	// LastChanges goes through the last change of everybody of whom there is any, some at a time,
	// until visit returns an error.
	LastChanges(ctx context.Context, visit func([]Change) error) error
}

// History is what a user was in some time.
type History struct {
	User    jid.JID          `json:"user"`
	From    time.Time        `json:"from"`
	Until   time.Time        `json:"until"`
	State   Name             `json:"state,omitempty"` // before From; "" if it is not known
	Changes []Change         `json:"changes"`         // from From on
	Seconds map[Name]float64 `json:"seconds"`         // in each state; what is not known is left out
	Next    *time.Time       `json:"next,omitempty"`  // where to go on, if there were too many changes: the answer ends there
}

// Why there is no history to be had.
var (
	ErrNoHistory = errors.New("no history is kept")
	ErrWindow    = errors.New("from is not before until")
)

// MaxChanges is how many changes are kept of each user.
const MaxChanges = 10000

// History tells what a user was in some time, with up to max changes. Of what is older than is kept,
// or not yet there, nothing is told: From and Until of the answer say what is.
func (s *Service) History(ctx context.Context, user jid.JID, from, until time.Time, max int) (History, error) {
	keep := s.history.keep()
	if keep == 0 {
		return History{}, ErrNoHistory
	}
	if !from.Before(until) {
		return History{}, ErrWindow
	}
	now := time.Now()
	if until.After(now) {
		until = now
	}
	if oldest := now.Add(-keep); from.Before(oldest) {
		from = oldest
	}
	if from.After(until) {
		from = until
	}
	all, err := s.cfg.Histories.Changes(ctx, user, from, until, max+1)
	if err != nil {
		return History{}, err
	}
	return newHistory(user, from, until, all, max), nil
}

// newHistory sums up the changes in a time, the first of which may be from before.
func newHistory(user jid.JID, from, until time.Time, all []Change, max int) History {
	h := History{User: user, From: from.UTC(), Until: until.UTC(), Changes: []Change{}, Seconds: map[Name]float64{}}
	if len(all) > 0 && all[0].At.Before(from) {
		h.State, all = all[0].State, all[1:]
	}
	if len(all) > max {
		h.Until, h.Next, all = all[max].At, &all[max].At, all[:max]
	}
	state, since := h.State, h.From
	spent := map[Name]time.Duration{}
	pass := func(next Name, at time.Time) {
		if state != "" && at.After(since) {
			spent[state] += at.Sub(since)
		}
		state, since = next, at
	}
	for _, c := range all {
		if c.State != state { // several nodes may tell of one change
			pass(c.State, c.At)
			h.Changes = append(h.Changes, c)
		}
	}
	pass("", h.Until)
	for name, d := range spent {
		h.Seconds[name] = d.Round(time.Millisecond).Seconds()
	}
	return h
}

// mark is the state of an entry of which the history knows.
type mark struct {
	known   bool
	name    Name
	touched uint64
}

// differs reports whether the history is to be told of an entry, which is for its owner to do. It is called with
// the lock held.
func (e *entry) differs() bool {
	if e.foreign {
		e.marked = mark{}
		return false
	}
	now := mark{known: true, touched: e.touched}
	if e.told != nil {
		now.name = e.told.Name
	}
	was := e.marked
	e.marked = now
	return was != now
}

// sameState reports whether a user is surely in the state as before after the only resource has sent another
// presence. own is its binding now, nil if it leaves.
func sameState(before []router.Binding, own *router.Binding) bool {
	if own == nil {
		return false
	}
	var was *router.Binding
	for i := range before {
		switch {
		case before[i].Full == own.Full:
			was = &before[i]
		case before[i].Available():
			return false // the word that was said last counts
		}
	}
	return was != nil && was.Available() && idleSince(was.Presence).IsZero() && idleSince(own.Presence).IsZero() &&
		was.Presence.ChildText(stanza.NSClient, "show") == own.Presence.ChildText(stanza.NSClient, "show")
}
