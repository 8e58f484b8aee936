package ami

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

// BenchmarkPicture_10000Lines reads the list of all hints of a large Asterisk.
func BenchmarkPicture_10000Lines(b *testing.B) {
	const lines = 10_000
	var text strings.Builder
	text.WriteString("Asterisk Call Manager/9.0.0\r\n")
	for i := range lines {
		fmt.Fprintf(&text, "Event: ExtensionStatus\r\nActionID: 9\r\nExten: %d\r\nContext: hints\r\nHint: PJSIP/%d\r\nStatus: %d\r\nStatusText: InUse\r\n\r\n", 20000+i, i, i&1)
	}
	b.ReportAllocs()
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		r := newReader(strings.NewReader(text.String()))
		t := newTalk(lines)
		t.lines.Begin()
		for p, err := r.next(); err == nil; p, err = r.next() {
			t.event(p)
		}
		t.lines.End()
	}
}

func newTalk(lines int) *talk {
	b := pbx.NewBoard(lines)
	return &talk{board: b, lines: asterisk.NewLines(b, "", slog.New(slog.DiscardHandler))}
}

// BenchmarkEvent takes one change.
func BenchmarkEvent(b *testing.B) {
	t := newTalk(10)
	p := packet{"event": "ExtensionStatus", "exten": "2001", "context": "hints", "status": "0"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p["status"] = [2]string{"0", "1"}[i&1]
		t.event(p)
	}
}
