package sip

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

const (
	allow       = "PUBLISH, NOTIFY, OPTIONS"
	allowEvents = eventPresence + ", " + eventDialog
	accept      = typePIDF + ", " + typeDialog
)

// parser reads messages of the usual size, larger ones where there are lists. Its bound
// is for all connections alike, so there are fewer of strangers then.
func (s *Source) parser() *sip.Parser {
	parser := sip.NewParser()
	if s.cfg.lists() {
		parser.MaxMessageLength = MaxList + MaxBody
		s.guard.strangersMost = strangersList
	}
	return parser
}

// lists reports whether any are subscribed to.
func (c *Config) lists() bool {
	return slices.ContainsFunc(c.Subscribe, func(one Subscription) bool { return len(one.Lists) > 0 || one.LinesTo != "" })
}

func (s *Source) server() (*sipgo.Server, error) {
	server, err := sipgo.NewServer(s.ua)
	if err != nil {
		return nil, err
	}
	server.OnRequest(sip.PUBLISH, s.onPublish)
	server.OnRequest(sip.OPTIONS, s.onOptions)
	server.OnRequest(sip.NOTIFY, s.onNotify)
	server.OnNoRoute(func(req *sip.Request, tx sip.ServerTransaction) {
		if req.Method != sip.ACK { // which is never answered
			s.respond(tx, req, 405, "Method Not Allowed", "Allow", allow)
		}
	})
	return server, nil
}

// respond answers; headers are names and values in turns.
func (s *Source) respond(tx sip.ServerTransaction, req *sip.Request, code int, reason string, headers ...string) {
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		res.AppendHeader(sip.NewHeader(headers[i], headers[i+1]))
	}
	if err := tx.Respond(res); err != nil {
		s.log.Debug("SIP response not sent", "addr", req.Source(), "code", code, "err", err)
	}
}

func source(req *sip.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(req.Source())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// field returns the value of a header by its name or short form, "" if there is none.
func field(req *sip.Request, names ...string) string {
	for _, n := range names {
		if h := req.GetHeader(n); h != nil {
			return strings.TrimSpace(h.Value())
		}
	}
	return ""
}

func (s *Source) onOptions(req *sip.Request, tx sip.ServerTransaction) {
	s.respond(tx, req, 200, "OK", "Allow", allow, "Allow-Events", allowEvents, "Accept", accept, "Supported", "")
}

func (s *Source) onPublish(req *sip.Request, tx sip.ServerTransaction) {
	by, ok := s.admits(req, tx)
	if !ok {
		return
	}
	if require := field(req, "Require"); require != "" {
		s.respond(tx, req, 420, "Bad Extension", "Unsupported", require)
		return
	}
	resource, err := Normalise(req.Recipient.String())
	if err != nil || !s.serves(req.Recipient.Host) {
		s.respond(tx, req, 404, "Not Found")
		return
	}
	event, _, _ := strings.Cut(field(req, "Event", "o"), ";")
	p := publish{
		event: strings.ToLower(strings.TrimSpace(event)), contentType: field(req, "Content-Type", "c"), encoding: field(req, "Content-Encoding", "e"),
		by: by, resource: resource, ifMatch: field(req, "SIP-If-Match"), expires: -1, body: req.Body(),
	}
	if text := field(req, "Expires"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 32) // RFC 3261 §20.19
		if err != nil {
			s.respond(tx, req, 400, "Malformed Expires")
			return
		}
		p.expires = time.Duration(seconds) * time.Second
	}
	if len(p.body) > 0 {
		p.parse(s.choose)
	}
	s.mu.Lock()
	a := s.pubs.handle(p, time.Now())
	s.mu.Unlock()
	s.ring()
	s.respond(tx, req, a.code, a.reason, s.headers(a, p.event)...)
	if a.code != 200 {
		s.log.Debug("publication refused", "addr", req.Source(), "code", a.code, "reason", a.reason)
	}
}

func (s *Source) headers(a answer, event string) []string {
	switch a.code {
	case 200:
		return []string{"SIP-ETag", a.etag, "Expires", seconds(a.expires)}
	case 415:
		return []string{"Accept", typeOf[event]}
	case 423:
		return []string{"Min-Expires", seconds(s.Config().MinExpires)}
	case 489:
		return []string{"Allow-Events", allowEvents}
	case 503:
		return []string{"Retry-After", "30"}
	}
	return nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func (s *Source) serves(host string) bool {
	domains := s.Config().Domains
	return len(domains) == 0 || slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, host) })
}

// admits checks who publishes, and answers itself if not everything is right.
func (s *Source) admits(req *sip.Request, tx sip.ServerTransaction) (by publisher, ok bool) {
	from := source(req)
	by = publisher{addr: from, host: req.Recipient.Host}
	// Datagrams were counted before they were read.
	if !strings.EqualFold(req.Transport(), "udp") && !s.guard.take(from) {
		s.respond(tx, req, 503, "Too Many Requests", "Retry-After", "1")
		return by, false
	}
	if s.guard.trusts(from) {
		return by, true
	}
	if len(s.Config().Users) == 0 {
		s.respond(tx, req, 403, "Forbidden")
		return by, false
	}
	stale := false
	for _, h := range req.GetHeaders("Authorization") {
		var ok, old bool
		if ok, old = s.gate.check(h.Value(), req.Method.String(), req.Recipient.String()); ok {
			by.user = userOf(h.Value())
			return by, true
		}
		stale = stale || old
	}
	var headers []string
	for _, c := range s.gate.challenges(stale) {
		headers = append(headers, "WWW-Authenticate", c)
	}
	s.respond(tx, req, 401, "Unauthorized", headers...)
	return by, false
}
