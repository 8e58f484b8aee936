package main

import (
	"fmt"
	"slices"
	"time"
)

// input is one fact of a person as it becomes known.
type input struct {
	value   uint8
	may     uint16    // all that it may be; only value if that is certain
	pending bool      // a request is under way
	doubt   bool      // one may still be carried out that was not answered
	since   time.Time // value was accepted; zero if it is not known when
	vague   time.Time // nothing is certain before
}

// planned is what happens by itself, such as the end of a meeting.
type planned struct {
	fact  fact
	value uint8
	cause string
	at    time.Time
	sure  bool // it has happened; before that it may have
	// elsewhere says that it happens only for who has not heard better: nodes that are
	// cut off from the one that was told.
	elsewhere bool
}

// segment is a part of a person's time in which the same is true. Its end is the next one.
type segment struct {
	at  time.Time
	set set
}

// turn is the latest change, if it was one from a state that was certain to another.
type turn struct {
	at    time.Time
	cause string
	to    state
	ok    bool
}

// person is the truth about one user. Times are given in about their order.
type person struct {
	weather *weather
	inputs  [facts]input
	plans   []planned // in the order of time
	time    []segment
	latest  turn
	spoke   time.Time // the client last sent presence
	notes   notes
}

func newPerson(w *weather, at time.Time) *person {
	p := &person{weather: w}
	for f := range p.inputs {
		p.inputs[f] = input{may: 1, since: at}
	}
	p.write(at, "")
	return p
}

// begin says that a request is sent by which a fact becomes another.
func (p *person) begin(f fact, value uint8, cause string, at time.Time) {
	p.advance(at)
	in := &p.inputs[f]
	in.may |= 1<<value | 1<<in.value
	in.pending, in.since = true, time.Time{}
	p.write(at, cause)
}

// accept says that it was answered. What would have happened by itself is replaced by it.
func (p *person) accept(f fact, value uint8, at time.Time) {
	p.advance(at)
	in := &p.inputs[f]
	in.value, in.pending, in.since = value, false, at
	in.may |= 1 << value
	if p.weather.trouble && p.weather.apart {
		for k := range p.plans {
			p.plans[k].elsewhere = p.plans[k].elsewhere || p.plans[k].fact == f
		}
	} else {
		p.plans = slices.DeleteFunc(p.plans, func(one planned) bool { return one.fact == f })
	}
	p.write(at, "")
}

// plan says that a fact will be another at some time between two.
func (p *person) plan(f fact, value uint8, cause string, from, until time.Time) {
	p.plans = append(p.plans, planned{fact: f, value: value, cause: cause, at: from}, planned{fact: f, value: value, cause: cause, at: until, sure: true})
	slices.SortStableFunc(p.plans, func(a, b planned) int { return a.at.Compare(b.at) })
}

// unsure says that a fact may be any of some values for a while.
func (p *person) unsure(f fact, values uint16, at, until time.Time) {
	p.advance(at)
	p.inputs[f].may |= values
	p.inputs[f].vague = until
	p.write(at, "")
}

// advance has everything happen that has its time by now.
func (p *person) advance(now time.Time) {
	for {
		f, at, ok := p.closing()
		if ok && (len(p.plans) == 0 || !p.plans[0].at.Before(at)) {
			if at.After(now) {
				return
			}
			in := &p.inputs[f]
			in.may = 1 << in.value
			p.write(at, "")
			continue
		}
		if len(p.plans) == 0 || p.plans[0].at.After(now) {
			return
		}
		one := p.plans[0]
		p.plans = p.plans[1:]
		p.happen(one)
	}
}

func (p *person) happen(one planned) {
	in := &p.inputs[one.fact]
	in.may |= 1<<one.value | 1<<in.value
	switch {
	case one.elsewhere && in.since.Before(one.at) && !in.since.IsZero():
		in.since = one.at
	case one.elsewhere:
	default:
		in.since = time.Time{}
	}
	if one.sure && !one.elsewhere {
		in.value, in.since = one.value, one.at
	}
	p.write(one.at, one.cause)
}

