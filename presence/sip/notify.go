package sip

import (
	"errors"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/deskline/deskline/presence"
)

// onNotify takes a notification of RFC 6665 §4.1.3.
func (s *Source) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	if from := source(req); !strings.EqualFold(req.Transport(), "udp") && !s.guard.take(from) {
		s.respond(tx, req, 503, "Too Many Requests", "Retry-After", "1")
		return
	}
	code, reason := s.subscriber.notify(req, time.Now())
	s.ring()
	if code == 489 {
		s.respond(tx, req, code, reason, "Allow-Events", allowEvents)
		return
	}
	s.respond(tx, req, code, reason)
}

// find returns the watch that a NOTIFY belongs to.
func (s *subscriber) find(req *sip.Request) *watch {
	id, to, from := req.CallID(), req.To(), req.From()
	if id == nil || to == nil || from == nil {
		return nil
	}
	w := s.calls[id.Value()]
	if w == nil || w.reset || to.Params.GetOr("tag", "") != w.tag {
		return nil
	}
	remote := from.Params.GetOr("tag", "")
	if w.remote == "" { // it may overtake the response to the SUBSCRIBE
		w.remote = remote
	}
	if remote != w.remote {
		return nil
	}
	return w
}

func (s *subscriber) notify(req *sip.Request, now time.Time) (code int, reason string) {
	seq := req.CSeq()
	if seq == nil {
		return 400, "No CSeq"
	}
	n := s.read(req)
	if n.code != 0 {
		return n.code, n.reason
	}
	w := s.enter(req, n)
	defer s.mu.Unlock()
	if w == nil {
		return 481, "Subscription Does Not Exist"
	}
	if seq.SeqNo <= w.remoteSeq && w.remoteSeq > 0 {
		if seq.SeqNo < w.remoteSeq { // of servers with several workers the last document may be an old one
			s.again(w)
		}
		return 500, "Old Request"
	}
	w.advance(seq.SeqNo)
	if c := req.Contact(); c != nil && w.contact.Host == "" {
		w.contact = *c.Address.Clone()
	}
	state, params, _ := strings.Cut(field(req, "Subscription-State"), ";")
	if left, ok := secondsParam(params, "expires"); ok {
		w.until = now.Add(left)
	} else if !w.until.After(now) {
		w.until = now.Add(w.expires)
	}
	if strings.EqualFold(strings.TrimSpace(state), "terminated") {
		s.terminated(w, params, now)
		return 200, "OK"
	}
	return s.document(w, n, now)
}

// notice is the body of a NOTIFY, read before anything is locked.
type notice struct {
	code   int // of the refusal, 0 = there is none
	reason string

	empty   bool
	listing bool // the server says that it tells of a list
	size    int
	list    *List // nil: of a line
	reading reading
	err     error
}

// read reads what a NOTIFY says, if it belongs to a subscription.
func (s *subscriber) read(req *sip.Request) notice {
	s.mu.Lock()
	w := s.find(req)
	s.mu.Unlock()
	if w == nil {
		return notice{code: 481, reason: "Subscription Does Not Exist"}
	}
	event, _, _ := strings.Cut(field(req, "Event", "o"), ";")
	if !strings.EqualFold(strings.TrimSpace(event), w.target.event) {
		return notice{code: 489, reason: "Bad Event"}
	}
	body, kind := req.Body(), field(req, "Content-Type", "c")
	n := notice{empty: len(body) == 0, size: len(body), listing: strings.Contains(strings.ToLower(field(req, "Require")), "eventlist")}
	if n.empty {
		return n
	}
	if w.list != nil && isList(kind) {
		list, err := ParseList(w.target.event, kind, body)
		n.list, n.err = &list, err
		return n
	}
	if n.reading, n.err = readDocument(w.target.event, kind, body); errors.Is(n.err, ErrType) && w.list == nil {
		return notice{code: 415, reason: "Unsupported Media Type"}
	}
	return n
}

// document puts what a NOTIFY says onto the board.
func (s *subscriber) document(w *watch, n notice, now time.Time) (code int, reason string) {
	if w.list != nil {
		return s.listed(w, n, now)
	}
	if n.empty { // nobody has told the server anything of the line
		s.put(w, presence.LineUnknown, now)
		return 200, "OK"
	}
	if n.err != nil {
		return s.malformed(w, n.err)
	}
	var state presence.Line
	var err error
	if n.reading.diff != nil {
		state, err = s.changed(w, *n.reading.diff)
	} else {
		s.forget(w)
		state, err = w.teller.take(n.reading)
	}
	switch {
	case errors.Is(err, ErrGap): // a refresh brings a full document
		s.again(w)
		return 200, "OK"
	case err != nil:
		return s.malformed(w, err)
	}
	s.put(w, state, now)
	return 200, "OK"
}

// malformed accepts the request all the same: an error would end the subscription,
// and the next document may be well. What was known stays until it expires.
func (s *subscriber) malformed(w *watch, err error) (code int, reason string) {
	s.source.log.Debug("document of a SIP server not understood", "server", w.target.server.String(), "line", w.line, "err", err)
	return 200, "OK"
}

func (s *subscriber) put(w *watch, state presence.Line, now time.Time) {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.board.put(w.line, w.origin, state, w.until, now)
}

// again has a line asked for at once.
func (s *subscriber) again(w *watch) {
	w.kicked = true
	select {
	case w.target.wake <- w:
	default: // it is asked for at its time
	}
}

// terminated takes the end of a subscription, RFC 6665 §4.1.3.
func (s *subscriber) terminated(w *watch, params string, now time.Time) {
	reason := ""
	for p := range strings.SplitSeq(params, ";") {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(strings.TrimSpace(k), "reason") {
			reason = strings.ToLower(strings.TrimSpace(v))
		}
	}
	w.reset = true
	switch reason {
	case "rejected", "noresource", "invariant": // nothing will be told
		if w.list != nil {
			s.unlist(w, "ended by the server: "+reason, now)
			return
		}
		s.put(w, presence.LineUnknown, now)
		return
	}
	if wait, ok := secondsParam(params, "retry-after"); ok && wait > 0 || reason == "probation" || reason == "giveup" {
		w.hold = now.Add(min(max(wait, time.Minute), time.Hour))
		if ok && wait > 0 {
			w.hold = now.Add(min(wait, time.Hour))
		}
	}
	s.again(w)
}

// secondsParam returns a parameter of seconds.
func secondsParam(params, name string) (time.Duration, bool) {
	for p := range strings.SplitSeq(params, ";") {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return secondsOf(v)
		}
	}
	return 0, false
}
