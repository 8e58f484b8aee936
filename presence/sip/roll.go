package sip

import (
	"errors"
	"slices"
	"time"

	"github.com/deskline/deskline/presence"
)

// settled is how long a member that a full document lacks is kept: Kamailio cuts a
// full state that is too large into several documents, of which only the first says
// that it is full.
const settled = 2 * time.Second

// Say is told what the line of a member does; origin names the list it is in.
type Say func(line, origin string, state presence.Line)

// Roll keeps the members of a list as one subscription tells of them. It is pure and
// not safe for concurrent use.
type Roll struct {
	origin  string
	version uint64
	begun   bool
	steady  bool // the server names an instance the same way again
	members map[string]*member

	full   uint64 // number of the full document heard last
	marked uint64 // number of the one whose members should be there by now
	since  time.Time
	last   time.Time // of the full documents

	whole *whole // shared with the lists within
}

// whole is a list with all that are in it.
type whole struct {
	count   int
	waiting []*Roll // those that may have lost members
	ended   []Ended
}

// Ended is a member of which nothing is told any more, by the server's word.
type Ended struct{ Line, Reason string }

// maxEndedTold bounds those that are kept until somebody asks.
const maxEndedTold = 100

// member is one of a list.
type member struct {
	line      string // "" = none that is known by its address, as a list within
	full      uint64
	state     presence.Line
	reason    string // why it ended, "" = it has not
	instances []*instance
}

type instance struct {
	id     string
	state  presence.Line
	teller teller
	roll   *Roll // of a list within
}

// NewRoll returns a roll that has heard nothing.
func NewRoll(origin string) *Roll { return newRoll(origin, &whole{}) }

func newRoll(origin string, w *whole) *Roll {
	return &Roll{origin: origin, members: map[string]*member{}, whole: w}
}

// Members is how many there are, with those of lists within.
func (r *Roll) Members() int { return r.whole.count }

// Apply takes a document. It costs what is in the document, not what is in the list.
// ErrGap says that a full one is needed; what could be used of this one is in force.
func (r *Roll) Apply(doc List, say Say, now time.Time) error {
	switch {
	case doc.Full:
		// Whatever its version, as with dialogs.
		r.full++
		r.last = now
		if !slices.Contains(r.whole.waiting, r) {
			r.marked, r.since = r.full, now
			r.whole.waiting = append(r.whole.waiting, r)
		}
	case !r.begun || doc.Version != r.version+1:
		// One that is not newer cannot be late, since the requests came in their order:
		// the server counts in another way, and a full document is right in any case.
		r.begun = false
		return ErrGap
	}
	r.begun, r.version = true, doc.Version
	var gap error
	for i := range doc.Resources {
		gap = worse(gap, r.resource(&doc.Resources[i], doc.Full, say, now))
	}
	return gap
}

// worse is the error that needs more to be done.
func worse(a, b error) error {
	if b != nil && !errors.Is(a, ErrGap) {
		return b
	}
	return a
}

func (r *Roll) resource(doc *Resource, full bool, say Say, now time.Time) error {
	line, err := Normalise(doc.URI)
	if err != nil {
		line = ""
	}
	key := line
	if line == "" {
		key = doc.URI
	}
	m := r.members[key]
	if m == nil {
		if r.whole.count >= MaxMembers {
			return ErrTooLarge
		}
		r.whole.count++
		m = &member{line: line}
		r.members[key] = m
	}
	m.full = r.full
	r.match(m, doc.Instances, full, say)
	var gap error
	reason := ""
	for _, d := range doc.Instances {
		at := slices.IndexFunc(m.instances, func(o *instance) bool { return o.id == d.ID })
		if at < 0 {
			continue // more than can be
		}
		gap = worse(gap, r.instance(m.instances[at], &d, key, full, say, now))
		if d.State == "terminated" {
			m.instances = slices.Delete(m.instances, at, at+1)
			reason = "terminated"
			if d.Reason != "" {
				reason = d.Reason
			}
		}
	}
	m.state = presence.LineUnknown
	for _, one := range m.instances {
		m.state = max(m.state, one.state)
	}
	if len(m.instances) > 0 {
		reason = ""
	}
	if reason != m.reason && reason != "" && len(r.whole.ended) < maxEndedTold {
		r.whole.ended = append(r.whole.ended, Ended{key, reason})
	}
	m.reason = reason
	if m.line != "" {
		say(m.line, r.origin, m.state)
	}
	return gap
}