// closing returns which fact becomes certain next, and when.
func (p *person) closing() (found fact, at time.Time, ok bool) {
	for f := range p.inputs {
		in := &p.inputs[f]
		if in.may == 1<<in.value || in.pending || in.doubt || in.since.IsZero() {
			continue
		}
		t, known := p.weather.certain(in.since)
		if t.Before(in.vague) {
			t, known = p.weather.certain(in.vague)
		}
		if known && (!ok || t.Before(at)) {
			found, at, ok = fact(f), t, true //nolint:gosec // there are few
		}
	}
	return found, at, ok
}

// write begins a segment if what is true has changed.
func (p *person) write(at time.Time, cause string) {
	s := p.possible(0, [facts]uint8{})
	if n := len(p.time); n > 0 {
		last := p.time[n-1]
		if last.set == s {
			return
		}
		if at.Before(last.at) {
			at = last.at
		}
		other := s &^ last.set
		switch {
		case last.set.single() && s == last.set|other && other.single():
			p.latest = turn{at, cause, other.only(), cause != ""}
		case s != 1<<p.latest.to:
			p.latest.ok = false
		}
	}
	p.time = append(p.time, segment{at, s})
}

// possible is every state that the facts from one on may make.
func (p *person) possible(from int, f [facts]uint8) (all set) {
	if from == len(f) {
		return 1 << compose(f)
	}
	for value := range uint8(8) {
		if p.inputs[from].may&(1<<value) != 0 {
			f[from] = value
			all |= p.possible(from+1, f)
		}
	}
	return all
}

// now is what is true at the end of what is known.
func (p *person) now() *segment { return &p.time[len(p.time)-1] }

// index returns the segment of a time.
func (p *person) index(at time.Time) int {
	k := len(p.time) - 1
	for k > 0 && p.time[k].at.After(at) {
		k--
	}
	return k
}

// match finds where a state was true: not before the segment from, and not only before
// the time oldest; -1 if it was not.
func (p *person) match(s state, from int, oldest, now time.Time) int {
	for k := from; k < len(p.time) && !p.time[k].at.After(now); k++ {
		over := k+1 < len(p.time) && p.time[k+1].at.Before(oldest)
		if !over && p.time[k].set.has(s) {
			return k
		}
	}
	return -1
}

// certain tells what a person is and since when, if there is no doubt.
func (p *person) certain() (state, time.Time, bool) {
	last := p.now()
	return last.set.only(), last.at, last.set.single()
}

// weather says whether there is trouble, and how long things take. What was accepted
// is everywhere after spread, in and after trouble by settle after its end.
type weather struct {
	spread, settle time.Duration

	trouble      bool
	apart        bool      // nodes do not hear of one another in it
	since, until time.Time // of the latest trouble
}

// certain returns when what was accepted at a time has reached everybody, if that is
// known already.
func (w *weather) certain(accepted time.Time) (time.Time, bool) {
	at := accepted.Add(w.spread)
	if w.since.IsZero() || at.Before(w.since) {
		return at, true
	}
	if w.trouble {
		return at, false
	}
	if settled := w.until.Add(w.settle); settled.After(at) {
		at = settled
	}
	return at, true
}

// rough reports whether a time is in trouble or soon after it.
func (w *weather) rough(at time.Time) bool {
	return !w.since.IsZero() && !at.Before(w.since) && (w.trouble || at.Before(w.until.Add(w.settle)))
}

// notes are the latest of what happened.
type notes struct{ all []note }

type note struct {
	at   time.Time
	text string
}

const maxNotes = 48

func (n *notes) add(at time.Time, format string, args ...any) {
	if len(n.all) >= maxNotes {
		n.all = n.all[1:]
	}
	n.all = append(n.all, note{at, fmt.Sprintf(format, args...)})
}

// last returns some of the latest notes.
func (n *notes) last(count int) []note { return n.all[max(0, len(n.all)-count):] }
