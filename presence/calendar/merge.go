package calendar

import (
	"slices"
	"time"

	"github.com/deskline/deskline/presence"
)

// Merge makes periods of any order and overlap into ones in order that do not
// overlap: the heaviest counts where several are, and those of the same weight
// that touch become one.
func Merge(list []presence.Period) []presence.Period {
	type edge struct {
		at   time.Time
		slot presence.Slot
		n    int
	}
	edges := make([]edge, 0, 2*len(list))
	for _, p := range list {
		if p.Slot > presence.SlotBusy || p.Slot == presence.SlotFree || !p.Until.After(p.From) {
			continue
		}
		edges = append(edges, edge{p.From, p.Slot, 1}, edge{p.Until, p.Slot, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	var out []presence.Period
	var open [presence.SlotBusy + 1]int
	current := presence.Period{}
	for i, e := range edges {
		open[e.slot] += e.n
		if i+1 < len(edges) && edges[i+1].at.Equal(e.at) {
			continue
		}
		heaviest := presence.SlotFree
		for slot, n := range open {
			if n > 0 {
				heaviest = presence.Slot(slot)
			}
		}
		if heaviest == current.Slot {
			continue
		}
		if current.Slot != presence.SlotFree {
			current.Until = e.at
			out = append(out, current)
		}
		current = presence.Period{From: e.at, Slot: heaviest}
	}
	return out
}
