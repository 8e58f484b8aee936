// Package caldav asks calendar servers (CalDAV, RFC 4791) when users are busy. A
// calendar that has not changed, which its ctag or sync token tells, costs one small
// request. Otherwise the server is asked for the busy times alone, if it can, and
// else for the events of the window, which are expanded here. It is a source for a
// calendar.Poller, as package ics.
package caldav

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
)

// Config is where the calendars are: its URL leads to one calendar of a user.
type Config struct {
	calendar.ClientConfig
	Limits calendar.Limits
	Zone   *time.Location // of floating times; nil = what the calendar says, or UTC
	Query  string         // "events", "freebusy", or "" = freebusy where it is offered
}

// Source fetches calendars.
type Source struct {
	c      Config
	client *calendar.Client
}

// New makes a source; nothing is asked yet.
func New(c Config) (*Source, error) {
	if c.Limits.Bytes == 0 {
		c.Limits.Bytes = 16 << 20
	}
	client, err := calendar.NewClient(c.ClientConfig)
	return &Source{c: c, client: client}, err
}

const look = `<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:" xmlns:S="http://calendarserver.org/ns/"><prop><S:getctag/><sync-token/><supported-report-set/></prop></propfind>`

const freeBusy = `<?xml version="1.0" encoding="utf-8"?>
<C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:time-range start="%s" end="%s"/></C:free-busy-query>`

// The properties of events are named, so that a server that heeds it sends neither
// titles nor places (RFC 4791 §9.6.1). Series are expanded here all the same: a
// server's own expansion loses what zone it was made in.
const events = `<?xml version="1.0" encoding="utf-8"?>
<C:calendar-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><prop><C:calendar-data>` +
	`<C:comp name="VCALENDAR"><C:prop name="VERSION"/><C:prop name="X-WR-TIMEZONE"/><C:comp name="VTIMEZONE"><C:allprop/><C:allcomp/></C:comp><C:comp name="VEVENT">` +
	`<C:prop name="UID"/><C:prop name="DTSTART"/><C:prop name="DTEND"/><C:prop name="DURATION"/><C:prop name="RRULE"/><C:prop name="RDATE"/>` +
	`<C:prop name="EXDATE"/><C:prop name="RECURRENCE-ID"/><C:prop name="STATUS"/><C:prop name="TRANSP"/><C:prop name="SEQUENCE"/>` +
	`<C:prop name="X-MICROSOFT-CDO-BUSYSTATUS"/><C:prop name="ATTENDEE"/></C:comp></C:comp></C:calendar-data></prop>` +
	`<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`

// multistatus is what of RFC 4918 §14.16 matters.
type multistatus struct {
	Responses []struct {
		Props []struct {
			Status string `xml:"status"`
			Prop   struct {
				CTag    string `xml:"http://calendarserver.org/ns/ getctag"`
				Sync    string `xml:"DAV: sync-token"`
				Data    string `xml:"urn:ietf:params:xml:ns:caldav calendar-data"`
				Reports []struct {
					FreeBusy *struct{} `xml:"urn:ietf:params:xml:ns:caldav free-busy-query"`
				} `xml:"supported-report-set>supported-report>report"`
			} `xml:"prop"`
		} `xml:"propstat"`
	} `xml:"response"`
}

// Fetch is for calendar.Config.
func (s *Source) Fetch(ctx context.Context, ask calendar.Ask) (calendar.Answer, error) {
	found, err := s.multi(ctx, ask, "PROPFIND", look)
	if err != nil {
		return calendar.Answer{}, err
	}
	var ctag, sync string
	offered := false
	for _, r := range found.Responses {
		for _, p := range r.Props {
			if !strings.Contains(p.Status, " 200") {
				continue
			}
			ctag, sync = p.Prop.CTag, p.Prop.Sync
			for _, report := range p.Prop.Reports {
				offered = offered || report.FreeBusy != nil
			}
		}
	}
	tag := ctag
	if tag == "" {
		tag = sync
	}
	if tag != "" && tag == ask.Tag {
		return calendar.Answer{Same: true}, nil
	}
	from, until := ask.From.UTC().Format("20060102T150405Z"), ask.Until.UTC().Format("20060102T150405Z")
	if s.c.Query == "freebusy" || s.c.Query == "" && offered {
		resp, err := s.client.Do(ctx, ask.User, "REPORT", header("1"), fmt.Sprintf(freeBusy, from, until), s.c.Limits.Bytes)
		if err != nil {
			return calendar.Answer{}, err
		}
		defer resp.Body.Close()
		return s.read([]io.Reader{resp.Body}, tag, ask)
	}
	found, err = s.multi(ctx, ask, "REPORT", fmt.Sprintf(events, from, until))
	if err != nil {
		return calendar.Answer{}, err
	}
	var all []io.Reader
	for _, r := range found.Responses {
		for _, p := range r.Props {
			if p.Prop.Data != "" {
				all = append(all, strings.NewReader(p.Prop.Data))
			}
		}
	}
	if len(all) > 20_000 {
		return calendar.Answer{}, &calendar.Failure{Err: calendar.ErrTooBig, Own: true}
	}
	return s.read(all, tag, ask)
}

func header(depth string) map[string]string {
	return map[string]string{"Content-Type": "application/xml; charset=utf-8", "Depth": depth}
}

func (s *Source) multi(ctx context.Context, ask calendar.Ask, method, body string) (multistatus, error) {
	depth := "1"
	if method == "PROPFIND" {
		depth = "0"
	}
	resp, err := s.client.Do(ctx, ask.User, method, header(depth), body, s.c.Limits.Bytes)
	if err != nil {
		return multistatus{}, err
	}
	defer resp.Body.Close()
	return decode(resp.Body)
}

func decode(r io.Reader) (found multistatus, err error) {
	if err := xml.NewDecoder(r).Decode(&found); err != nil {
		var own *calendar.Failure
		if syntax := (*xml.SyntaxError)(nil); errors.As(err, &syntax) || errors.As(err, &own) {
			return found, &calendar.Failure{Err: fmt.Errorf("read the server's answer: %w", err), Own: true}
		}
		return found, fmt.Errorf("read the server's answer: %w", err)
	}
	return found, nil
}

// read takes the periods of all texts together, one an event as a rule.
func (s *Source) read(texts []io.Reader, tag string, ask calendar.Ask) (calendar.Answer, error) {
	answer := calendar.Answer{Tag: tag}
	limits := s.c.Limits
	if len(texts) > 50 && limits.Work == 0 {
		limits.Work = 50_000_000 / len(texts) // together as much as 50 of the usual
	}
	var list []presence.Period
	for _, r := range texts {
		cal, err := calendar.Parse(r, limits)
		switch {
		case err != nil && len(texts) == 1:
			return calendar.Answer{}, &calendar.Failure{Err: fmt.Errorf("read a calendar: %w", err), Own: true}
		case err != nil:
			answer.Flaws++
			continue
		}
		periods, cut := cal.Periods(ask.From, ask.Until, calendar.Options{Zone: s.c.Zone, Self: calendar.Addresses(ask.User.Bare().String())})
		list = append(list, periods...)
		answer.Cut, answer.Flaws = answer.Cut || cut, answer.Flaws+cal.Flaws()
	}
	answer.Periods = calendar.Merge(list)
	return answer, nil
}
