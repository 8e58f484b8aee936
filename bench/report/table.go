//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
)

// row is one line of the table: a name and how to get a column's cell.
type row struct {
	name string
	cell func(*column) string
}

func rows(o options) []row {
	return append([]row{
		{"CPU µs per message at 200/s", flowCell(slow, cpuCell)},
		{"CPU µs per message at 1,000/s", flowCell(fast, cpuCell)},
		{"p50 / p99 ms at 200/s", flowCell(slow, latencyCell)},
		{"p50 / p99 ms at 1,000/s", flowCell(fast, latencyCell)},
		{"closed loop: messages/s", flowCell(closed, func(f *load.Flow) string { return number(f.Rate) })},
		{"closed loop: CPU µs each", flowCell(closed, cpuCell)},
		{fmt.Sprintf("KB per idle session at %s", number(float64(o.few))), func(c *column) string { return idleCell(c.Few) }},
		{fmt.Sprintf("KB per idle session at %s", number(float64(o.many))), func(c *column) string { return idleCell(c.Many) }},
		{"sessions set up per second, " + o.mech, setupCell(func(c *column) *setup { return c.Setup }, func(s *setup) float64 { return s.Second })},
		{"CPU µs per set-up, " + o.mech, setupCell(func(c *column) *setup { return c.Setup }, func(s *setup) float64 { return s.CPU })},
		{"sessions set up per second, " + o.scram, setupCell(func(c *column) *setup { return c.Scram }, func(s *setup) float64 { return s.Second })},
		{"CPU µs per set-up, " + o.scram, setupCell(func(c *column) *setup { return c.Scram }, func(s *setup) float64 { return s.CPU })},
		{"login storm: wall s", stormCell(func(s *load.Storm) string { return fmt.Sprintf("%.1f", s.Wall.Seconds()) })},
		{"login storm: CPU µs per presence", stormCell(func(s *load.Storm) string { return fmt.Sprintf("%.0f", s.CPU) })},
		{"login storm: presences missing / repeated", stormCell(func(s *load.Storm) string {
			return number(float64(s.Missing)) + " / " + number(float64(s.Repeats))
		})},
		{"from node to node: p50 / p99 ms at 200/s", flowCell(across, latencyCell)},
		{"from node to node: CPU µs per message, both nodes", flowCell(across, cpuCell)},
		{fmt.Sprintf("node of %s sessions killed: s until half, all answer again", number(killed)), func(c *column) string {
			if c.TakeOver == nil {
				return "–"
			}
			return fmt.Sprintf("%.1f, %.1f", c.TakeOver.Half.Seconds(), c.TakeOver.All.Seconds())
		}},
		{"discovery: answers/s, CPU µs each", getsCell(func(c *column) *load.Gets { return c.Told })},
		{"discovery with If-None-Match: answers/s, CPU µs each", getsCell(func(c *column) *load.Gets { return c.Same })},
		{"messages sent", func(c *column) string { return number(float64(c.ledger().Sent)) }},
		{"messages lost / doubled / out of order", func(c *column) string {
			l := c.ledger()
			return fmt.Sprintf("%d / %d / %d", l.Lost, l.Doubled+l.Strange, l.OutOfOrder)
		}},
	}, fanRows()...)
}

