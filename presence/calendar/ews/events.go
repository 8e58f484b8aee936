package ews

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/deskline/deskline/presence/calendar"
)

// streamMinutes is how long a stream lasts, 30 at most.
const streamMinutes = 30

func impersonate(box string) string {
	return `<t:ExchangeImpersonation><t:ConnectingSID><t:SmtpAddress>` + escape(box) + `</t:SmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>`
}

// subscribeTo asks to be told of the calendar of a mailbox.
func subscribeTo(box string) string {
	var b strings.Builder
	b.WriteString(opening + impersonate(box) + `</soap:Header><soap:Body><m:Subscribe><m:StreamingSubscriptionRequest>` +
		`<t:FolderIds><t:DistinguishedFolderId Id="calendar"/></t:FolderIds><t:EventTypes>`)
	for _, event := range []string{"CopiedEvent", "CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent", "FreeBusyChangedEvent"} {
		b.WriteString(`<t:EventType>` + event + `</t:EventType>`)
	}
	b.WriteString(`</t:EventTypes></m:StreamingSubscriptionRequest></m:Subscribe></soap:Body></soap:Envelope>`)
	return b.String()
}

// streamOf asks for what happens, on the account of a mailbox.
func streamOf(box string, ids []string) string {
	var b strings.Builder
	b.WriteString(opening + impersonate(box) + `</soap:Header><soap:Body><m:GetStreamingEvents><m:SubscriptionIds>`)
	for _, id := range ids {
		b.WriteString(`<t:SubscriptionId>` + escape(id) + `</t:SubscriptionId>`)
	}
	fmt.Fprintf(&b, `</m:SubscriptionIds><m:ConnectionTimeout>%d</m:ConnectionTimeout></m:GetStreamingEvents></soap:Body></soap:Envelope>`, streamMinutes)
	return b.String()
}

// subscribed is the answer to subscribeTo.
type subscribed struct {
	Class string `xml:"ResponseClass,attr"`
	Code  string `xml:"ResponseCode"`
	ID    string `xml:"SubscriptionId"`
}

// told is one part of a stream. Which event it was does not matter.
type told struct {
	Class         string   `xml:"ResponseClass,attr"`
	Code          string   `xml:"ResponseCode"`
	Status        string   `xml:"ConnectionStatus"`
	Lost          []string `xml:"ErrorSubscriptionIds>SubscriptionId"`
	Notifications []struct {
		ID      string `xml:"SubscriptionId"`
		Created *empty `xml:"CreatedEvent"`
		Changed *empty `xml:"ModifiedEvent"`
		Deleted *empty `xml:"DeletedEvent"`
		Moved   *empty `xml:"MovedEvent"`
		Copied  *empty `xml:"CopiedEvent"`
		Busy    *empty `xml:"FreeBusyChangedEvent"`
	} `xml:"Notifications>Notification"`
}

type empty struct{}

const (
	messagesNS = "http://schemas.microsoft.com/exchange/services/2006/messages"
	maxPart    = 4 << 20 // of a stream
	maxID      = 4096
)

// parts reads one message after another out of a body that goes on for long; it may be
// one envelope or many.
type parts struct {
	d    *xml.Decoder
	left *allowance
}

// allowance limits what is read for one part.
type allowance struct {
	r io.Reader
	n int64
}

func (a *allowance) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if a.n -= int64(n); a.n < 0 {
		return 0, calendar.ErrTooBig
	}
	return n, err
}

func newParts(r io.Reader) *parts {
	left := &allowance{r: r}
	return &parts{d: xml.NewDecoder(left), left: left}
}

// next reads the next message of a name into what is given; a fault is an error.
func (p *parts) next(name string, into any) error { return p.named(messagesNS, name, into) }

func (p *parts) named(space, name string, into any) error {
	p.left.n = maxPart
	for {
		token, err := p.d.Token()
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case start.Name == (xml.Name{Space: space, Local: name}):
			return p.d.DecodeElement(into, &start)
		case start.Name == (xml.Name{Space: "http://schemas.xmlsoap.org/soap/envelope/", Local: "Fault"}):
			var f fault
			if err := p.d.DecodeElement(&f, &start); err != nil {
				return err
			}
			return f.failure(500, 1)
		}
	}
}

// id is a subscription's, if it can be one.
func (s subscribed) id() (string, error) {
	if s.Class != "Success" {
		return "", &calendar.Failure{Err: fmt.Errorf("subscribe: the Exchange server says %s", calendar.Brief(s.Code, 80)), Own: true}
	}
	if s.ID == "" || len(s.ID) > maxID {
		return "", errors.New("subscribe: the Exchange server gives no id")
	}
	return s.ID, nil
}
