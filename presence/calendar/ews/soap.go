package ews

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
)

// query is what one GetUserAvailability asks for.
type query struct {
	as          string
	boxes       []string
	from, until time.Time
}

// slot is the length of what MergedFreeBusy has a digit for.
const slot = 15 * time.Minute

const opening = `<?xml version="1.0" encoding="utf-8"?>` +
	`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"` +
	` xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"><soap:Header><t:RequestServerVersion Version="Exchange2010_SP2"/>`

// utc is a zone that changes by nothing twice a year: the schema wants two changes.
const utc = `<t:TimeZone><t:Bias>0</t:Bias>` +
	`<t:StandardTime><t:Bias>0</t:Bias><t:Time>02:00:00</t:Time><t:DayOrder>1</t:DayOrder><t:Month>3</t:Month><t:DayOfWeek>Sunday</t:DayOfWeek></t:StandardTime>` +
	`<t:DaylightTime><t:Bias>0</t:Bias><t:Time>02:00:00</t:Time><t:DayOrder>1</t:DayOrder><t:Month>10</t:Month><t:DayOfWeek>Sunday</t:DayOfWeek></t:DaylightTime></t:TimeZone>`

const stamp = "2006-01-02T15:04:05"

// envelope is the request. Its elements are in the order of the schema.
func (q query) envelope() string {
	var b strings.Builder
	b.WriteString(opening)
	if q.as != "" {
		b.WriteString(`<t:ExchangeImpersonation><t:ConnectingSID><t:SmtpAddress>` + escape(q.as) + `</t:SmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>`)
	}
	b.WriteString(`</soap:Header><soap:Body><m:GetUserAvailabilityRequest>` + utc + `<m:MailboxDataArray>`)
	for _, box := range q.boxes {
		b.WriteString(`<t:MailboxData><t:Email><t:Address>` + escape(box) + `</t:Address></t:Email><t:AttendeeType>Required</t:AttendeeType><t:ExcludeConflicts>false</t:ExcludeConflicts></t:MailboxData>`)
	}
	fmt.Fprintf(&b, `</m:MailboxDataArray><t:FreeBusyViewOptions><t:TimeWindow><t:StartTime>%s</t:StartTime><t:EndTime>%s</t:EndTime></t:TimeWindow>`+
		`<t:MergedFreeBusyIntervalInMinutes>%d</t:MergedFreeBusyIntervalInMinutes><t:RequestedView>FreeBusyMerged</t:RequestedView></t:FreeBusyViewOptions>`+
		`</m:GetUserAvailabilityRequest></soap:Body></soap:Envelope>`, q.from.Format(stamp), q.until.Format(stamp), slot/time.Minute)
	return b.String()
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes all
	return b.String()
}

// body is what of an answer matters: neither Subject nor Location has a place.
type body struct {
	Fault     *fault     `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
	Responses []freeBusy `xml:"GetUserAvailabilityResponse>FreeBusyResponseArray>FreeBusyResponse"`
}

type freeBusy struct {
	Message struct {
		Class string `xml:"ResponseClass,attr"`
		Code  string `xml:"ResponseCode"`
	} `xml:"ResponseMessage"`
	View struct {
		Type   string `xml:"FreeBusyViewType"`
		Merged string `xml:"MergedFreeBusy"`
		Events []struct {
			Start string `xml:"StartTime"`
			End   string `xml:"EndTime"`
			Busy  string `xml:"BusyType"`
		} `xml:"CalendarEventArray>CalendarEvent"`
	} `xml:"FreeBusyView"`
}

type fault struct {
	Code   string `xml:"faultcode"`
	Detail struct {
		Code   string `xml:"http://schemas.microsoft.com/exchange/services/2006/errors ResponseCode"`
		Values []struct {
			Name string `xml:"Name,attr"`
			Text string `xml:",chardata"`
		} `xml:"MessageXml>Value"`
	} `xml:"detail"`
}

// parse reads an envelope.
func parse(r io.Reader) (body, error) {
	var e struct {
		XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
		Body    *body    `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
	}
	if err := xml.NewDecoder(r).Decode(&e); err != nil {
		return body{}, err
	}
	if e.Body == nil {
		return body{}, errors.New("it has no SOAP body")
	}
	return *e.Body, nil
}

// failure is what a fault means, which is of all mailboxes asked for.
func (f *fault) failure(status, n int) error {
	code := f.Detail.Code
	if code == "" {
		code = f.Code
	}
	if _, name, ok := strings.Cut(code, ":"); ok {
		code = name
	}
	failed := &calendar.Failure{Err: fmt.Errorf("the Exchange server says %d %s", status, calendar.Brief(code, 80))}
	for _, v := range f.Detail.Values {
		if ms, err := strconv.Atoi(strings.TrimSpace(v.Text)); err == nil && v.Name == "BackOffMilliseconds" && ms > 0 && ms < 1<<30 {
			failed.After = time.Duration(ms) * time.Millisecond
		}
	}
	switch code {
	case "ErrorServerBusy", "ErrorAccessDenied", "ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed",
		"ErrorNonExistentMailbox", "ErrorADUnavailable", "ErrorInvalidServerVersion", "ErrorExceededConnectionCount":
	default: // it may be about one of them
		failed.Fewer = n > 1
	}
	return failed
}

func own(text string, args ...any) calendar.Result {
	return calendar.Result{Err: &calendar.Failure{Err: fmt.Errorf(text, args...), Own: true}}
}

// slots are the kinds of busy; all others say that somebody can be reached.
var slots = map[string]presence.Slot{"Tentative": presence.SlotTentative, "Busy": presence.SlotBusy, "OOF": presence.SlotOutOfOffice}

// result is what one mailbox has.
func (f *freeBusy) result(from, until time.Time) calendar.Result {
	switch {
	case f.Message.Class == "Error":
		return own("the Exchange server says %s of the mailbox", calendar.Brief(f.Message.Code, 80))
	case f.View.Type == "None" || f.View.Type == "":
		return own("the Exchange server tells nothing of the mailbox: the service account may not see when it is busy")
	case len(f.View.Events) == 0 && f.View.Merged != "" && strings.Trim(f.View.Merged, "4") == "":
		return own("the Exchange server has no data of the mailbox")
	}
	var a calendar.Answer
	list := make([]presence.Period, 0, len(f.View.Events))
	for _, e := range f.View.Events {
		slot, ok := slots[e.Busy]
		if !ok {
			continue
		}
		begin, ok := point(e.Start)
		end, also := point(e.End)
		if !ok || !also || end.Before(begin) {
			a.Flaws++
			continue
		}
		list = append(list, presence.Period{From: begin, Until: end, Slot: slot})
	}
	if len(f.View.Events) == 0 { // MergedOnly, as for mailboxes of another forest
		list = calendar.Digits(f.View.Merged, from, slot)
	}
	a.Periods, a.Cut = calendar.Within(list, from, until)
	return calendar.Result{Answer: a}
}

// point is the point of time of a text: with an offset, or in the zone of the request,
// which is UTC.
func point(text string) (time.Time, bool) {
	if len(text) > 40 {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = time.Parse(stamp, text)
	}
	return t.UTC(), err == nil && t.Year() > 1900 && t.Year() < 5000
}
