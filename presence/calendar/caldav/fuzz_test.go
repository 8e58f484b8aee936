package caldav

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
)

// Whatever a server answers, it is an answer or an error, and not more than was sent.
func FuzzMultistatus(f *testing.F) {
	f.Add(`<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:response><D:propstat><D:prop><D:sync-token>t</D:sync-token><C:calendar-data>BEGIN:VCALENDAR
END:VCALENDAR</C:calendar-data></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>`)
	f.Add(`<!DOCTYPE x [<!ENTITY a "b">]><multistatus xmlns="DAV:"><response>&a;</response></multistatus>`)
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		found, err := decode(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, r := range found.Responses {
			for _, p := range r.Props {
				if len(p.Prop.Data) > len(text)*3 {
					t.Fatalf("%d bytes of %d", len(p.Prop.Data), len(text))
				}
				cal, err := calendar.Parse(strings.NewReader(p.Prop.Data), calendar.Limits{Events: 100, Work: 10_000})
				if err == nil {
					cal.Periods(from, from.AddDate(0, 0, 2), calendar.Options{})
				}
			}
		}
	})
}
