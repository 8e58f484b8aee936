package calendar

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
)

// Options say how a calendar is to be read.
type Options struct {
	Zone *time.Location // of floating times and whole days; nil = UTC
	Self []string       // mail addresses of its owner, in lower case: what they declined is free
}

// expansion collects the periods of a calendar.
type expansion struct {
	*Calendar
	Options
	from, until time.Time
	zones       *zones
	work        int
	list        []presence.Period
	cut         bool // something was left out for its cost
}

// Periods are the times between two that are not free: in order, without overlap,
// the heaviest where several are. Those that are only partly inside are whole. It
// reports as cut what was left out, since it would have cost too much.
func (c *Calendar) Periods(from, until time.Time, o Options) (list []presence.Period, cut bool) {
	x := &expansion{Calendar: c, Options: o, from: from.UTC(), until: until.UTC(), work: c.limits.Work}
	if l := location(c.zone); l != nil && o.Zone == nil {
		x.Zone = l
	}
	x.zones = newZones(c.zones, x.from, x.until, x.Zone, &x.work)
	for _, b := range c.busy {
		begin := x.zones.at(b.from)
		end := x.zones.at(b.until)
		if b.hasRest {
			end = x.zones.at(later(b.from, b.days)).Add(b.rest)
		}
		x.add(begin, end, b.slot)
	}
	for events := c.ordered(); len(events) > 0; {
		n := 1
		for n < len(events) && events[0].uid != "" && events[n].uid == events[0].uid {
			n++
		}
		x.series(events[:n])
		events = events[n:]
	}
	merged := Merge(x.list)
	if len(merged) > maxPeriods {
		merged, x.cut = merged[:maxPeriods], true
	}
	return merged, x.cut
}

// series expands all events with one UID.
func (x *expansion) series(events []event) {
	var masters, overrides []event
	for _, e := range events {
		if !e.isOverride {
			masters = append(masters, e)
			continue
		}
		same := func(o event) bool { return x.zones.at(o.replaces).Equal(x.zones.at(e.replaces)) }
		if at := slices.IndexFunc(overrides, same); at >= 0 && len(overrides) < 1000 {
			if sequence(e) >= sequence(overrides[at]) {
				overrides[at] = e
			}
			continue
		}
		overrides = append(overrides, e)
		if x.work--; x.work < 0 {
			x.cut = true
			return
		}
	}
	replaced := make(map[int64]bool, len(overrides))
	var future []event
	for _, o := range overrides {
		replaced[x.zones.at(o.replaces).Unix()] = true
		if o.andFuture {
			future = append(future, o)
		}
		if slot := x.slot(o); slot != presence.SlotFree {
			begin, end := x.times(o, o.start)
			x.add(begin, end, slot)
		}
	}
	slices.SortFunc(future, func(a, b event) int { return x.zones.at(a.replaces).Compare(x.zones.at(b.replaces)) })
	for _, e := range masters {
		x.master(e, replaced, future)
	}
}

func sequence(e event) int {
	n, _ := strconv.Atoi(e.sequence) // none is 0
	return n
}

// master expands the rules and dates of an event.
func (x *expansion) master(e event, replaced map[int64]bool, future []event) {
	slot := x.slot(e)
	if slot == presence.SlotFree && len(future) == 0 {
		return
	}
	gone := make(map[int64]bool, len(e.exdates))
	days := make(map[time.Time]bool) // EXDATE;VALUE=DATE of an event with times, as some write it
	for _, d := range e.exdates {
		if d.date && !e.start.date {
			days[d.wall] = true
			continue
		}
		gone[x.zones.at(d).Unix()] = true
	}
	take := func(s span) bool {
		begin := x.zones.at(s.from)
		if gone[begin.Unix()] || replaced[begin.Unix()] || days[s.from.wall.Truncate(24*time.Hour)] {
			return true
		}
		for _, o := range slices.Backward(future) {
			if !begin.Before(x.zones.at(o.replaces)) {
				x.shifted(o, s.from)
				return true
			}
		}
		_, end := x.times(e, s.from)
		switch {
		case s.hasRest:
			end = x.zones.at(later(s.from, s.days)).Add(s.rest)
		case !s.lasts:
			end = x.zones.at(s.until)
		}
		return x.add(begin, end, slot)
	}
	for _, d := range e.rdates {
		if !take(d) {
			return
		}
	}
	if len(e.rules) == 0 {
		take(span{from: e.start, lasts: true})
		return
	}
	for _, r := range e.rules {
		x.recur(e, r, future, take)
	}
}

