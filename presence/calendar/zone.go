package calendar

import (
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // calendars name zones that a small container has no files of
)

// clock turns the wall clock of a zone into a point of time.
type clock interface {
	at(wall time.Time) time.Time
}

// change is a transition of a zone's offset.
type change struct {
	when          time.Time
	before, after time.Duration
}

// applies reports whether a wall clock's time is to be read with the offset after a
// change. A time that exists twice is the first, one that does not exist has the offset
// before, RFC 5545 §3.3.5.
func (c change) applies(wall time.Time) bool {
	return !wall.Before(c.when.Add(max(c.before, c.after)))
}

// iana is a zone of the tz database.
type iana struct{ *time.Location }

func (z iana) at(wall time.Time) time.Time {
	y, m, d := wall.Date()
	t := time.Date(y, m, d, wall.Hour(), wall.Minute(), wall.Second(), 0, z.Location)
	offset := offsetAt(t)
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		if c := (change{start, offsetAt(start.Add(-time.Second)), offset}); !c.applies(wall) {
			return wall.Add(-c.before)
		}
	}
	if !end.IsZero() {
		if c := (change{end, offset, offsetAt(end)}); c.applies(wall) {
			return wall.Add(-c.after)
		}
	}
	return wall.Add(-offset)
}

func offsetAt(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// observance is STANDARD or DAYLIGHT of a VTIMEZONE.
type observance struct {
	start         stamp
	before, after time.Duration
	rules         []rule
	dates         []stamp
	offsets       int // of the two, how many were there
}

// custom is a zone that the calendar itself describes.
type custom []change

func (z custom) at(wall time.Time) time.Time {
	offset := z[0].before
	for _, c := range z {
		if !c.applies(wall) {
			break
		}
		offset = c.after
	}
	return wall.Add(-offset)
}

// makeCustom expands a VTIMEZONE for the time around the window.
func makeCustom(all []observance, from, until time.Time, work *int) custom {
	var z custom
	for _, o := range all {
		if o.offsets < 2 || o.start.wall.IsZero() {
			continue
		}
		add := func(wall time.Time) bool {
			z = append(z, change{when: wall.Add(-o.before), before: o.before, after: o.after})
			return len(z) < 1000
		}
		add(o.start.wall)
		for _, d := range o.dates {
			add(d.wall)
		}
		for _, r := range o.rules {
			end := until.AddDate(1, 0, 0)
			if r.hasUntil && !r.until.wall.Add(o.before).After(end) {
				// In force until then, and what it left holds on afterwards.
				end = r.until.wall
				if r.until.utc {
					end = end.Add(o.before)
				}
			}
			begin := from.AddDate(-2, 0, 0)
			if end.Before(begin) {
				begin = end.AddDate(-2, 0, 0)
			}
			r.occurrences(o.start.wall, begin, end, work, add)
		}
	}
	slices.SortFunc(z, func(a, b change) int { return a.when.Compare(b.when) })
	return z
}

// zones finds clocks by TZID.
type zones struct {
	own      map[string][]observance
	from     time.Time
	until    time.Time
	floating clock
	work     *int
	known    map[string]clock
}

func newZones(own map[string][]observance, from, until time.Time, zone *time.Location, work *int) *zones {
	if zone == nil {
		zone = time.UTC
	}
	return &zones{own: own, from: from, until: until, floating: iana{zone}, work: work, known: map[string]clock{}}
}

// at is the point of time of a stamp.
func (z *zones) at(s stamp) time.Time {
	if s.utc {
		return s.wall
	}
	return z.clock(s.zone).at(s.wall)
}

func (z *zones) clock(id string) clock {
	if id == "" {
		return z.floating
	}
	c, ok := z.known[id]
	if !ok {
		c = z.find(id)
		if len(z.known) < 1000 {
			z.known[id] = c
		}
	}
	return c
}

// find prefers the tz database, for the rules of calendars age with them.
func (z *zones) find(id string) clock {
	if l := location(id); l != nil {
		return iana{l}
	}
	if own, ok := z.own[id]; ok {
		if c := makeCustom(own, z.from, z.until, z.work); len(c) > 0 {
			return c
		}
	}
	// Such as /mozilla.org/20050126_1/Europe/Berlin.
	for rest := id; rest != ""; {
		_, after, ok := strings.Cut(rest, "/")
		if !ok {
			break
		}
		if l := location(after); l != nil && strings.Contains(after, "/") {
			return iana{l}
		}
		rest = after
	}
	return z.floating
}

// Location finds a zone by its IANA or Windows name; nil if there is none.
func Location(id string) *time.Location { return location(id) }

// location finds a zone by its IANA or Windows name.
func location(id string) *time.Location {
	if name, ok := windows[id]; ok {
		id = name
	}
	if id == "" || id == "Local" || len(id) > 64 || strings.HasPrefix(id, "/") {
		return nil
	}
	l, err := time.LoadLocation(id)
	if err != nil {
		return nil
	}
	return l
}