// Ended returns the members that have ended since it was asked.
func (r *Roll) Ended() []Ended {
	ended := r.whole.ended
	r.whole.ended = nil
	return ended
}

// match finds the instances of a document among those that are known, and forgets
// those that are over.
func (r *Roll) match(m *member, docs []Instance, full bool, say Say) {
	known := 0
	for _, d := range docs {
		if slices.ContainsFunc(m.instances, func(o *instance) bool { return o.id == d.ID }) {
			known++
			r.steady = true
		}
	}
	switch {
	case known == 0 && len(docs) == 1 && len(m.instances) == 1 && !r.steady:
		m.instances[0].id = docs[0].ID // Asterisk makes up a new name each time
	case full || len(docs) == 0 || known == 0 && !r.steady:
		m.instances = slices.DeleteFunc(m.instances, func(o *instance) bool {
			gone := !slices.ContainsFunc(docs, func(d Instance) bool { return d.ID == o.id })
			if gone {
				o.end(say)
			}
			return gone
		})
	}
	for _, d := range docs {
		if !slices.ContainsFunc(m.instances, func(o *instance) bool { return o.id == d.ID }) && len(m.instances) < maxInstances {
			m.instances = append(m.instances, &instance{id: d.ID})
		}
	}
}

// instance takes what a document says of one.
func (r *Roll) instance(one *instance, doc *Instance, key string, full bool, say Say, now time.Time) error {
	switch {
	case doc.State != "active": // nothing is told yet, or any more
		one.end(say)
		one.state, one.teller = presence.LineUnknown, teller{}
	case doc.list != nil:
		if one.roll == nil {
			one.roll = newRoll(r.origin+" "+key, r.whole)
		}
		return one.roll.Apply(*doc.list, say, now)
	case doc.said != nil:
		one.end(say)
		state, err := one.teller.take(*doc.said)
		if err != nil {
			return err
		}
		one.state = state
	case full && doc.cid == "":
		one.state = presence.LineUnknown
	}
	return nil // a part that cannot be read takes nothing back
}

// end forgets a list within.
func (o *instance) end(say Say) {
	if o.roll != nil {
		o.roll.Clear(say)
		o.roll = nil
	}
}

// Settle forgets members that the latest full documents lack.
func (r *Roll) Settle(say Say, now time.Time) {
	w := r.whole
	w.waiting = slices.DeleteFunc(w.waiting, func(one *Roll) bool {
		switch {
		case now.Sub(one.last) >= settled:
			one.marked = one.full
		case now.Sub(one.since) < settled:
			return false
		}
		one.prune(say, func(m *member) bool { return m.full < one.marked })
		done := one.marked == one.full
		one.marked, one.since = one.full, one.last
		return done
	})
}

// Clear forgets all members.
func (r *Roll) Clear(say Say) { r.prune(say, func(*member) bool { return true }) }

func (r *Roll) prune(say Say, gone func(*member) bool) {
	for key, m := range r.members {
		if !gone(m) {
			continue
		}
		for _, one := range m.instances {
			one.end(say)
		}
		if m.line != "" {
			say(m.line, r.origin, presence.LineUnknown)
		}
		delete(r.members, key)
		r.whole.count--
	}
}

// Restart is for a subscription that is begun anew: nothing is taken back, but the
// documents are counted from the start.
func (r *Roll) Restart() {
	r.begun = false
	for _, m := range r.members {
		for _, one := range m.instances {
			one.teller = teller{}
			if one.roll != nil {
				one.roll.Restart()
			}
		}
	}
}
