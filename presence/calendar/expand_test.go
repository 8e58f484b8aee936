package calendar_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wrap makes a calendar of the lines of components.
func wrap(lines string) string {
	return "BEGIN:VCALENDAR\r\n" + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\r\n") + "\r\nEND:VCALENDAR\r\n"
}

func event(lines string) string {
	return "BEGIN:VEVENT\nUID:one\n" + strings.TrimSpace(lines) + "\nEND:VEVENT\n"
}

// show writes periods in UTC, such as 0325T0100-0200 busy.
func show(list []presence.Period) string {
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.From.UTC().Format("0102T1504") + "-" + p.Until.UTC().Format("0102T1504"))
		b.WriteString([...]string{" free", " tentative", " oof", ""}[p.Slot])
	}
	return b.String()
}

const berlinOfFile = `BEGIN:VTIMEZONE
TZID:Our own
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE
`

// The days of the tests: 2026-03-29 and 2026-10-25 change the clocks of Berlin.
func TestPeriods(t *testing.T) {
	for _, tt := range []struct{ name, from, days, text, want string }{
		{"utc", "0302", "1", event("DTSTART:20260302T090000Z\nDTEND:20260302T093000Z\nSUMMARY:Secret"), "0302T0900-0302T0930"},
		{"duration", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H30M"), "0302T0900-0302T1030"},
		{"no end", "0302", "1", event("DTSTART:20260302T090000Z"), ""},
		{"outside", "0302", "1", event("DTSTART:20260304T090000Z\nDURATION:PT1H"), ""},
		{"reaches in", "0302", "1", event("DTSTART:20260227T090000Z\nDURATION:P4D"), "0227T0900-0303T0900"},
		{"iana", "0302", "1", event("DTSTART;TZID=Europe/Berlin:20260302T090000\nDTEND;TZID=Europe/Berlin:20260302T100000"), "0302T0800-0302T0900"},
		{"windows name", "0302", "1", event("DTSTART;TZID=\"Pacific Standard Time\":20260302T090000\nDURATION:PT1H"), "0302T1700-0302T1800"},
		{"path before the name", "0302", "1", event("DTSTART;TZID=/mozilla.org/20050126_1/Europe/Berlin:20260302T090000\nDURATION:PT1H"), "0302T0800-0302T0900"},
		{"zone of the file, winter", "0302", "1", berlinOfFile + event("DTSTART;TZID=Our own:20260302T090000\nDURATION:PT1H"), "0302T0800-0302T0900"},
		{"zone of the file, summer", "0702", "1", berlinOfFile + event("DTSTART;TZID=Our own:20260702T090000\nDURATION:PT1H"), "0702T0700-0702T0800"},
		{"zone of the file after the event", "0702", "1", event("DTSTART;TZID=Our own:20260702T090000\nDURATION:PT1H") + berlinOfFile, "0702T0700-0702T0800"},
		{"floating is the user's", "0302", "1", event("DTSTART:20260302T090000\nDURATION:PT1H"), "0302T0800-0302T0900"},
		{"unknown zone is the user's", "0302", "1", event("DTSTART;TZID=Atlantis:20260302T090000\nDURATION:PT1H"), "0302T0800-0302T0900"},
		{"a zone of Outlook", "0702", "1", strings.NewReplacer("1970", "1601", "0329T", "0101T", "1025T", "0101T").Replace(berlinOfFile) + event("DTSTART;TZID=Our own:20260702T090000\nDURATION:PT1H"), "0702T0700-0702T0800"},
		{"a birthday without a year", "0302", "1", event("DTSTART;VALUE=DATE:16040302\nRRULE:FREQ=YEARLY"), "0301T2300-0302T2300"},
		{"all day", "0302", "1", event("DTSTART;VALUE=DATE:20260302"), "0301T2300-0302T2300"},
		{"all day of 23 hours", "0329", "1", event("DTSTART;VALUE=DATE:20260329\nDTEND;VALUE=DATE:20260330"), "0328T2300-0329T2200"},
		{"all day of 25 hours", "1025", "1", event("DTSTART;VALUE=DATE:20261025\nDURATION:P1D"), "1024T2200-1025T2300"},
		{"transparent", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nTRANSP:TRANSPARENT"), ""},
		{"cancelled", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED"), ""},
		{"tentative", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nSTATUS:TENTATIVE"), "0302T0900-0302T1000 tentative"},
		{"out of office", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nX-MICROSOFT-CDO-BUSYSTATUS:OOF"), "0302T0900-0302T1000 oof"},
		{"outlook free", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nX-MICROSOFT-CDO-BUSYSTATUS:FREE"), ""},
		{"outlook tentative", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nX-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE"), "0302T0900-0302T1000 tentative"},
		{"declined", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nATTENDEE;PARTSTAT=ACCEPTED:mailto:bob@example.com\nATTENDEE;CN=\"A; B: C\";PARTSTAT=DECLINED:MAILTO:Alice@example.com"), ""},
		{"declined by others", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nATTENDEE;PARTSTAT=DECLINED:mailto:bob@example.com"), "0302T0900-0302T1000"},
		{"not answered", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:alice@example.com"), "0302T0900-0302T1000 tentative"},
		{"heavier wins", "0302", "1", event("DTSTART:20260302T080000Z\nDURATION:PT4H\nSTATUS:TENTATIVE") + event("UID:two\nDTSTART:20260302T090000Z\nDURATION:PT1H"), "0302T0800-0302T0900 tentative, 0302T0900-0302T1000, 0302T1000-0302T1200 tentative"},
		{"touching", "0302", "1", event("DTSTART:20260302T080000Z\nDURATION:PT1H") + event("UID:two\nDTSTART:20260302T090000Z\nDURATION:PT1H"), "0302T0800-0302T1000"},
		{"daily since long", "0302", "2", event("DTSTART:19990101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY"), "0302T0900-0302T1000, 0303T0900-0303T1000"},
		{"count is over", "0302", "1", event("DTSTART:20260227T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"), ""},
		{"the last of count", "0302", "2", event("DTSTART:20260228T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3"), "0302T0900-0302T1000"},
		{"until, included", "0302", "2", event("DTSTART:20260228T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260302T090000Z"), "0302T0900-0302T1000"},
		{"until a day", "0302", "2", event("DTSTART;TZID=Europe/Berlin:20260228T230000\nDURATION:PT10M\nRRULE:FREQ=DAILY;UNTIL=20260302"), "0302T2200-0302T2210"},
		{"until in utc", "0302", "3", event("DTSTART;TZID=Europe/Berlin:20260228T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260303T080000Z"), "0302T0800-0302T0900, 0303T0800-0303T0900"},
		{"weekdays", "0306", "4", event("DTSTART:20260105T090000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"), "0306T0900-0306T1000, 0309T0900-0309T1000"},
		{"every second week", "0302", "14", event("DTSTART:20260105T090000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"), "0302T0900-0302T1000"},
		{"last friday", "0320", "14", event("DTSTART:20260130T090000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYDAY=-1FR"), "0327T0900-0327T1000"},
		{"last workday", "0525", "9", event("DTSTART:20260130T090000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"), "0529T0900-0529T1000"},
		{"the 31st", "0401", "61", event("DTSTART:20260131T090000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY"), "0531T0900-0531T1000"},
		{"yearly", "0302", "1", event("DTSTART;VALUE=DATE:19800302\nRRULE:FREQ=YEARLY"), "0301T2300-0302T2300"},
		{"exdate", "0302", "2", event("DTSTART;TZID=Europe/Berlin:20260101T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEXDATE;TZID=Europe/Berlin:20260302T090000"), "0303T0800-0303T0900"},
		{"exdate in utc", "0302", "2", event("DTSTART;TZID=Europe/Berlin:20260101T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEXDATE:20260302T080000Z,20260305T080000Z"), "0303T0800-0303T0900"},
		{"exdate by day", "0302", "2", event("DTSTART;TZID=Europe/Berlin:20260101T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:20260302"), "0303T0800-0303T0900"},
		{"rdate", "0302", "1", event("DTSTART:20260201T090000Z\nDURATION:PT1H\nRDATE:20260302T150000Z\nRRULE:FREQ=YEARLY"), "0302T1500-0302T1600"},
		{"rdate with its own length", "0302", "1", event("DTSTART:20260201T090000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20260302T150000Z/PT3H"), "0302T1500-0302T1800"},
		{"moved within", "0302", "2", event("DTSTART;TZID=Europe/Berlin:20260101T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY") + event("RECURRENCE-ID;TZID=Europe/Berlin:20260302T090000\nDTSTART;TZID=Europe/Berlin:20260302T140000\nDURATION:PT2H"), "0302T1300-0302T1500, 0303T0800-0303T0900"},
		{"moved in from far", "0302", "1", event("DTSTART:20260101T090000Z\nDURATION:PT1H\nRRULE:FREQ=MONTHLY") + event("RECURRENCE-ID:20260601T090000Z\nDTSTART:20260302T140000Z\nDURATION:PT2H"), "0302T1400-0302T1600"},
		{"moved out", "0302", "1", event("DTSTART:20260101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY") + event("RECURRENCE-ID:20260302T090000Z\nDTSTART:20260402T140000Z\nDURATION:PT2H"), ""},
		{"one cancelled", "0302", "2", event("DTSTART:20260101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY") + event("RECURRENCE-ID:20260302T090000Z\nDTSTART:20260302T090000Z\nDURATION:PT1H\nSTATUS:CANCELLED"), "0303T0900-0303T1000"},
		{"this and all later", "0302", "2", event("DTSTART:20260101T090000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY") + event("RECURRENCE-ID;RANGE=THISANDFUTURE:20260303T090000Z\nDTSTART:20260303T100000Z\nDURATION:PT30M"), "0302T0900-0302T1000, 0303T1000-0303T1030"},
		{"an override alone", "0302", "1", event("RECURRENCE-ID:20260302T090000Z\nDTSTART:20260302T100000Z\nDURATION:PT1H"), "0302T1000-0302T1100"},
		{"wall time over the change", "0328", "3", event("DTSTART;TZID=Europe/Berlin:20260101T090000\nDURATION:PT1H\nRRULE:FREQ=DAILY"), "0328T0800-0328T0900, 0329T0700-0329T0800, 0330T0700-0330T0800"},
		{"02:30 that is not there", "0329", "1", event("DTSTART;TZID=Europe/Berlin:20260101T023000\nDURATION:PT15M\nRRULE:FREQ=DAILY"), "0329T0130-0329T0145"},
		{"02:30 twice is the first", "1025", "1", event("DTSTART;TZID=Europe/Berlin:20260101T023000\nDURATION:PT15M\nRRULE:FREQ=DAILY"), "1025T0030-1025T0045"},
		{"02:30 that is not there, zone of the file", "0329", "1", berlinOfFile + event("DTSTART;TZID=Our own:20260101T023000\nDURATION:PT15M\nRRULE:FREQ=DAILY"), "0329T0130-0329T0145"},
		{"02:30 twice, zone of the file", "1025", "1", berlinOfFile + event("DTSTART;TZID=Our own:20260101T023000\nDURATION:PT15M\nRRULE:FREQ=DAILY"), "1025T0030-1025T0045"},
		{"over the change at night", "0328", "2", event("DTSTART;TZID=Europe/Berlin:20260328T220000\nDTEND;TZID=Europe/Berlin:20260329T060000"), "0328T2100-0329T0400"},
		{"free-busy", "0302", "1", "BEGIN:VFREEBUSY\nFREEBUSY:20260302T090000Z/20260302T100000Z,20260302T120000Z/PT30M\nFREEBUSY;FBTYPE=BUSY-TENTATIVE:20260302T110000Z/PT30M\nFREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20260302T150000Z/PT1H\nFREEBUSY;FBTYPE=FREE:20260302T180000Z/PT1H\nEND:VFREEBUSY", "0302T0900-0302T1000, 0302T1100-0302T1130 tentative, 0302T1200-0302T1230, 0302T1500-0302T1600 oof"},
		{"folded", "0302", "1", event("DTST\n ART:20260302T09\n\t0000Z\nDURATION:PT1H"), "0302T0900-0302T1000"},
		{"nested alarm", "0302", "1", event("DTSTART:20260302T090000Z\nDURATION:PT1H\nBEGIN:VALARM\nDURATION:PT5M\nTRIGGER:-PT5M\nEND:VALARM"), "0302T0900-0302T1000"},
		{"tasks do not count", "0302", "1", "BEGIN:VTODO\nDTSTART:20260302T090000Z\nDURATION:PT1H\nEND:VTODO", ""},
		{"a flawed one beside", "0302", "1", event("DTSTART:yesterday") + event("UID:two\nDTSTART:20260302T090000Z\nDURATION:PT1H"), "0302T0900-0302T1000"},
		{"negative length", "0302", "1", event("DTSTART:20260302T090000Z\nDTEND:20260302T080000Z"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cal, err := calendar.Parse(strings.NewReader(wrap(tt.text)), calendar.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			from, _ := time.Parse("20060102", "2026"+tt.from)
			days, _ := time.ParseDuration(tt.days + "h")
			list, cut := cal.Periods(from, from.Add(24*days), calendar.Options{Zone: zone(t, "Europe/Berlin"), Self: []string{"alice@example.com"}})
			if got := show(list); got != tt.want || cut {
				t.Errorf("got  %s (cut %v)\nwant %s", got, cut, tt.want)
			}
		})
	}
}

// What is hostile costs bounded work, and the rest of the calendar still counts.
func TestHostile(t *testing.T) {
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	good := event("UID:aaa\nDTSTART:20260302T090000Z\nDURATION:PT1H")
	for name, bad := range map[string]string{
		"seconds":            "DTSTART:19800101T000000Z\nDURATION:PT0S\nRRULE:FREQ=SECONDLY;COUNT=1000000000",
		"seconds of a day":   "DTSTART:19800101T000000Z\nDURATION:PT1S\nRRULE:FREQ=SECONDLY;BYSECOND=1;COUNT=1000000000",
		"never":              "DTSTART:19800101T000000Z\nDURATION:PT1S\nRRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
		"never, yearly":      "DTSTART:17010101T000000Z\nDURATION:PT1S\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=5",
		"never, by steps":    "DTSTART:19800101T000000Z\nDURATION:PT1S\nRRULE:FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1",
		"all of a year":      "DTSTART:19800101T000000Z\nDURATION:PT1S\nRRULE:FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=" + list(24) + ";BYMINUTE=" + list(60) + ";BYSECOND=" + list(60) + ";BYSETPOS=-1",
		"centuries long":     "DTSTART:17010101T000000Z\nDURATION:P36500D\nRRULE:FREQ=MINUTELY",
		"interval overflows": "DTSTART:17010101T000000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;INTERVAL=1000000",
	} {
		t.Run(name, func(t *testing.T) {
			text := wrap(good + strings.ReplaceAll(strings.Repeat(event("UID:zzz\n"+bad), 200), "UID:one\n", ""))
			cal, err := calendar.Parse(strings.NewReader(text), calendar.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			list, cut := cal.Periods(from, from.Add(48*time.Hour), calendar.Options{})
			if len(list) == 0 {
				t.Errorf("nothing is left (cut %v)", cut)
			}
			t.Logf("%v, %d periods, cut %v", time.Since(began), len(list), cut)
		})
	}
}

func list(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()
}

func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		limits calendar.Limits
	}{
		"bytes":      {wrap(event("DTSTART:20260302T090000Z") + strings.Repeat("X-PAD:x\n", 100)), calendar.Limits{Bytes: 200}},
		"one line":   {"BEGIN:VCALENDAR\nDESCRIPTION:" + strings.Repeat("x", 1<<20), calendar.Limits{Bytes: 1000}},
		"events":     {wrap(strings.Repeat(event("DTSTART:20260302T090000Z"), 11)), calendar.Limits{Events: 10}},
		"components": {strings.Repeat("BEGIN:VCALENDAR\n", 1000), calendar.Limits{}},
		"dates":      {wrap(event("DTSTART:20260302T090000Z" + strings.Repeat("\nEXDATE:20260302T090000Z", 6000))), calendar.Limits{}},
		"html":       {"<html>please sign in</html>", calendar.Limits{}},
		"nothing":    {"", calendar.Limits{}},
		"cut off":    {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20260302T090000Z\n", calendar.Limits{}},
		"crossed":    {"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\nEND:VEVENT\n", calendar.Limits{}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := calendar.Parse(strings.NewReader(tt.text), tt.limits); err == nil {
				t.Error("is taken")
			}
		})
	}
	long := wrap(event("DTSTART:20260302T090000Z\nDURATION:PT1H\nATTACH;ENCODING=BASE64:" + strings.Repeat("\n AAAA", 50000)))
	cal, err := calendar.Parse(strings.NewReader(long), calendar.Limits{})
	if err != nil || cal.Flaws() != 0 {
		t.Errorf("an attachment: %v", err)
	}
}
