package presence

import (
	"cmp"
	"time"
)

// Name is a composed state as the wire and the API name it.
type Name string

// The composed states.
const (
	OnThePhone   Name = "on-the-phone"
	InAMeeting   Name = "in-a-meeting"
	DND          Name = "dnd"
	Available    Name = "available"
	Away         Name = "away"
	ExtendedAway Name = "extended-away"
	OutOfOffice  Name = "out-of-office"
	Unavailable  Name = "unavailable"
	Busy         Name = "busy"
)

// Choice is what a user wants to be, beside what the resources say by themselves.
type Choice struct {
	State Name      // DND, Busy, Away, ExtendedAway, Unavailable (appear offline); "" = nothing
	Since time.Time // when it was made
	Until time.Time // when it ends by itself; zero = never
	Text  string    // shown in place of the state's; "" = that
	By    string    // who made it: a full JID, or the name of an administrator
}

// Resource is what one available resource says.
type Resource struct {
	Name  string    // the resource part, for who asks why
	Show  string    // "", chat, away, xa, dnd
	Since time.Time // when it was said
	Idle  time.Time // XEP-0319: the last activity; zero = the client says nothing of it
}

// Input is everything that is known of a user at one time.
type Input struct {
	Choice    Choice
	Resources []Resource
	Evidence  []Evidence // in any order; what has expired does not count
}

// Order says what goes before what.
type Order string

// PolicyModern never overrides a choice of Do Not Disturb; PolicyCisco has the phone
// and the calendar before any choice of the user.
const (
	PolicyModern Order = "modern"
	PolicyCisco  Order = "cisco"
)

// Policy is how an installation wants presence composed. The zero Policy is modern,
// with the shows of the documentation.
type Policy struct {
	Order         Order
	RingingIsBusy bool
	PhoneOnly     bool          // a line in a call shows a user without a resource
	IdleAfter     time.Duration // how long a resource is idle before it counts; 0 = at once
	PhoneShow     string        // dnd, away, xa, chat or "none"; "" = dnd
	MeetingShow   string        // the same
	OutShow       string        // the same; "" = xa
}

// State is what contacts are told.
type State struct {
	Name  Name
	Show  string // of the standard; "" for none and for unavailable
	Since time.Time
	// Why is what decided: choice, resource, or the source of the evidence. Item
	// is the line, calendar or resource.
	Why, Item string
}

// facts are an input, looked through once.
type facts struct {
	phone, meeting, out *span
	choice              State // rows 1, 2 and 5; Name "" = nothing chosen
	rest                State // rows 7 to 9
	next                time.Time
}

// span is evidence that counts now.
type span struct {
	since        time.Time
	source, item string
}

// Compose decides the state of a user by the first row of the documentation's table that
// matches, and says when to look again though nothing new is heard: the next
// border of a period, expiry or end of a choice; zero = never. Without evidence there is
// nothing a user could be busy by: what expires leaves what the resources say.
func Compose(in Input, p Policy, now time.Time) (State, time.Time) {
	f := look(in, p, now)
	reachable := len(in.Resources) > 0
	phone := State{Name: OnThePhone, Show: show(p.PhoneShow, "dnd")}
	if !reachable && (f.phone == nil || !p.PhoneOnly || f.choice.Name == Unavailable) {
		if f.choice.Name == Unavailable {
			return f.choice, f.next
		}
		return f.rest, f.next // row 9
	}
	switch {
	case f.choice.Name == Unavailable: // row 1
		return f.choice, f.next
	case f.choice.Name == DND && p.Order != PolicyCisco: // row 2
		return f.choice, f.next
	case f.phone != nil: // row 3
		return f.phone.of(phone), f.next
	case f.meeting != nil: // row 4
		return f.meeting.of(State{Name: InAMeeting, Show: show(p.MeetingShow, "dnd")}), f.next
	case f.choice.Name != "": // row 5, and 2 as Cisco has it
		return f.choice, f.next
	case f.out != nil: // row 6
		return f.out.of(State{Name: OutOfOffice, Show: show(p.OutShow, "xa")}), f.next
	}
	return f.rest, f.next // rows 7 and 8
}

func show(configured, otherwise string) string {
	switch configured {
	case "":
		return otherwise
	case "none":
		return ""
	}
	return configured
}

func (s *span) of(st State) State {
	st.Since, st.Why, st.Item = s.since, s.source, s.item
	return st
}

// earlier reports whether the span decides rather than another of the same weight,
// so that the order of evidence does not matter.
func (s *span) earlier(o *span) bool {
	return o == nil || cmp.Or(s.since.Compare(o.since), cmp.Compare(s.source, o.source), cmp.Compare(s.item, o.item)) < 0
}