func render(columns []*column, o options, now time.Time, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores (%s), shared with the load generator; %s, %s; took %s.\n\n",
		now.Format(time.DateOnly), runtime.NumCPU(), processor(), kernel(), runtime.Version(), took.Round(time.Second))
	line := func(cells ...string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	head, rule := []string{""}, []string{"---"}
	for _, c := range columns {
		head, rule = append(head, c.Title), append(rule, "--:")
	}
	line(head...)
	line(rule...)
	for _, r := range rows(o) {
		cells := []string{r.name}
		empty := true
		for _, c := range columns {
			cell := r.cell(c)
			empty = empty && cell == "–"
			cells = append(cells, cell)
		}
		if !empty {
			line(cells...)
		}
	}
	fmt.Fprintf(&b, "\n%d pairs in the open loops, %d pairs × %d messages under way in the closed loop; %d users × %d contacts in the storm, "+
		"signing in with %s, at Deskline with %s. The peers store plain passwords, Deskline only keys.\n",
		pairs, closedPairs, depth, stormUsers, contacts, o.mech, o.scram)
	if slices.ContainsFunc(columns, func(c *column) bool { return c.Kind == peer.Cluster }) {
		fmt.Fprintf(&b, "\nNodes of the cluster share one Redis (`appendonly yes`, `appendfsync %s`), whose processor time is what comes after +. "+
			"From node to node the senders of all pairs are at one and the receivers at the other. The killed node's sessions write %d messages/s "+
			"to each other meanwhile.\n", o.fsync, killedRate)
	}
	if f := foreign(columns); f > 0.1 {
		fmt.Fprintf(&b, "\n**Disturbed**: other programs used up to %.1f cores during the message phases, "+
			"so latencies and rates are worse than they would be alone.\n\n", f)
	}
	for _, c := range columns {
		if c.Error != "" {
			fmt.Fprintf(&b, "\n**%s: incomplete**: %s\n", c.Title, c.Error)
		}
	}
	if cleanAll(columns) {
		b.WriteString("Ledger: every message arrived once and in order.\n")
	} else {
		b.WriteString("\n**Ledger: violated**, see the last row.\n")
	}
	return b.String()
}

// foreign is the most that other programs took in a message phase, in cores.
func foreign(columns []*column) float64 {
	most := 0.0
	for _, c := range columns {
		for _, f := range c.flows() {
			if f != nil {
				most = max(most, f.Foreign)
			}
		}
	}
	return most
}

// ledger sums the message phases.
func (c *column) ledger() load.Ledger {
	var l load.Ledger
	for _, f := range c.flows() {
		if f != nil {
			l = l.Add(f.Ledger)
		}
	}
	if c.TakeOver != nil {
		l = l.Add(c.TakeOver.Ledger)
	}
	return l
}

func (c *column) flows() []*load.Flow { return []*load.Flow{c.Slow, c.Fast, c.Closed, c.Across} }

func cleanAll(columns []*column) bool {
	for _, c := range columns {
		if !c.ledger().Clean() {
			return false
		}
	}
	return true
}

func slow(c *column) *load.Flow   { return c.Slow }
func fast(c *column) *load.Flow   { return c.Fast }
func closed(c *column) *load.Flow { return c.Closed }
func across(c *column) *load.Flow { return c.Across }

func flowCell(get func(*column) *load.Flow, f func(*load.Flow) string) func(*column) string {
	return func(c *column) string {
		if fl := get(c); fl != nil {
			return f(fl)
		}
		return "–"
	}
}

// cpuCell is what the server takes, and what Redis takes beside it.
func cpuCell(f *load.Flow) string {
	if f.Beside > 0 {
		return micros(f.CPU) + " + " + micros(f.Beside)
	}
	return micros(f.CPU)
}

func micros(v float64) string {
	if v < 20 {
		return fmt.Sprintf("%.1f", v)
	}
	return number(v)
}

func getsCell(get func(*column) *load.Gets) func(*column) string {
	return func(c *column) string {
		g := get(c)
		if g == nil {
			return "–"
		}
		return number(g.Rate) + ", " + micros(g.CPU)
	}
}

func latencyCell(f *load.Flow) string {
	return fmt.Sprintf("%.1f / %.1f", f.P50.Seconds()*1e3, f.P99.Seconds()*1e3)
}

func idleCell(i *idle) string {
	if i == nil {
		return "–"
	}
	plural := ""
	if i.Conns != 1 {
		plural = "s"
	}
	return fmt.Sprintf("%.1f (%d connection%s)", i.KB, i.Conns, plural)
}

func setupCell(get func(*column) *setup, f func(*setup) float64) func(*column) string {
	return func(c *column) string {
		if s := get(c); s != nil && c.Kind != "relay" {
			return number(f(s))
		}
		return "–"
	}
}

func stormCell(f func(*load.Storm) string) func(*column) string {
	return func(c *column) string {
		if c.Storm == nil {
			return "–"
		}
		return f(c.Storm)
	}
}

// number writes a whole number with commas between thousands.
func number(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(b)), "-")
	return "Linux " + release
}

func write(o options, table string, columns []*column) error {
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(table), 0o644); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if o.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(columns, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.WriteFile(o.json, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
