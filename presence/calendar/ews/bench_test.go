package ews

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The answer of a full request: 100 mailboxes with ten meetings each.
func BenchmarkAnswer_100Mailboxes(b *testing.B) {
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	until := from.Add(72 * time.Hour)
	var text strings.Builder
	text.WriteString(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetUserAvailabilityResponse xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"><FreeBusyResponseArray>`)
	for range Mailboxes {
		text.WriteString(`<FreeBusyResponse><ResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode></ResponseMessage><FreeBusyView><FreeBusyViewType>FreeBusyMerged</FreeBusyViewType><MergedFreeBusy>` +
			strings.Repeat("0", 288) + `</MergedFreeBusy><CalendarEventArray>`)
		for i := range 10 {
			at := from.Add(time.Duration(i) * 7 * time.Hour)
			fmt.Fprintf(&text, `<CalendarEvent><StartTime>%s</StartTime><EndTime>%s</EndTime><BusyType>Busy</BusyType></CalendarEvent>`, at.Format(stamp), at.Add(time.Hour).Format(stamp))
		}
		text.WriteString(`</CalendarEventArray></FreeBusyView></FreeBusyResponse>`)
	}
	text.WriteString(`</FreeBusyResponseArray></GetUserAvailabilityResponse></s:Body></s:Envelope>`)
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		answer, err := parse(strings.NewReader(text.String()))
		if err != nil || len(answer.Responses) != Mailboxes {
			b.Fatal(err)
		}
		for i := range answer.Responses {
			if r := answer.Responses[i].result(from, until); len(r.Answer.Periods) != 10 {
				b.Fatalf("%+v", r)
			}
		}
	}
}
