package calendar

import "time"

// walk goes over the occurrences of a rule in wall time.
type walk struct {
	rule
	start       time.Time // DTSTART
	from, until time.Time // of what is asked for, both included
	work        *int      // steps that are left, of all rules together
	emit        func(time.Time) bool
	seen        int // occurrences since DTSTART, where COUNT matters
}

// occurrences emits those of a rule between two times, in order, until emit says
// no. It reports whether the work was enough.
func (r rule) occurrences(start, from, until time.Time, work *int, emit func(time.Time) bool) bool {
	if until.Before(start) {
		return true
	}
	w := walk{rule: r.completed(start), start: start, from: from, until: until, work: work, emit: emit}
	if r.plain() {
		return w.steps(r)
	}
	period := w.first()
	for w.spend() {
		begin, end := w.bounds(period)
		if begin.After(until) || begin.Year() > 2260 {
			return true
		}
		if !w.period(begin, end) {
			return *w.work > 0
		}
		period += w.interval
	}
	return false
}

// steps is for rules whose occurrences are all as far from each other, so that
// their number needs no counting.
func (w *walk) steps(r rule) bool {
	// In seconds, for a Duration ends at 292 years and some begin in 1601.
	step := r.interval * map[frequency]int{weekly: 7 * 86400, daily: 86400, hourly: 3600, minutely: 60, secondly: 1}[r.freq]
	start := int(w.start.Unix())
	at := max(0, (int(w.from.Unix())-start+step-1)/step)
	for ; r.count == 0 || at < r.count; at++ {
		t := time.Unix(int64(start+at*step), 0).UTC()
		if t.After(w.until) {
			return true
		}
		if !w.spend() {
			return false
		}
		if !w.emit(t) {
			return true
		}
	}
	return true
}

func (w *walk) spend() bool {
	*w.work--
	return *w.work > 0
}

// first is the period to begin with: periods are numbered from that of DTSTART.
func (w *walk) first() int {
	if w.count > 0 || !w.from.After(w.start) {
		return 0
	}
	n := 0
	gap := int(w.from.Unix() - w.start.Unix())
	switch w.freq {
	case yearly:
		n = w.from.Year() - w.start.Year()
	case monthly:
		n = (w.from.Year()-w.start.Year())*12 + int(w.from.Month()) - int(w.start.Month())
	case weekly:
		n = gap/(7*86400) - 1
	case daily:
		n = gap/86400 - 1
	case hourly:
		n = gap/3600 - 1
	case minutely:
		n = gap/60 - 1
	case secondly:
		n = gap - 1
	}
	return max(0, n-n%w.interval)
}

// bounds are the begin of a period, and of the next.
func (w *walk) bounds(n int) (begin, end time.Time) {
	y, m, d := w.start.Date()
	switch w.freq {
	case yearly:
		return time.Date(y+n, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(y+n+1, 1, 1, 0, 0, 0, 0, time.UTC)
	case monthly:
		return time.Date(y, m+time.Month(n), 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+time.Month(n)+1, 1, 0, 0, 0, 0, time.UTC)
	case weekly:
		d -= int(w.start.Weekday()-w.weekStart+7) % 7
		return time.Date(y, m, d+7*n, 0, 0, 0, 0, time.UTC), time.Date(y, m, d+7*n+7, 0, 0, 0, 0, time.UTC)
	case daily:
		return time.Date(y, m, d+n, 0, 0, 0, 0, time.UTC), time.Date(y, m, d+n+1, 0, 0, 0, 0, time.UTC)
	case hourly:
		return time.Date(y, m, d, w.start.Hour()+n, 0, 0, 0, time.UTC), time.Date(y, m, d, w.start.Hour()+n+1, 0, 0, 0, time.UTC)
	case minutely:
		begin = time.Unix(w.start.Truncate(time.Minute).Unix()+int64(n)*60, 0).UTC()
		return begin, begin.Add(time.Minute)
	default:
		begin = time.Unix(w.start.Unix()+int64(n), 0).UTC()
		return begin, begin.Add(time.Second)
	}
}

// period emits the occurrences of one. It reports whether to go on.
func (w *walk) period(begin, end time.Time) bool {
	if w.positions != nil {
		return w.positioned(begin, end)
	}
	for day := begin; day.Before(end); {
		next := time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, time.UTC)
		if w.count == 0 && !next.After(w.from) { // nobody asks for it
			if day = next; begin.Before(w.from) && w.freq <= monthly {
				day = w.from.Truncate(24 * time.Hour)
			}
			continue
		}
		if !w.spend() || day.After(w.until) {
			return false
		}
		if w.matchesDay(day) && !w.times(day, begin, end, w.take) {
			return false
		}
		day = next
	}
	return true
}

// positioned is for BYSETPOS, which needs all of a period.
func (w *walk) positioned(begin, end time.Time) bool {
	var set []time.Time
	for day := begin; day.Before(end); day = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, time.UTC) {
		if !w.spend() {
			return false
		}
		all := !w.matchesDay(day) || w.times(day, begin, end, func(t time.Time) bool {
			set = append(set, t)
			return true
		})
		if !all {
			return false
		}
	}
	for i, t := range set {
		if either(w.positions, i+1, len(set)) && !w.take(t) {
			return false
		}
	}
	return true
}

// times goes over those of a day that are in the period.
func (w *walk) times(day, begin, end time.Time, take func(time.Time) bool) bool {
	y, m, d := day.Date()
	for _, hour := range orOnly(w.hours, begin.Hour()) {
		for _, minute := range orOnly(w.minutes, begin.Minute()) {
			for _, second := range orOnly(w.seconds, begin.Second()) {
				t := time.Date(y, m, d, hour, minute, second, 0, time.UTC)
				if !w.spend() {
					return false
				}
				if !t.Before(begin) && t.Before(end) && !take(t) {
					return false
				}
			}
		}
	}
	return true
}

func orOnly(list []int, n int) []int {
	if list == nil {
		return []int{n}
	}
	return list
}

// take counts an occurrence, and emits it if it is asked for.
func (w *walk) take(t time.Time) bool {
	if t.Before(w.start) {
		return true
	}
	if t.After(w.until) {
		return false
	}
	if w.seen++; w.count > 0 && w.seen > w.count {
		return false
	}
	return t.Before(w.from) || w.emit(t)
}
