package lines_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/lines"
)

// A message over WebSocket and its answer, of reports that are all taken.
func BenchmarkSocket_1Report(b *testing.B)    { benchSocket(b, 1) }
func BenchmarkSocket_100Reports(b *testing.B) { benchSocket(b, 100) }

func benchSocket(b *testing.B, reports int) {
	h := newHouseOf(b, func(c *lines.Config) {
		c.MaxLines, c.Observe = 1000, func(presence.Evidence) error { return nil }
	})
	f := h.feed()
	f.ctx = b.Context()
	var rows []string
	for i := range reports {
		rows = append(rows, fmt.Sprintf(`{"line":"%d","state":"in-call"}`, 2001+i))
	}
	message, answer := strings.Join(rows, "\n"), fmt.Sprintf(`"taken":%d,`, reports)
	b.ReportAllocs()
	for b.Loop() {
		f.say(message)
		if got := f.hears(); !strings.Contains(got, answer) {
			b.Fatal(got)
		}
	}
	b.ReportMetric(float64(b.N*reports)/b.Elapsed().Seconds(), "reports/s")
}
