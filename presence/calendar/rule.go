package calendar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// frequency is FREQ, in the order of RFC 5545 from the longest.
type frequency uint8

const (
	yearly frequency = iota
	monthly
	weekly
	daily
	hourly
	minutely
	secondly
)

var frequencies = []string{"YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"}

var weekdays = []string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}

// nth is a weekday, and which of them; 0 is each.
type nth struct {
	n   int
	day time.Weekday
}

// rule is an RRULE, RFC 5545 §3.3.10.
type rule struct {
	freq                           frequency
	interval, count                int
	until                          stamp
	hasUntil                       bool
	months, weeks, days, monthDays []int // BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY
	weekdays                       []nth
	hours, minutes, seconds        []int
	positions                      []int
	weekStart                      time.Weekday
}

// parseRule reads an RRULE. One with what it does not know is an error, since
// it would be another one without.
func parseRule(text string) (rule, error) {
	r := rule{interval: 1, weekStart: time.Monday, freq: 255}
	for part := range strings.SplitSeq(strings.ToUpper(strings.TrimSuffix(text, ";")), ";") {
		name, value, _ := strings.Cut(part, "=")
		if err := r.set(name, value); err != nil {
			return rule{}, fmt.Errorf("RRULE %s: %w", name, err)
		}
	}
	if r.freq == 255 {
		return rule{}, fmt.Errorf("RRULE: no FREQ")
	}
	return r, nil
}

func (r *rule) set(name, value string) (err error) {
	switch name {
	case "FREQ":
		at := slices.Index(frequencies, value)
		if at < 0 {
			return fmt.Errorf("unknown")
		}
		r.freq = frequency(at)
	case "INTERVAL":
		r.interval, err = number(value, 1, 1_000_000)
	case "COUNT":
		r.count, err = number(value, 1, 1<<40)
	case "UNTIL":
		r.until, err = parseStamp(value, "")
		r.hasUntil = true
	case "WKST":
		at := slices.Index(weekdays, value)
		if at < 0 {
			return fmt.Errorf("no weekday")
		}
		r.weekStart = time.Weekday(at)
	case "BYDAY":
		return r.setWeekdays(value)
	case "BYMONTH":
		r.months, err = numbers(value, 1, 12, false)
	case "BYWEEKNO":
		r.weeks, err = numbers(value, 1, 53, true)
	case "BYYEARDAY":
		r.days, err = numbers(value, 1, 366, true)
	case "BYMONTHDAY":
		r.monthDays, err = numbers(value, 1, 31, true)
	case "BYHOUR":
		r.hours, err = numbers(value, 0, 23, false)
	case "BYMINUTE":
		r.minutes, err = numbers(value, 0, 59, false)
	case "BYSECOND":
		r.seconds, err = numbers(value, 0, 59, false)
	case "BYSETPOS":
		r.positions, err = numbers(value, 1, 366, true)
	default:
		return fmt.Errorf("unknown")
	}
	return err
}

func (r *rule) setWeekdays(value string) error {
	for one := range strings.SplitSeq(value, ",") {
		if len(one) < 2 || len(r.weekdays) >= 400 {
			return fmt.Errorf("no weekday")
		}
		at := slices.Index(weekdays, one[len(one)-2:])
		if at < 0 {
			return fmt.Errorf("no weekday")
		}
		n := 0
		if digits := one[:len(one)-2]; digits != "" {
			list, err := numbers(digits, 1, 53, true)
			if err != nil {
				return err
			}
			n = list[0]
		}
		r.weekdays = append(r.weekdays, nth{n: n, day: time.Weekday(at)})
	}
	return nil
}

func number(text string, low, high int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("not between %d and %d", low, high)
	}
	return n, nil
}

// numbers reads a list, sorted and each once.
func numbers(text string, low, high int, negative bool) ([]int, error) {
	var list []int
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(one)
		size := n
		if negative && n < 0 {
			size = -n
		}
		if err != nil || size < low || size > high {
			return nil, fmt.Errorf("not between %d and %d", low, high)
		}
		list = append(list, n)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// completed fills in what a rule takes from DTSTART, RFC 5545 §3.3.10.
func (r rule) completed(start time.Time) rule {
	if r.weeks == nil && r.days == nil && r.monthDays == nil && r.weekdays == nil {
		switch r.freq {
		case yearly:
			if r.months == nil {
				r.months = []int{int(start.Month())}
			}
			r.monthDays = []int{start.Day()}
		case monthly:
			r.monthDays = []int{start.Day()}
		case weekly:
			r.weekdays = []nth{{day: start.Weekday()}}
		default: // each day
		}
	}
	if r.hours == nil && r.freq < hourly {
		r.hours = []int{start.Hour()}
	}
	if r.minutes == nil && r.freq < minutely {
		r.minutes = []int{start.Minute()}
	}
	if r.seconds == nil && r.freq < secondly {
		r.seconds = []int{start.Second()}
	}
	return r
}

// plain reports that a rule only has steps of the same length.
func (r rule) plain() bool {
	return r.freq >= weekly && r.months == nil && r.weeks == nil && r.days == nil && r.monthDays == nil && r.weekdays == nil &&
		r.hours == nil && r.minutes == nil && r.seconds == nil && r.positions == nil
}

// matchesDay reports whether a day is one of the rule.
func (r rule) matchesDay(t time.Time) bool {
	if r.months != nil && !slices.Contains(r.months, int(t.Month())) {
		return false
	}
	if r.monthDays != nil && !either(r.monthDays, t.Day(), daysIn(t.Year(), t.Month())) {
		return false
	}
	if r.days != nil && !either(r.days, t.YearDay(), yearLength(t.Year())) {
		return false
	}
	if r.weeks != nil {
		week, of := r.week(t)
		if !either(r.weeks, week, of) {
			return false
		}
	}
	return r.weekdays == nil || slices.ContainsFunc(r.weekdays, func(w nth) bool { return r.matchesWeekday(w, t) })
}

func (r rule) matchesWeekday(w nth, t time.Time) bool {
	if w.day != t.Weekday() {
		return false
	}
	if w.n == 0 || r.freq > monthly || r.weeks != nil {
		return true
	}
	day, of := t.Day(), daysIn(t.Year(), t.Month())
	if r.freq == yearly && r.months == nil {
		day, of = t.YearDay(), yearLength(t.Year())
	}
	if w.n > 0 {
		return (day-1)/7+1 == w.n
	}
	return (of-day)/7+1 == -w.n
}

// week returns the number of a day's week, and how many its year has: the first has
// four days of the year at least.
func (r rule) week(t time.Time) (week, of int) {
	// The year a week belongs to is that of its fourth day.
	fourth := t.AddDate(0, 0, 3-int(t.Weekday()-r.weekStart+7)%7)
	week = (fourth.YearDay()-1)/7 + 1
	last := time.Date(fourth.Year(), 12, 31, 0, 0, 0, 0, time.UTC)
	lastFourth := last.AddDate(0, 0, 3-int(last.Weekday()-r.weekStart+7)%7)
	if lastFourth.Year() != fourth.Year() {
		lastFourth = lastFourth.AddDate(0, 0, -7)
	}
	return week, (lastFourth.YearDay()-1)/7 + 1
}

// either reports whether a list has a number, counted from the front or the end.
func either(list []int, n, of int) bool {
	return slices.Contains(list, n) || slices.Contains(list, n-of-1)
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func yearLength(year int) int { return time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).YearDay() }
