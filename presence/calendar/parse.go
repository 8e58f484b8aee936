package calendar

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
)

// Calendar is what matters of an iCalendar text.
type Calendar struct {
	events []event
	busy   []span // of VFREEBUSY
	zones  map[string][]observance
	zone   string // X-WR-TIMEZONE
	limits Limits
	flaws  int // events that cannot be read
}

// event is a VEVENT: a series, or what replaces one of its occurrences.
type event struct {
	uid         string
	start, end  stamp
	days        int // DURATION, if there is no DTEND
	rest        time.Duration
	hasStart    bool
	hasEnd      bool
	hasDuration bool
	rules       []rule
	rdates      []span
	exdates     []stamp
	replaces    stamp // RECURRENCE-ID
	isOverride  bool
	andFuture   bool
	status      string
	transp      string
	outlook     string
	sequence    string
	attendees   []attendee
	flawed      bool
}

type attendee struct{ address, answer string }

// span is a time in a calendar.
type span struct {
	from, until stamp
	lasts       bool // until is none: as long as the event
	days        int
	rest        time.Duration
	hasRest     bool
	slot        presence.Slot
}

// Parse reads a text of one or several VCALENDARs. What it does not know it
// leaves out; an event that it cannot read does not count, see Flaws.
func Parse(r io.Reader, limits Limits) (*Calendar, error) {
	p := &parser{cal: &Calendar{zones: map[string][]observance{}, limits: limits.filled()}}
	p.cal.limits = limits.filled()
	s := newScanner(r, p.cal.limits.Bytes)
	for {
		l, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := p.take(l); err != nil {
			return nil, err
		}
	}
	switch {
	case !p.begun:
		return nil, ErrNoCalendar
	case len(p.open) > 0:
		return nil, errors.New("the calendar ends too early")
	}
	return p.cal, nil
}

// Flaws is how many events could not be read.
func (c *Calendar) Flaws() int { return c.flaws }

type parser struct {
	cal   *Calendar
	open  []string // components, outer first
	begun bool
	event event
	tzid  string
	rules []observance
}

func (p *parser) take(l line) error {
	switch {
	case l.name == "BEGIN":
		return p.begin(strings.ToUpper(l.value))
	case l.name == "END":
		return p.end(strings.ToUpper(l.value))
	case len(p.open) == 0:
		return nil
	}
	switch p.open[len(p.open)-1] {
	case "VCALENDAR":
		if l.name == "X-WR-TIMEZONE" {
			p.cal.zone = l.value
		}
	case "VEVENT":
		if err := p.property(l); err != nil {
			p.event.flawed = true
		}
		if len(p.event.rdates)+len(p.event.exdates) > maxDates {
			return tooMany("dates of an event", maxDates)
		}
	case "VFREEBUSY":
		if l.name == "FREEBUSY" {
			return p.freeBusy(l)
		}
	case "VTIMEZONE":
		if l.name == "TZID" {
			p.tzid = l.value
		}
	case "STANDARD", "DAYLIGHT":
		if len(p.rules) > 0 {
			p.observance(l, &p.rules[len(p.rules)-1])
		}
	}
	return nil
}

func (p *parser) begin(name string) error {
	if len(p.open) >= maxDepth {
		return tooMany("components in each other", maxDepth)
	}
	if len(p.open) == 0 {
		if name != "VCALENDAR" {
			return ErrNoCalendar
		}
		p.begun = true
	}
	p.open = append(p.open, name)
	switch name {
	case "VEVENT":
		p.event = event{}
	case "VTIMEZONE":
		p.tzid, p.rules = "", nil
	case "STANDARD", "DAYLIGHT":
		if p.rules = append(p.rules, observance{}); len(p.rules) > 500 {
			return tooMany("changes of a time zone", 500)
		}
	}
	return nil
}

func (p *parser) end(name string) error {
	if len(p.open) == 0 || p.open[len(p.open)-1] != name {
		return errors.New("components of the calendar end in the wrong order")
	}
	p.open = p.open[:len(p.open)-1]
	switch name {
	case "VEVENT":
		if p.event.flawed || !p.event.hasStart {
			p.cal.flaws++
			return nil
		}
		if p.cal.events = append(p.cal.events, p.event); len(p.cal.events) > p.cal.limits.Events {
			return tooMany("events", p.cal.limits.Events)
		}
	case "VTIMEZONE":
		if len(p.cal.zones) >= 500 {
			return tooMany("time zones", 500)
		}
		p.cal.zones[p.tzid] = p.rules
	}
	return nil
}