func look(in Input, p Policy, now time.Time) facts {
	var f facts
	for i := range in.Evidence {
		f.evidence(&in.Evidence[i], p, now)
	}
	f.resources(in.Resources, p, now)
	if c := in.Choice; c.counts(now) {
		f.look(c.Until, now)
		// Do Not Disturb by a client is no less of a choice.
		if f.choice.Name != DND || c.State == DND || c.State == Unavailable {
			f.choice = State{Name: c.State, Show: shows[c.State], Since: c.Since, Why: "choice", Item: c.By}
		}
	}
	return f
}

// shows of what a user can choose or a resource say.
var shows = map[Name]string{DND: "dnd", Busy: "dnd", Away: "away", ExtendedAway: "xa"}

// look notes a time at which something changes by itself.
func (f *facts) look(at, now time.Time) {
	if at.After(now) && (f.next.IsZero() || at.Before(f.next)) {
		f.next = at
	}
}

func (f *facts) evidence(e *Evidence, p Policy, now time.Time) {
	if !e.Expires.After(now) {
		return
	}
	f.look(e.Expires, now)
	if e.Line == LineHeld || e.Line == LineInCall || e.Line == LineRinging && p.RingingIsBusy {
		f.take(&f.phone, e, e.Since)
	}
	for _, period := range e.Periods {
		f.look(period.From, now)
		f.look(period.Until, now)
		if period.From.After(now) || !period.Until.After(now) {
			continue
		}
		switch period.Slot {
		case SlotBusy:
			f.take(&f.meeting, e, period.From)
		case SlotOutOfOffice:
			f.take(&f.out, e, period.From)
		case SlotFree, SlotTentative: // mean nothing for presence
		}
	}
}

func (f *facts) take(dst **span, e *Evidence, since time.Time) {
	if s := (&span{since, e.Source, e.Item}); s.earlier(*dst) {
		*dst = s
	}
}

// resources finds what the user says by resources (the choice of rows 2 and 5), and what
// follows from them if nobody says more (rows 7 to 9).
func (f *facts) resources(all []Resource, p Policy, now time.Time) {
	f.rest = State{Name: Unavailable, Why: "resource"}
	var active, rest, last, dnd *Resource
	xa := true
	for i := range all {
		r := &all[i]
		idle := !r.Idle.IsZero() && !r.Idle.Add(p.IdleAfter).After(now)
		if !r.Idle.IsZero() && !idle {
			f.look(r.Idle.Add(p.IdleAfter), now)
		}
		xa = xa && r.Show == "xa"
		switch {
		case r.Show == "dnd":
			dnd = r.sooner(dnd)
		case !idle && (r.Show == "" || r.Show == "chat"):
			active = r.sooner(active)
		}
		rest = rest.later(r)
		// Without XEP-0319 it was the user who said so; the word said last counts.
		if r.Idle.IsZero() && r.Show != "dnd" {
			last = last.later(r)
		}
	}
	switch {
	case active != nil:
		f.rest = active.state(Available, active.Since)
	case rest != nil && xa:
		f.rest = rest.state(ExtendedAway, rest.quiet(p))
	case rest != nil:
		f.rest = rest.state(Away, rest.quiet(p))
	}
	switch {
	case dnd != nil:
		f.choice = dnd.state(DND, dnd.Since)
	case last != nil && last.Show == "away":
		f.choice = last.state(Away, last.Since)
	case last != nil && last.Show == "xa":
		f.choice = last.state(ExtendedAway, last.Since)
	}
}

// quiet is since when a resource has been away.
func (r *Resource) quiet(p Policy) time.Time {
	if r.Idle.IsZero() || r.Show != "" && r.Show != "chat" {
		return r.Since
	}
	return r.Idle.Add(p.IdleAfter)
}

func (r *Resource) state(n Name, since time.Time) State {
	return State{Name: n, Show: shows[n], Since: since, Why: "resource", Item: r.Name}
}

// sooner returns which of two resources spoke first, later which spoke last; the other
// may be nil.
func (r *Resource) sooner(o *Resource) *Resource {
	if o == nil || cmp.Or(r.Since.Compare(o.Since), cmp.Compare(r.Name, o.Name)) < 0 {
		return r
	}
	return o
}

func (r *Resource) later(o *Resource) *Resource {
	if r == nil || cmp.Or(o.Since.Compare(r.Since), cmp.Compare(o.Name, r.Name)) > 0 {
		return o
	}
	return r
}
