package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// row is a line of the ledger: one scenario.
type row struct {
	Name       string
	Events     int // such as kills
	Changes    int // that sources, people and clients made, and the server accepted
	Told       int // presences that contacts got
	Stuck      int
	Wrong      int
	Overridden int // of those that were wrong, of somebody who does not want to be disturbed
	Doubled    int // that showed nothing new
	Logins     int // sessions that ended by themselves
	Err        error

	calm, rough map[string][]time.Duration // from a change until it was shown, by what changed
}

func newRow(name string) *row {
	return &row{Name: name, calm: map[string][]time.Duration{}, rough: map[string][]time.Duration{}}
}

func (r *row) took(cause string, rough bool, d time.Duration) {
	if rough {
		r.rough[cause] = append(r.rough[cause], d)
	} else {
		r.calm[cause] = append(r.calm[cause], d)
	}
}

// Clean reports that nothing was violated.
func (r *row) Clean() bool { return r.Err == nil && r.Stuck == 0 && r.Wrong == 0 && r.Told > 0 }

// quantile returns one of durations, which it sorts.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

// printRows prints the ledger as tables in Markdown.
func printRows(w io.Writer, rows []*row) {
	fmt.Fprintln(w, "| scenario | times | changes | presences shown | stuck | wrong | dnd overridden | shown twice | new logins |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	all := newRow("all")
	for _, r := range rows {
		printRow(w, r)
		all.Events, all.Changes, all.Told = all.Events+r.Events, all.Changes+r.Changes, all.Told+r.Told
		all.Stuck, all.Wrong, all.Overridden = all.Stuck+r.Stuck, all.Wrong+r.Wrong, all.Overridden+r.Overridden
		all.Doubled, all.Logins = all.Doubled+r.Doubled, all.Logins+r.Logins
		for cause, list := range r.calm {
			all.calm[cause] = append(all.calm[cause], list...)
		}
		for cause, list := range r.rough {
			all.rough[cause] = append(all.rough[cause], list...)
		}
	}
	printRow(w, all)
	fmt.Fprintln(w, "\n| from the change until it is shown | calm | p50 | p99 | max | in trouble | p50 | p99 | max |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, cause := range causes {
		fmt.Fprintf(w, "| %s |%s%s\n", cause, cells(all.calm[cause]), cells(all.rough[cause]))
	}
	for _, r := range rows {
		if r.Err != nil {
			fmt.Fprintf(w, "VIOLATED: %s: %v\n", r.Name, r.Err)
		}
	}
}

func printRow(w io.Writer, r *row) {
	fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d |\n", r.Name, r.Events, r.Changes, r.Told, r.Stuck, r.Wrong, r.Overridden, r.Doubled, r.Logins)
}

func cells(all []time.Duration) string {
	if len(all) == 0 {
		return " 0 | | | |"
	}
	return fmt.Sprintf(" %d | %s | %s | %s |", len(all), seconds(quantile(all, 0.5)), seconds(quantile(all, 0.99)), seconds(quantile(all, 1)))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// What changes, by the names of the ledger.
const (
	callBegins  = "a call begins, over HTTP"
	callEnds    = "a call ends, over HTTP"
	bulkBegins  = "a call begins, in bulk"
	bulkEnds    = "a call ends, in bulk"
	sipBegins   = "a call begins, over SIP"
	sipEnds     = "a call ends, over SIP"
	lineLapses  = "a line is not told of any more"
	phoneLapses = "a publication is not refreshed"
	meets       = "a meeting begins"
	met         = "a meeting ends"
	choosing    = "a choice"
	choiceOver  = "a choice ends by itself"
	speaking    = "the client says so"
	coming      = "the user comes"
	leaving     = "the user leaves"
)

var causes = []string{callBegins, callEnds, bulkBegins, bulkEnds, sipBegins, sipEnds, lineLapses, phoneLapses, meets, met, choosing, choiceOver, speaking, coming, leaving}
