package calendar

import (
	"slices"
	"time"

	"github.com/deskline/deskline/presence"
)

// Digits reads the merged view of Exchange and Graph: a digit for each stretch of time.
// 4 is no data or working elsewhere, as others that are not known it makes nobody busy.
func Digits(view string, from time.Time, stretch time.Duration) []presence.Period {
	slots := map[byte]presence.Slot{'1': presence.SlotTentative, '2': presence.SlotBusy, '3': presence.SlotOutOfOffice}
	var list []presence.Period
	for i := range min(len(view), 100_000) {
		if slot, ok := slots[view[i]]; ok {
			begin := from.Add(time.Duration(i) * stretch)
			list = append(list, presence.Period{From: begin, Until: begin.Add(stretch), Slot: slot})
		}
	}
	return list
}

// Within makes of periods that a server told those that Periods would: merged, none
// outside of the window, and no more than one calendar may have.
func Within(list []presence.Period, from, until time.Time) (merged []presence.Period, cut bool) {
	merged = slices.DeleteFunc(Merge(list), func(p presence.Period) bool { return !p.Until.After(from) || !p.From.Before(until) })
	if len(merged) > maxPeriods {
		return merged[:maxPeriods], true
	}
	return merged, false
}
