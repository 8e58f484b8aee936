package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// stamp is a DATE or DATE-TIME: the wall clock, written as if it were UTC, and
// the zone it is in.
type stamp struct {
	wall time.Time
	zone string // TZID; "" is floating
	utc  bool
	date bool
}

// parseStamp reads a value of RFC 5545 §3.3.4 and §3.3.5.
func parseStamp(value, tzid string) (stamp, error) {
	if len(value) == len("20060102") {
		t, err := time.Parse("20060102", value)
		if err != nil || !usual(t) {
			return stamp{}, fmt.Errorf("no date")
		}
		return stamp{wall: t, zone: tzid, date: true}, nil
	}
	local, utc := strings.CutSuffix(value, "Z")
	// A leap second is the one before it.
	if strings.HasSuffix(local, "60") && len(local) == len("20060102T150405") {
		local = local[:13] + "59"
	}
	t, err := time.Parse("20060102T150405", local)
	if err != nil || !usual(t) {
		return stamp{}, fmt.Errorf("no date and time")
	}
	if utc {
		tzid = ""
	}
	return stamp{wall: t, zone: tzid, utc: utc}, nil
}

// usual keeps years where there is a calendar: Outlook's zones begin in 1601, and
// birthdays without a year in 1604.
func usual(t time.Time) bool { return t.Year() >= 1600 && t.Year() <= 2250 }

// parseDuration reads RFC 5545 §3.3.6. Days are kept apart, since one may have
// 23 or 25 hours.
func parseDuration(value string) (days int, rest time.Duration, err error) {
	bad := fmt.Errorf("no duration")
	sign := 1
	if strings.HasPrefix(value, "-") {
		sign = -1
	}
	text, ok := strings.CutPrefix(strings.TrimLeft(value, "+-"), "P")
	if !ok || text == "" {
		return 0, 0, bad
	}
	inTime := false
	for text != "" {
		if text[0] == 'T' && !inTime {
			inTime, text = true, text[1:]
			continue
		}
		at := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if at < 1 || at > 9 {
			return 0, 0, bad
		}
		n, err := strconv.Atoi(text[:at])
		if err != nil {
			return 0, 0, bad
		}
		switch unit := text[at]; {
		case unit == 'W' && !inTime:
			days += 7 * n
		case unit == 'D' && !inTime:
			days += n
		case unit == 'H' && inTime:
			rest += time.Duration(n) * time.Hour
		case unit == 'M' && inTime:
			rest += time.Duration(n) * time.Minute
		case unit == 'S' && inTime:
			rest += time.Duration(n) * time.Second
		default:
			return 0, 0, bad
		}
		text = text[at+1:]
	}
	if days > 36500 || rest > 36500*24*time.Hour || rest < 0 {
		return 0, 0, bad
	}
	return sign * days, time.Duration(sign) * rest, nil
}

// parseOffset reads +hhmm or +hhmmss, RFC 5545 §3.3.14.
func parseOffset(value string) (time.Duration, error) {
	if len(value) != 5 && len(value) != 7 || value[0] != '+' && value[0] != '-' {
		return 0, fmt.Errorf("no offset")
	}
	n, err := strconv.ParseUint((value[1:] + "00")[:6], 10, 32)
	if err != nil || n/10000 > 23 || n/100%100 > 59 || n%100 > 59 {
		return 0, fmt.Errorf("no offset")
	}
	d := time.Duration(n/10000)*time.Hour + time.Duration(n/100%100)*time.Minute + time.Duration(n%100)*time.Second
	if value[0] == '-' {
		d = -d
	}
	return d, nil
}
