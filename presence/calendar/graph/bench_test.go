package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// The answer of a full batch: 400 mailboxes with ten meetings each.
func BenchmarkBatch_400Mailboxes(b *testing.B) {
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var text strings.Builder
	text.WriteString(`{"responses":[`)
	parts := make([]*part, Requests)
	for n := range parts {
		p := &part{}
		var list []string
		for m := range Mailboxes {
			box := fmt.Sprintf("u%d@example.com", n*Mailboxes+m)
			p.asks = append(p.asks, calendar.Ask{User: jid.MustParse(box), From: from, Until: from.Add(72 * time.Hour)})
			p.boxes = append(p.boxes, box)
			var items []string
			for i := range 10 {
				at := from.Add(time.Duration(i) * 7 * time.Hour)
				items = append(items, fmt.Sprintf(`{"isPrivate":false,"status":"busy","subject":"Something that is skipped","location":"Room","start":{"dateTime":"%s.0000000","timeZone":"UTC"},"end":{"dateTime":"%s.0000000","timeZone":"UTC"}}`,
					at.Format(stamp), at.Add(time.Hour).Format(stamp)))
			}
			list = append(list, fmt.Sprintf(`{"scheduleId":%q,"availabilityView":"%s","scheduleItems":[%s]}`, box, strings.Repeat("0", 288), strings.Join(items, ",")))
		}
		parts[n] = p
		if n > 0 {
			text.WriteString(",")
		}
		fmt.Fprintf(&text, `{"id":"%d","status":200,"headers":{"Content-Type":"application/json"},"body":{"value":[%s]}}`, n+1, strings.Join(list, ","))
	}
	text.WriteString("]}")
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		replies, err := parseBatch(strings.NewReader(text.String()), Requests)
		if err != nil {
			b.Fatal(err)
		}
		for i, a := range replies {
			for _, one := range a.reply().results(parts[i]) {
				if len(one.Answer.Periods) != 10 {
					b.Fatalf("%+v", one)
				}
			}
		}
	}
}
