// Package exchangetest stands in for an Exchange server in tests, where none can be
// had. It is as strict as the published schemas of Exchange Web Services: what such a
// server would refuse fails the test. Sign-in is by NTLM with a real challenge, Basic
// or a bearer token.
package exchangetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Name and password of the one account that may sign in.
const (
	Domain   = "EXAMPLE"
	User     = "presence"
	Password = "S3cret pass"
)

// Event is in the calendar of a mailbox.
type Event struct {
	From, Until time.Time
	Busy        string
}

// Server answers as Exchange does. Fields are set with Do.
type Server struct {
	*httptest.Server
	t testing.TB

	mu              sync.Mutex
	Schemes         []string           // offered for sign-in: NTLM, Negotiate, Basic, Bearer
	Token           string             // the bearer token that counts
	Binding         bool               // NTLM only with a channel binding of this server's TLS
	Mailboxes       map[string][]Event // by address in lower case; all others are not found
	NoAccess        map[string]bool    // of which nothing may be seen
	MergedOnly      map[string]string  // of which there is no more than this
	Fault           string             // the code of a fault that answers all
	BackOff         int                // its BackOffMilliseconds
	Requests        []Request          // that were carried out
	SignIns         int                // NTLM handshakes that succeeded
	Refused         int
	Status          int // answers all, if set
	NoImpersonation bool
	Hang            bool              // answers nothing
	Grouping        map[string]string // what Autodiscover says of mailboxes; nil = it is not there
	conns           map[net.Conn]*signIn
	subs            map[string]*subscription
	ended           chan struct{}
	serial          int
}

// Request is what was asked for.
type Request struct {
	Operation string
	As        string // who was impersonated
	Anchor    string // X-AnchorMailbox
	Cookie    string
	Mailboxes []string
}

type connKey struct{}

// Start runs a server until the test ends, with TLS or without.
func Start(t testing.TB, secure bool) *Server {
	t.Helper()
	s := &Server{
		t: t, Schemes: []string{"Negotiate", "NTLM"}, Mailboxes: map[string][]Event{}, NoAccess: map[string]bool{}, MergedOnly: map[string]string{},
		conns: map[net.Conn]*signIn{}, subs: map[string]*subscription{}, ended: make(chan struct{}),
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			s.Do(func() { delete(s.conns, c) })
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Server.Start()
	}
	t.Cleanup(func() {
		close(s.ended)
		s.Close()
	})
	return s
}

// Address is where the service is.
func (s *Server) Address() string { return s.URL + "/EWS/Exchange.asmx" }

// Do changes or looks at the server.
func (s *Server) Do(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// Take returns the requests since the last time.
func (s *Server) Take() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.Requests
	s.Requests = nil
	return list
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 400<<10+1))
	if err != nil {
		return
	}
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	s.mu.Lock()
	challenge, ok := s.signedIn(conn, r)
	status, fault, hang := s.Status, s.Fault, s.Hang
	s.mu.Unlock()
	if hang {
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
		return
	}
	if !ok {
		for _, value := range challenge {
			w.Header().Add("WWW-Authenticate", value)
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "<html>"+strings.Repeat("401 - You are not signed in. ", 60)) // as IIS says
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if r.URL.Path == "/autodiscover/autodiscover.svc" {
		s.discover(w, string(text))
		return
	}
	if r.URL.Path != "/EWS/Exchange.asmx" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "text/xml; charset=utf-8" || len(text) > 400<<10 {
		s.t.Errorf("%s %s, %s, %d bytes", r.Method, r.URL, r.Header.Get("Content-Type"), len(text))
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	request, operation, err := readEnvelope(string(text))
	if err != nil {
		s.t.Errorf("the schema forbids it: %v\n%s", err, text)
		s.fault(w, "ErrorSchemaValidation")
		return
	}
	request.Anchor = r.Header.Get("X-AnchorMailbox")
	if c, err := r.Cookie("X-BackEndOverrideCookie"); err == nil {
		request.Cookie = c.Value
	}
	if fault != "" {
		s.fault(w, fault)
		return
	}
	switch operation.name.Local {
	case "GetUserAvailabilityRequest":
		s.availability(w, request, operation)
	case "Subscribe":
		s.subscribe(w, request, operation)
	case "GetStreamingEvents":
		s.stream(w, r, request, operation)
	default:
		s.t.Errorf("operation %s", operation.name.Local)
	}
}

const head = `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>` +
	`<h:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="6" Version="V2017_07_11" xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"/></s:Header>` +
	`<s:Body xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">`

const foot = `</s:Body></s:Envelope>`

// fault answers as Exchange does when it can carry out nothing of a request.
func (s *Server) fault(w http.ResponseWriter, code string) {
	values := ""
	s.Do(func() {
		if s.BackOff > 0 {
			values = fmt.Sprintf(`<t:MessageXml xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><t:Value Name="BackOffMilliseconds">%d</t:Value></t:MessageXml>`, s.BackOff)
		}
	})
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>`+
		`<faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:%s</faultcode><faultstring xml:lang="en-US">It went wrong.</faultstring>`+
		`<detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">%s</e:ResponseCode>`+
		`<e:Message xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">It went wrong.</e:Message>%s</detail></s:Fault></s:Body></s:Envelope>`, code, code, values)
}