// property takes one of an event.
func (p *parser) property(l line) (err error) {
	e := &p.event
	switch l.name {
	case "UID":
		e.uid = l.value
	case "DTSTART":
		e.start, err = parseStamp(l.value, l.param("TZID"))
		e.hasStart = true
	case "DTEND":
		e.end, err = parseStamp(l.value, l.param("TZID"))
		e.hasEnd = true
	case "DURATION":
		e.days, e.rest, err = parseDuration(l.value)
		e.hasDuration = true
	case "RRULE":
		var r rule
		if r, err = parseRule(l.value); err == nil && len(e.rules) < 20 {
			e.rules = append(e.rules, r)
		}
	case "RDATE":
		e.rdates, err = parseDates(e.rdates, l)
	case "EXDATE":
		var dates []span
		dates, err = parseDates(nil, l)
		for _, d := range dates {
			e.exdates = append(e.exdates, d.from)
		}
	case "RECURRENCE-ID":
		e.replaces, err = parseStamp(l.value, l.param("TZID"))
		e.isOverride, e.andFuture = true, strings.EqualFold(l.param("RANGE"), "THISANDFUTURE")
	case "STATUS":
		e.status = strings.ToUpper(l.value)
	case "TRANSP":
		e.transp = strings.ToUpper(l.value)
	case "X-MICROSOFT-CDO-BUSYSTATUS":
		e.outlook = strings.ToUpper(l.value)
	case "SEQUENCE":
		e.sequence = l.value
	case "ATTENDEE":
		if len(l.value) > 7 && strings.EqualFold(l.value[:7], "mailto:") && len(e.attendees) < 2000 {
			e.attendees = append(e.attendees, attendee{strings.ToLower(l.value[7:]), strings.ToUpper(l.param("PARTSTAT"))})
		}
	}
	return err
}

// parseDates reads a list of RDATE or EXDATE.
func parseDates(list []span, l line) ([]span, error) {
	if len(list)+strings.Count(l.value, ",") > maxDates {
		return list, tooMany("dates of an event", maxDates)
	}
	for one := range strings.SplitSeq(l.value, ",") {
		s, err := parseSpan(one, l.param("TZID"))
		if err != nil {
			return list, err
		}
		list = append(list, s)
	}
	return list, nil
}

// parseSpan reads a date, or a period of RFC 5545 §3.3.9.
func parseSpan(text, tzid string) (s span, err error) {
	begin, end, isPeriod := strings.Cut(text, "/")
	if s.from, err = parseStamp(begin, tzid); err != nil || !isPeriod {
		s.lasts = true
		return s, err
	}
	if strings.Contains(end, "P") {
		s.days, s.rest, err = parseDuration(end)
		s.hasRest = true
		return s, err
	}
	s.until, err = parseStamp(end, tzid)
	return s, err
}

func (p *parser) freeBusy(l line) error {
	slot, counts := map[string]presence.Slot{
		"": presence.SlotBusy, "BUSY": presence.SlotBusy, "BUSY-UNAVAILABLE": presence.SlotOutOfOffice, "BUSY-TENTATIVE": presence.SlotTentative,
	}[strings.ToUpper(l.param("FBTYPE"))], !strings.EqualFold(l.param("FBTYPE"), "FREE")
	if !counts {
		return nil
	}
	if slot == presence.SlotFree {
		slot = presence.SlotBusy // RFC 5545 §3.2.9: what is unknown is busy
	}
	for one := range strings.SplitSeq(l.value, ",") {
		s, err := parseSpan(one, "")
		if err != nil || s.lasts {
			p.cal.flaws++
			continue
		}
		s.slot = slot
		if p.cal.busy = append(p.cal.busy, s); len(p.cal.busy) > p.cal.limits.Events {
			return tooMany("busy times", p.cal.limits.Events)
		}
	}
	return nil
}

func (p *parser) observance(l line, o *observance) {
	var err error
	switch l.name {
	case "DTSTART":
		o.start, err = parseStamp(l.value, "")
	case "TZOFFSETFROM":
		o.before, err = parseOffset(l.value)
		o.offsets++
	case "TZOFFSETTO":
		o.after, err = parseOffset(l.value)
		o.offsets++
	case "RRULE":
		var r rule
		if r, err = parseRule(l.value); err == nil && len(o.rules) < 20 {
			o.rules = append(o.rules, r)
		}
	case "RDATE":
		var dates []span
		if dates, err = parseDates(nil, l); len(o.dates) < 500 {
			for _, d := range dates {
				o.dates = append(o.dates, d.from)
			}
		}
	}
	if err != nil {
		*o = observance{} // a zone is better found by its name than half understood
	}
}

// sameSeries tells events apart by UID.
func sameSeries(a, b event) int { return strings.Compare(a.uid, b.uid) }

// ordered has each series beside what replaces its occurrences.
func (c *Calendar) ordered() []event {
	list := slices.Clone(c.events)
	slices.SortStableFunc(list, sameSeries)
	return list
}
