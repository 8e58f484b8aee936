package calendar_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
)

// Whatever a calendar says, its periods are in order, do not overlap and reach
// into the window.
func FuzzCalendar(f *testing.F) {
	f.Add(wrap(berlinOfFile + event("DTSTART;TZID=Our own:20260302T090000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=MO,-1TU;COUNT=9\nEXDATE:20260303T090000Z")))
	f.Add(wrap(event("DTSTART;VALUE=DATE:20260101\nRRULE:FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO\nRDATE;VALUE=PERIOD:20260302T150000Z/PT3H") + event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260302\nDTSTART:20260302T090000Z")))
	f.Add(wrap("BEGIN:VFREEBUSY\nFREEBUSY;FBTYPE=BUSY:20260302T090000Z/20260302T100000Z,20260302T120000Z/PT30M\nEND:VFREEBUSY"))
	f.Add(wrap(event("DTSTART;TZID=\"Pacific Standard Time\":20260302T090000\nDTEND:20260305T090000Z\nRRULE:FREQ=SECONDLY;COUNT=1000000000")))
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	until := from.Add(48 * time.Hour)
	f.Fuzz(func(t *testing.T, text string) {
		cal, err := calendar.Parse(strings.NewReader(text), calendar.Limits{Events: 100, Work: 20_000})
		if err != nil {
			return
		}
		periods, _ := cal.Periods(from, until, calendar.Options{})
		last := time.Time{}
		for i, p := range periods {
			if !p.Until.After(p.From) || p.From.Before(last) || p.Slot == presence.SlotFree || !p.Until.After(from) && i > 0 {
				t.Fatalf("%d: %+v after %s", i, p, last)
			}
			last = p.Until
		}
	})
}
