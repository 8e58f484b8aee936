package ari

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

func newTalk(lines int) *talk {
	b := pbx.NewBoard(lines)
	return &talk{
		cfg: Config{Technologies: []string{"PJSIP", "Custom"}}, board: b, lines: asterisk.NewLines(b, "", slog.New(slog.DiscardHandler)),
		calls: newCalls(), also: map[string]struct{}{},
	}
}

// BenchmarkPicture_10000Lines reads the list of endpoints of a large Asterisk and has it shown.
func BenchmarkPicture_10000Lines(b *testing.B) {
	const lines = 10_000
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, `,{"technology":"PJSIP","resource":"%d","state":"online","channel_ids":[]}`, 20000+i)
	}
	list := "[" + text.String()[1:] + "]"
	b.ReportAllocs()
	b.SetBytes(int64(len(list)))
	for b.Loop() {
		t := newTalk(lines)
		p := picture{map[string]sight{}, map[string][]string{}}
		err := items(json.NewDecoder(strings.NewReader(list)), func(e endpoint) { p.endpoint(&t.cfg, e) })
		if err == nil {
			err = t.show(p)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvent takes one change.
func BenchmarkEvent(b *testing.B) {
	t := newTalk(10)
	if err := t.show(picture{devices: map[string]sight{"PJSIP/2001": {listed: true}}}); err != nil {
		b.Fatal(err)
	}
	var rows [2][]byte
	for i, state := range [2]string{"NOT_INUSE", "INUSE"} {
		rows[i] = fmt.Appendf(nil, `{"type":"DeviceStateChanged","application":"deskline","timestamp":"2026-11-21T22:33:01.067+0000","device_state":{"name":"PJSIP/2001","state":%q},"asterisk_id":"02:fc:00:00:00:01"}`, state)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e, err := parse(rows[i&1])
		if err := t.hear(pbx.Heard[event]{What: e, Err: err}); err != nil {
			b.Fatal(err)
		}
	}
}