// availability is GetUserAvailability.
func (s *Server) availability(w http.ResponseWriter, request Request, operation *node) {
	q, err := readAvailability(operation)
	if err != nil {
		s.t.Errorf("the schema forbids it: %v", err)
		s.fault(w, "ErrorSchemaValidation")
		return
	}
	if len(q.boxes) > 100 {
		s.fault(w, "ErrorMailboxDataArrayTooBig")
		return
	}
	request.Mailboxes = q.boxes
	s.mu.Lock()
	s.Requests = append(s.Requests, request)
	var b strings.Builder
	for _, box := range q.boxes {
		s.response(&b, strings.ToLower(box), q)
	}
	s.mu.Unlock()
	_, _ = io.WriteString(w, head+`<GetUserAvailabilityResponse xmlns="http://schemas.microsoft.com/exchange/services/2006/messages"><FreeBusyResponseArray>`+
		b.String()+`</FreeBusyResponseArray></GetUserAvailabilityResponse>`+foot)
}

const types = ` xmlns="http://schemas.microsoft.com/exchange/services/2006/types"`

func (s *Server) response(b *strings.Builder, box string, q availability) {
	events, ok := s.Mailboxes[box]
	merged, only := s.MergedOnly[box]
	if !ok && !only {
		fmt.Fprintf(b, `<FreeBusyResponse><ResponseMessage ResponseClass="Error"><MessageText>Unable to resolve e-mail address %s to an Active Directory object.</MessageText>`+
			`<ResponseCode>ErrorMailRecipientNotFound</ResponseCode><DescriptiveLinkKey>0</DescriptiveLinkKey><MessageXml><ExceptionType%s>Microsoft.Exchange.InfoWorker.Common.Availability.MailRecipientNotFoundException</ExceptionType></MessageXml>`+
			`</ResponseMessage><FreeBusyView><FreeBusyViewType%s>None</FreeBusyViewType></FreeBusyView></FreeBusyResponse>`, box, types, types)
		return
	}
	b.WriteString(`<FreeBusyResponse><ResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode></ResponseMessage><FreeBusyView>`)
	switch {
	case s.NoAccess[box]:
		fmt.Fprintf(b, `<FreeBusyViewType%s>None</FreeBusyViewType>`, types)
	case only:
		fmt.Fprintf(b, `<FreeBusyViewType%s>MergedOnly</FreeBusyViewType><MergedFreeBusy%s>%s</MergedFreeBusy>`, types, types, merged)
	default:
		fmt.Fprintf(b, `<FreeBusyViewType%s>FreeBusyMerged</FreeBusyViewType><MergedFreeBusy%s>0000</MergedFreeBusy>`, types, types)
		inside := slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return !e.Until.After(q.from) || !e.From.Before(q.until) })
		if len(inside) > 0 { // else Exchange leaves it out
			fmt.Fprintf(b, `<CalendarEventArray%s>`, types)
			for _, e := range inside {
				fmt.Fprintf(b, `<CalendarEvent><StartTime>%s</StartTime><EndTime>%s</EndTime><BusyType>%s</BusyType></CalendarEvent>`,
					e.From.UTC().Format("2006-01-02T15:04:05"), e.Until.UTC().Format("2006-01-02T15:04:05"), e.Busy)
			}
			b.WriteString(`</CalendarEventArray>`)
		}
		fmt.Fprintf(b, `<WorkingHours%s><TimeZone><Bias>480</Bias></TimeZone></WorkingHours>`, types)
	}
	b.WriteString(`</FreeBusyView></FreeBusyResponse>`)
}
