package main

import (
	"fmt"
	"io"
	"time"
)

// printRows prints the ledger as a table in Markdown.
func printRows(w io.Writer, rows []row) {
	fmt.Fprintln(w, "| scenario | times | sessions | sent | delivered | refused | lost | doubled | out of order | new logins | seen to leave | pause p50 | p99 | max |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	overtaken := 0
	for i := range rows {
		r := &rows[i]
		l := r.Ledger
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %s | %s | %s |\n", r.Name, r.Events, r.Sessions,
			l.Sent, l.Delivered, r.Refused, l.Lost, l.Doubled, l.OutOfOrder, r.Logins, r.Unavailable,
			seconds(r.Pause(0.5)), seconds(r.Pause(0.99)), seconds(r.Pause(1)))
		overtaken += r.Overtaken
	}
	if overtaken > 0 {
		fmt.Fprintf(w, "\nStrophe.js read %d messages late: it takes responses as the network brings them, not by their requests.\n", overtaken)
	}
	for i := range rows {
		r := &rows[i]
		if r.Err != nil {
			fmt.Fprintf(w, "VIOLATED: %s: %v\n", r.Name, r.Err)
		}
		if r.Ledger.Strange > 0 {
			fmt.Fprintf(w, "VIOLATED: %s: %d strange messages\n", r.Name, r.Ledger.Strange)
		}
		if p := r.Pause(0.99); r.Limit > 0 && p > r.Limit {
			fmt.Fprintf(w, "VIOLATED: %s: the pause is %s, and may be %s\n", r.Name, seconds(p), seconds(r.Limit))
		}
	}
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%.2f s", d.Seconds())
}
