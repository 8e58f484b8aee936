package exchangetest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Namespaces of the schemas.
const (
	soap     = "http://schemas.xmlsoap.org/soap/envelope/"
	messages = "http://schemas.microsoft.com/exchange/services/2006/messages"
	typesNS  = "http://schemas.microsoft.com/exchange/services/2006/types"
)

type node struct {
	name  xml.Name
	attrs map[string]string
	inner []*node
	text  string
}

// tree reads a document in full.
func tree(text string) (*node, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	root := &node{}
	for stack := []*node{root}; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name, attrs: map[string]string{}}
			for _, a := range token.Attr {
				if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
					n.attrs[a.Name.Local] = a.Value
				}
			}
			top.inner = append(top.inner, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(token)
		}
	}
	if len(root.inner) != 1 {
		return nil, errors.New("not one element")
	}
	return root.inner[0], nil
}

// sequence checks that the elements are those named, in that order, as xs:sequence
// wants; a name with ? may be missing.
func (n *node) sequence(space string, names ...string) (map[string]*node, error) {
	found := map[string]*node{}
	rest := n.inner
	for _, name := range names {
		name, optional := strings.CutSuffix(name, "?")
		if len(rest) > 0 && rest[0].name == (xml.Name{Space: space, Local: name}) {
			found[name], rest = rest[0], rest[1:]
		} else if !optional {
			return nil, fmt.Errorf("%s has no %s where it should be", n.name.Local, name)
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%s may not have %s there", n.name.Local, rest[0].name.Local)
	}
	return found, nil
}

func readEnvelope(text string) (Request, *node, error) {
	var r Request
	root, err := tree(text)
	if err != nil {
		return r, nil, err
	}
	if root.name != (xml.Name{Space: soap, Local: "Envelope"}) {
		return r, nil, fmt.Errorf("%v is no envelope", root.name)
	}
	parts, err := root.sequence(soap, "Header", "Body")
	if err != nil {
		return r, nil, err
	}
	version := ""
	for _, h := range parts["Header"].inner {
		switch {
		case h.name.Space != typesNS:
			return r, nil, fmt.Errorf("header %v", h.name)
		case h.name.Local == "RequestServerVersion":
			version = h.attrs["Version"]
		case h.name.Local == "ExchangeImpersonation":
			if r.As, err = impersonated(h); err != nil {
				return r, nil, err
			}
		default:
			return r, nil, fmt.Errorf("header %v", h.name)
		}
	}
	switch version {
	case "Exchange2010_SP2", "Exchange2013", "Exchange2013_SP1", "Exchange2016":
	default:
		return r, nil, fmt.Errorf("RequestServerVersion %q", version)
	}
	if len(parts["Body"].inner) != 1 {
		return r, nil, errors.New("not one operation")
	}
	operation := parts["Body"].inner[0]
	if operation.name.Space != messages {
		return r, nil, fmt.Errorf("operation %v", operation.name)
	}
	r.Operation = operation.name.Local
	return r, operation, nil
}

func impersonated(h *node) (string, error) {
	parts, err := h.sequence(typesNS, "ConnectingSID")
	if err != nil {
		return "", err
	}
	who := parts["ConnectingSID"].inner
	if len(who) != 1 || who[0].name.Space != typesNS || who[0].name.Local != "SmtpAddress" && who[0].name.Local != "PrimarySmtpAddress" || who[0].text == "" {
		return "", errors.New("nobody is impersonated")
	}
	return who[0].text, nil
}

// availability is what a GetUserAvailabilityRequest asks for.
type availability struct {
	boxes       []string
	from, until time.Time
}

func readAvailability(n *node) (availability, error) {
	var q availability
	if len(n.inner) != 3 || n.inner[0].name != (xml.Name{Space: typesNS, Local: "TimeZone"}) || n.inner[1].name != (xml.Name{Space: messages, Local: "MailboxDataArray"}) ||
		n.inner[2].name != (xml.Name{Space: typesNS, Local: "FreeBusyViewOptions"}) {
		return q, errors.New("it wants TimeZone, MailboxDataArray, FreeBusyViewOptions")
	}
	if err := checkZone(n.inner[0]); err != nil {
		return q, err
	}
	for _, m := range n.inner[1].inner {
		if m.name != (xml.Name{Space: typesNS, Local: "MailboxData"}) {
			return q, fmt.Errorf("%v among mailboxes", m.name)
		}
		parts, err := m.sequence(typesNS, "Email", "AttendeeType", "ExcludeConflicts?")
		if err != nil {
			return q, err
		}
		email, err := parts["Email"].sequence(typesNS, "Name?", "Address", "RoutingType?")
		if err != nil {
			return q, err
		}
		if kind := parts["AttendeeType"].text; kind != "Required" || email["Address"].text == "" {
			return q, fmt.Errorf("AttendeeType %q of %q", kind, email["Address"].text)
		}
		q.boxes = append(q.boxes, email["Address"].text)
	}
	if len(q.boxes) == 0 {
		return q, errors.New("no mailbox")
	}
	options, err := n.inner[2].sequence(typesNS, "TimeWindow", "MergedFreeBusyIntervalInMinutes?", "RequestedView?")
	if err != nil {
		return q, err
	}
	window, err := options["TimeWindow"].sequence(typesNS, "StartTime", "EndTime")
	if err != nil {
		return q, err
	}
	var also error
	q.from, err = time.Parse("2006-01-02T15:04:05", window["StartTime"].text)
	q.until, also = time.Parse("2006-01-02T15:04:05", window["EndTime"].text)
	if err = errors.Join(err, also); err == nil && (!q.until.After(q.from) || q.until.Sub(q.from) > 42*24*time.Hour) {
		err = errors.New("ErrorTimeIntervalTooBig")
	}
	if minutes, bad := strconv.Atoi(options["MergedFreeBusyIntervalInMinutes"].text); bad != nil || minutes < 5 || minutes > 1440 {
		return q, errors.New("ErrorInvalidMergedFreeBusyInterval")
	}
	if view := options["RequestedView"].text; view != "FreeBusyMerged" {
		return q, fmt.Errorf("%q tells what nobody needs to know, or too little", view)
	}
	return q, err
}

// checkZone wants UTC, in the form of SerializableTimeZone.
func checkZone(n *node) error {
	zone, err := n.sequence(typesNS, "Bias", "StandardTime", "DaylightTime")
	if err != nil {
		return err
	}
	if zone["Bias"].text != "0" {
		return errors.New("not UTC")
	}
	for _, name := range []string{"StandardTime", "DaylightTime"} {
		change, err := zone[name].sequence(typesNS, "Bias", "Time", "DayOrder", "Month", "DayOfWeek", "Year?")
		if err != nil {
			return err
		}
		if change["Bias"].text != "0" || change["Time"].text != "02:00:00" || change["DayOfWeek"].text != "Sunday" {
			return fmt.Errorf("%s is no change of UTC", name)
		}
	}
	return nil
}
