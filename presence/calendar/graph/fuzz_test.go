package graph

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// Whatever the service answers, each mailbox gets one result, whose periods are in
// order and in the window.
func FuzzReply(f *testing.F) {
	f.Add(200, `{"value":[{"scheduleId":"a@example.com","availabilityView":"0120304x","scheduleItems":[]},{"scheduleId":"B@example.com","scheduleItems":[{"status":"busy","start":{"dateTime":"2026-03-02T13:00:00.0000000","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T14:00:00","timeZone":"Pacific Standard Time"}}]}]}`)
	f.Add(200, `{"responses":[{"id":"2","status":429,"headers":{"Retry-After":"5"},"body":{"error":{"code":"x"}}},{"id":"1","status":200,"body":{"value":[{"error":{"responseCode":"y"}}]}}]}`)
	f.Add(404, `{"error":{"code":"\u0000\ud800"}}`)
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	p := &part{boxes: []string{"a@example.com", "b@example.com"}}
	for _, box := range p.boxes {
		p.asks = append(p.asks, calendar.Ask{User: jid.MustParse(box), From: from, Until: from.Add(72 * time.Hour)})
	}
	f.Fuzz(func(t *testing.T, status int, text string) {
		var replies []reply
		answers, err := parseBatch(strings.NewReader(text), 2)
		for _, a := range answers {
			replies = append(replies, a.reply())
		}
		if err != nil {
			replies = []reply{{status: status}}
			if json.Unmarshal([]byte(text), &replies[0].body) != nil {
				return
			}
		}
		for _, r := range replies {
			results := r.results(p)
			if len(results) != len(p.asks) {
				t.Fatalf("%d results", len(results))
			}
			for _, one := range results {
				last := time.Time{}
				for _, q := range one.Answer.Periods {
					if !q.Until.After(q.From) || q.From.Before(last) || !q.Until.After(from) {
						t.Fatalf("%+v", one.Answer.Periods)
					}
					last = q.Until
				}
				if one.Err != nil && len(one.Err.Error()) > 300 {
					t.Fatalf("%q", one.Err)
				}
			}
		}
	})
}
