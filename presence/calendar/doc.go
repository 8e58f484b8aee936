// Package calendar turns calendars into the times at which somebody is busy. It
// has what the sources below it share: reading iCalendar (RFC 5545), recurrence,
// time zones, and polling many calendars gently.
//
// What an event is about is never kept: of the text only the properties that say
// when and how busy are looked at, all others are skipped while they are read.
//
// The readers there are for Go would panic, run for minutes or keep all text
// when the input is hostile: all work here is bounded before it begins.
//
//	cal, err := calendar.Parse(body, calendar.Limits{})
//	periods, cut := cal.Periods(from, until, calendar.Options{Zone: time.Local})
package calendar
