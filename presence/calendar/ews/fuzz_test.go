package ews

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-ntlmssp"

	"github.com/deskline/deskline/xmpp/jid"
)

// Whatever a server answers, periods are in order and in the window, and errors are
// short enough for a log.
func FuzzAnswer(f *testing.F) {
	f.Add(`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><GetUserAvailabilityResponse xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"><FreeBusyResponseArray>` +
		`<FreeBusyResponse><ResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode></ResponseMessage><FreeBusyView><FreeBusyViewType>FreeBusyMerged</FreeBusyViewType><MergedFreeBusy>0123</MergedFreeBusy>` +
		`<CalendarEventArray><CalendarEvent><StartTime>2026-03-02T06:00:00-07:00</StartTime><EndTime>2026-03-02T14:30:00</EndTime><BusyType>Busy</BusyType></CalendarEvent></CalendarEventArray></FreeBusyView></FreeBusyResponse>` +
		`</FreeBusyResponseArray></GetUserAvailabilityResponse></soap:Body></soap:Envelope>`)
	f.Add(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>a:ErrorServerBusy</faultcode><detail><MessageXml><Value Name="BackOffMilliseconds">1000</Value></MessageXml></detail></s:Fault></s:Body></s:Envelope>`)
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	until := from.Add(72 * time.Hour)
	f.Fuzz(func(t *testing.T, text string) {
		answer, err := parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if answer.Fault != nil {
			if err := answer.Fault.failure(500, 2); len(err.Error()) > 300 {
				t.Fatalf("%q", err)
			}
		}
		for _, r := range answer.Responses {
			one := r.result(from, until)
			last := time.Time{}
			for _, p := range one.Answer.Periods {
				if !p.Until.After(p.From) || p.From.Before(last) || !p.Until.After(from) || !p.From.Before(until) {
					t.Fatalf("%+v", one.Answer.Periods)
				}
				last = p.Until
			}
		}
	})
}

// Whatever a challenge is, binding it neither fails nor makes of one that can be
// answered one that cannot.
func FuzzBind(f *testing.F) {
	challenge := append([]byte("NTLMSSP\x00\x02\x00\x00\x00"), make([]byte, 44)...)
	challenge[20] = 1 // Unicode
	binary.LittleEndian.PutUint16(challenge[40:], 4)
	binary.LittleEndian.PutUint32(challenge[44:], 52)
	f.Add(challenge)
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("der"), SignatureAlgorithm: x509.ECDSAWithSHA384}}}
	f.Fuzz(func(t *testing.T, challenge []byte) {
		before := bytes.Clone(challenge)
		bound := bind(challenge, state)
		if !bytes.Equal(challenge, before) {
			t.Fatal("the challenge was changed")
		}
		_, err := ntlmssp.NewAuthenticateMessage(challenge, `D\u`, "p", nil)
		if err != nil {
			return
		}
		if _, err := ntlmssp.NewAuthenticateMessage(bound, `D\u`, "p", nil); err != nil {
			t.Fatalf("%x became %x: %v", challenge, bound, err)
		}
	})
}

// Whatever comes over a stream, reading it ends.
func FuzzStream(f *testing.F) {
	part := `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><m:GetStreamingEventsResponse xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">` +
		`<m:ResponseMessages><m:GetStreamingEventsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode><m:Notifications><m:Notification><t:SubscriptionId>1</t:SubscriptionId><t:ModifiedEvent/></m:Notification></m:Notifications>` +
		`<m:ErrorSubscriptionIds><m:SubscriptionId>2</m:SubscriptionId></m:ErrorSubscriptionIds></m:GetStreamingEventsResponseMessage></m:ResponseMessages></m:GetStreamingEventsResponse></s:Body></s:Envelope>`
	f.Add(part + part)
	f.Fuzz(func(t *testing.T, text string) {
		heard := 0
		g := &group{w: &watcher{changed: func(jid.JID) { heard++ }}}
		p := newParts(strings.NewReader(text))
		for range 1000 {
			var one told
			if p.next("GetStreamingEventsResponseMessage", &one) != nil {
				break
			}
			g.hear(&one, map[string]*member{"1": {id: "1"}, "2": {id: "2"}})
		}
		if heard > len(text) {
			t.Fatalf("%d changes in %d bytes", heard, len(text))
		}
	})
}

// Whatever Autodiscover says, there is a short text for each mailbox, or an error.
func FuzzGroupings(f *testing.F) {
	f.Add(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><GetUserSettingsResponseMessage xmlns="http://schemas.microsoft.com/exchange/2010/Autodiscover"><Response><ErrorCode>NoError</ErrorCode><UserResponses>` +
		`<UserResponse><ErrorCode>NoError</ErrorCode><UserSettings><UserSetting><Name>GroupingInformation</Name><Value>CO1</Value></UserSetting></UserSettings></UserResponse><UserResponse><ErrorCode>InvalidUser</ErrorCode></UserResponse>` +
		`</UserResponses></Response></GetUserSettingsResponseMessage></s:Body></s:Envelope>`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readGroupings(strings.NewReader(text), 2)
		if err == nil && (len(list) != 2 || len(list[0]) > maxGrouping || len(list[1]) > maxGrouping) {
			t.Fatalf("%q", list)
		}
	})
}
