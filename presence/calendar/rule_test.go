package calendar

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teambition/rrule-go"
)

// Rules made at random give what rrule-go gives, which is too slow and unbounded to
// be asked for calendars of others, but good as a second opinion.
// Hours and minutes are left out: the other may go on for minutes where none match.
func TestRulesBesideAnother(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		start := time.Date(2020+rnd.IntN(4), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(31), rnd.IntN(24), rnd.IntN(60), 0, 0, time.UTC)
		text := randomRule(rnd, start)
		r, err := parseRule(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		option, err := rrule.StrToROption(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		option.Dtstart = start
		from := start.AddDate(rnd.IntN(4), 0, rnd.IntN(100))
		until := from.AddDate(0, 0, 1+rnd.IntN(60))
		if option.Until.IsZero() || option.Until.After(until) {
			option.Until = until // so that it ends
		}
		other, err := rrule.NewRRule(*option)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := other.Between(from, until, true)
		end := until
		if r.hasUntil {
			end = earlier(end, r.until.wall)
		}
		var got []time.Time
		work := 10_000_000
		r.occurrences(start, from, end, &work, func(at time.Time) bool {
			got = append(got, at)
			return true
		})
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s from %s, between %s and %s:\ngot  %v\nwant %v", text, start, from, until, got, want)
		}
	}
}

func randomRule(rnd *rand.Rand, start time.Time) string {
	freq := []string{"YEARLY", "MONTHLY", "MONTHLY", "WEEKLY", "WEEKLY", "DAILY", "DAILY"}[rnd.IntN(7)]
	parts := []string{"FREQ=" + freq}
	maybe := func(chance int, name string, value func() string) {
		if rnd.IntN(chance) == 0 {
			parts = append(parts, name+"="+value())
		}
	}
	some := func(low, high int, negative bool) func() string {
		return func() string {
			var list []string
			for range 1 + rnd.IntN(3) {
				n := low + rnd.IntN(high-low+1)
				if negative && rnd.IntN(2) == 0 {
					n = -n
				}
				if text := fmt.Sprint(n); !slices.Contains(list, text) { // which the other takes for two
					list = append(list, text)
				}
			}
			return strings.Join(list, ",")
		}
	}
	maybe(2, "INTERVAL", func() string { return fmt.Sprint(1 + rnd.IntN(4)) })
	switch rnd.IntN(3) {
	case 0:
		parts = append(parts, fmt.Sprintf("COUNT=%d", 1+rnd.IntN(60)))
	case 1:
		parts = append(parts, "UNTIL="+start.AddDate(0, rnd.IntN(48), 0).Format("20060102T150405Z"))
	}
	maybe(4, "BYMONTH", some(1, 12, false))
	days := true
	if freq == "YEARLY" || freq == "MONTHLY" || freq == "DAILY" {
		maybe(3, "BYMONTHDAY", some(1, 31, true))
	}
	if freq == "YEARLY" && rnd.IntN(4) == 0 {
		parts = append(parts, "BYYEARDAY="+some(1, 366, true)())
	}
	if freq == "YEARLY" && rnd.IntN(4) == 0 {
		parts = append(parts, "BYWEEKNO="+some(2, 50, false)())
		days = false
	}
	maybe(2, "BYDAY", func() string {
		var list []string
		// Not mixed: the other takes WE,3TH for days that are both.
		numbered := days && (freq == "YEARLY" || freq == "MONTHLY") && rnd.IntN(2) == 0
		for range 1 + rnd.IntN(3) {
			day := weekdays[rnd.IntN(7)]
			if numbered {
				day = fmt.Sprint([]int{1, 2, 3, 4, 5, -1, -2}[rnd.IntN(7)]) + day
			}
			if !slices.Contains(list, day) {
				list = append(list, day)
			}
		}
		return strings.Join(list, ",")
	})
	maybe(4, "BYHOUR", some(0, 23, false))
	maybe(6, "BYMINUTE", some(0, 59, false))
	maybe(4, "WKST", func() string { return weekdays[rnd.IntN(7)] })
	if len(parts) > 3 && freq != "HOURLY" && freq != "MINUTELY" {
		maybe(5, "BYSETPOS", some(1, 4, true))
	}
	return strings.Join(parts, ";")
}