// shifted is an occurrence that moves as one before it did, RANGE=THISANDFUTURE.
func (x *expansion) shifted(o event, from stamp) {
	slot := x.slot(o)
	if slot == presence.SlotFree {
		return
	}
	if o.replaces.zone == from.zone && o.replaces.utc == from.utc && o.start.zone == from.zone {
		moved := from
		moved.wall = from.wall.Add(o.start.wall.Sub(o.replaces.wall))
		moved.date = o.start.date
		begin, end := x.times(o, moved)
		x.add(begin, end, slot)
		return
	}
	begin, end := x.times(o, o.start)
	at := x.zones.at(from).Add(begin.Sub(x.zones.at(o.replaces)))
	x.add(at, at.Add(end.Sub(begin)), slot)
}

// recur expands one rule.
func (x *expansion) recur(e event, r rule, future []event, take func(span) bool) {
	// In wall time, with room for zones and for what is moved.
	begin, end := x.times(e, e.start)
	room := 26*time.Hour + max(0, end.Sub(begin))
	for _, o := range future {
		move := x.zones.at(o.start).Sub(x.zones.at(o.replaces)).Abs()
		_, until := x.times(o, o.start)
		room = max(room, 26*time.Hour+move+until.Sub(x.zones.at(o.start)))
	}
	from, until := x.from.Add(-room), x.until.Add(room)
	if r.hasUntil {
		switch {
		case r.until.date:
			until = earlier(until, r.until.wall.Add(24*time.Hour-time.Second))
		case !r.until.utc || e.start.utc:
			until = earlier(until, r.until.wall)
		default:
			until = earlier(until, r.until.wall.Add(15*time.Hour))
		}
	}
	enough := r.occurrences(e.start.wall, from, until, &x.work, func(wall time.Time) bool {
		s := e.start
		s.wall = wall
		if r.hasUntil && r.until.utc && !r.until.date && x.zones.at(s).After(r.until.wall) {
			return false
		}
		return take(span{from: s, lasts: true})
	})
	if !enough {
		x.cut = true
	}
}

// times are begin and end of an occurrence.
func (x *expansion) times(e event, from stamp) (begin, end time.Time) {
	begin = x.zones.at(from)
	switch {
	case e.hasEnd && e.end.zone == e.start.zone && e.end.utc == e.start.utc && e.end.date == e.start.date:
		// By the wall clock, so that whole days stay whole when one has 23 hours.
		if e.start.date {
			return begin, x.zones.at(later(from, int(e.end.wall.Sub(e.start.wall)/(24*time.Hour))))
		}
		return begin, begin.Add(x.zones.at(e.end).Sub(x.zones.at(e.start)))
	case e.hasEnd:
		return begin, begin.Add(x.zones.at(e.end).Sub(x.zones.at(e.start)))
	case e.hasDuration:
		return begin, x.zones.at(later(from, e.days)).Add(e.rest)
	case e.start.date:
		return begin, x.zones.at(later(from, 1))
	}
	return begin, begin
}

func later(s stamp, days int) stamp {
	s.wall = s.wall.AddDate(0, 0, days)
	return s
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// slot is how busy an event makes its owner.
func (x *expansion) slot(e event) presence.Slot {
	if e.status == "CANCELLED" || e.transp == "TRANSPARENT" {
		return presence.SlotFree
	}
	slot := presence.SlotBusy
	switch e.outlook {
	case "FREE", "WORKINGELSEWHERE":
		return presence.SlotFree
	case "TENTATIVE":
		slot = presence.SlotTentative
	case "OOF":
		slot = presence.SlotOutOfOffice
	}
	if e.status == "TENTATIVE" {
		slot = presence.SlotTentative
	}
	for _, a := range e.attendees {
		if !slices.Contains(x.Self, a.address) {
			continue
		}
		switch a.answer {
		case "DECLINED", "DELEGATED":
			return presence.SlotFree
		case "TENTATIVE", "NEEDS-ACTION":
			slot = presence.SlotTentative
		}
	}
	return slot
}

// add keeps what reaches into the window. It reports whether there is room for more.
func (x *expansion) add(begin, end time.Time, slot presence.Slot) bool {
	if x.work--; x.work < 0 || len(x.list) >= 50_000 {
		x.cut = true
		return false
	}
	if end.After(begin) && end.After(x.from) && begin.Before(x.until) {
		x.list = append(x.list, presence.Period{From: begin.UTC(), Until: end.UTC(), Slot: slot})
	}
	return true
}

// Addresses prepares mail addresses for Options.Self.
func Addresses(list ...string) []string {
	out := make([]string, 0, len(list))
	for _, one := range list {
		if one != "" {
			out = append(out, strings.ToLower(one))
		}
	}
	return out
}
