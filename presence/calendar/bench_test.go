package calendar_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar"
)

// A calendar as people have after years: a third recurs.
func BenchmarkCalendar_1000Events(b *testing.B) {
	var text strings.Builder
	begin := time.Date(2020, 1, 6, 9, 0, 0, 0, time.UTC)
	for i := range 1000 {
		rule := ""
		if i%3 == 0 {
			rule = []string{"RRULE:FREQ=WEEKLY;BYDAY=MO,WE\n", "RRULE:FREQ=MONTHLY;BYDAY=-1FR\n", "RRULE:FREQ=DAILY;COUNT=900\n"}[i/3%3]
		}
		text.WriteString(event(fmt.Sprintf("UID:%d\nSUMMARY:Something that is skipped\nDTSTART;TZID=Europe/Berlin:%s\nDURATION:PT30M\n%s", i, begin.AddDate(0, 0, 2*i).Format("20060102T150405"), rule)))
	}
	all := wrap(text.String())
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	b.SetBytes(int64(len(all)))
	b.ReportAllocs()
	for b.Loop() {
		cal, err := calendar.Parse(strings.NewReader(all), calendar.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if list, cut := cal.Periods(from, from.AddDate(0, 0, 3), calendar.Options{}); len(list) == 0 || cut {
			b.Fatal(len(list), cut)
		}
	}
}
