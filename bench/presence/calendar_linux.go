package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/deskline/deskline/bench/site"
)

const (
	icalTime      = "20060102T150405Z"
	calendarHead  = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:soak\r\n"
	calendarTail  = "END:VCALENDAR\r\n"
	emptyCalendar = calendarHead + calendarTail
)

// meet has meetings in a person's calendar, one after the other: some are free or
// tentative, some are cancelled while they last.
func (a *actor) meet(ctx context.Context) {
	for ; ctx.Err() == nil; site.Pause(ctx, step) {
		if a.quiet.Load() || !a.chance(a.pace()) {
			continue
		}
		kind := meetings[a.random.IntN(len(meetings))]
		from := time.Now().UTC().Truncate(time.Second).Add(calendarTime + time.Duration(1+a.random.IntN(3))*time.Second)
		until := from.Add(time.Duration(3+a.random.IntN(6)) * time.Second)
		if err := a.writeCalendar(kind.properties, from, until); err != nil {
			a.book.note(a.i, "%v", err)
			return
		}
		a.book.note(a.i, "%s from %s until %s is in the calendar", kind.name, from.Format(clockLayout), until.Format(clockLayout))
		if kind.value != slotFree {
			a.book.plan(a.i, planned{fact: slot, value: kind.value, cause: meets, at: from}, planned{at: from.Add(step)},
				planned{fact: slot, cause: met, at: until}, planned{at: until.Add(step)})
		}
		cancelled := kind.value == slotBusy && a.random.IntN(4) == 0
		end := until
		if cancelled {
			end = from.Add(until.Sub(from) / 2)
		}
		site.Pause(ctx, time.Until(end))
		if cancelled && ctx.Err() == nil {
			a.cancel()
		}
		site.Pause(ctx, time.Until(until.Add(calendarTime)))
	}
}

// cancel takes the meeting out of the calendar; nodes look at it every second.
func (a *actor) cancel() {
	a.book.begin(a.i, slot, slotFree, met, "the calendar")
	if err := a.writeCalendar("", time.Time{}, time.Time{}); err != nil {
		a.book.note(a.i, "%v", err)
		return
	}
	a.book.accept(a.i, slot, slotFree)
	a.book.unsure(a.i, slot, 0, time.Now().Add(calendarTime))
}

var meetings = []struct {
	name, properties string
	value            uint8
}{
	{"a meeting", "", slotBusy},
	{"a meeting", "TRANSP:OPAQUE\r\n", slotBusy},
	{"a holiday", "X-MICROSOFT-CDO-BUSYSTATUS:OOF\r\n", slotOut},
	{"a tentative meeting", "STATUS:TENTATIVE\r\n", slotFree},
	{"a free time", "TRANSP:TRANSPARENT\r\n", slotFree},
}

// writeCalendar puts a file in place of the one there is, with one event if it has a time.
func (a *actor) writeCalendar(properties string, from, until time.Time) error {
	if from.IsZero() {
		return writeWhole(a.calendarFile(a.i), emptyCalendar)
	}
	return writeWhole(a.calendarFile(a.i), fmt.Sprintf(calendarHead+"BEGIN:VEVENT\r\nUID:%d\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:%s\r\nDTEND:%s\r\nSUMMARY:Secret\r\n%sEND:VEVENT\r\n"+calendarTail,
		time.Now().UnixNano(), from.Format(icalTime), until.Format(icalTime), properties))
}

// writeWhole has readers see the file of before or all of the new one.
func writeWhole(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write calendar: %w", err)
	}
	return nil
}
