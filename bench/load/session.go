//go:build linux

package load

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/deskline/deskline/bench/wire"
)

// state is how far a session's sign-in is.
type state uint8

const (
	stateNew      state = iota
	stateCreating       // waits for the sid
	stateMechs          // … for the SASL features
	stateAuth           // … for the end of SASL
	stateBindable       // … for the features after the restart
	stateBinding
	stateRoster
	statePresence // waits for its own presence
	stateReady
	stateEnding
	stateGone
)

// session is one BOSH session as a state machine.
type session struct {
	f     *Fleet
	index int
	user  string
	jid   []byte // full JID, after binding
	sid   []byte
	rid   uint64 // of the next request
	state state
	conns []*conn
	turn  int // connection to prefer next, so that both stay in use

	pending []byte // stanzas to send
	restart bool   // the next request is the stream restart
	dirty   bool

	expect uint64            // request number whose response comes next
	early  map[uint64][]byte // responses that overtook others
	scram  *scram
	began  time.Time

	stream *Stream // whose receiver the session is
	seen   map[string]int
}

// send puts out what should go out now: payload whenever a connection is free,
// an empty poll only when no request is held.
func (s *session) send() {
	if s.state == stateGone || s.state == stateNew {
		return
	}
	busy, free := 0, -1
	for i := range s.conns {
		at := (s.turn + i) % len(s.conns)
		if s.conns[at].rid != 0 {
			busy++
		} else if free < 0 {
			free = at
		}
	}
	if free < 0 || busy > 0 && len(s.pending) == 0 && !s.restart {
		return
	}
	c := s.conns[free]
	s.turn = free + 1
	c.out = s.f.appendRequest(c.out[:0], s)
	s.pending, s.restart = s.pending[:0], false
	rid := s.rid
	s.rid++
	c.start(rid)
}

// queue adds stanzas to the next request.
func (s *session) queue(stanzas ...string) {
	for _, st := range stanzas {
		s.pending = append(s.pending, st...)
	}
	s.f.loop.mark(s)
}

func (s *session) fail(err error) {
	if s.state == stateGone {
		return
	}
	if s.state != stateEnding {
		s.f.failed(s, fmt.Errorf("session of %s in state %d: %w", s.user, s.state, err))
	}
	s.gone()
}

func (s *session) gone() {
	s.state = stateGone
	for _, c := range s.conns {
		c.rid = 0
		c.close()
	}
}

// response takes the answer to request rid. Answers are handled in the order of
// the requests (XEP-0124 §14.2), whichever connection was quicker.
func (s *session) response(rid uint64, resp wire.Response) {
	if resp.Status != 200 {
		s.fail(fmt.Errorf("HTTP status %d", resp.Status))
		return
	}
	s.f.loop.mark(s) // a connection is free, perhaps nothing is held
	if rid != s.expect {
		s.early[rid] = bytes.Clone(resp.Body)
		s.f.Overtaken++
		return
	}
	s.body(resp.Body)
	for s.expect++; len(s.early) > 0; s.expect++ {
		b, ok := s.early[s.expect]
		if !ok {
			return
		}
		delete(s.early, s.expect)
		s.body(b)
	}
}

func (s *session) body(b []byte) {
	tag := wire.StartTag(b)
	if tag == nil {
		s.fail(errors.New("response without a body element"))
		return
	}
	if s.state == stateCreating {
		s.created(tag, b)
	}
	for rest := wire.Inner(b); len(rest) > 0; {
		el, next, ok := wire.Next(rest)
		if !ok {
			break
		}
		s.element(el)
		rest = next
	}
	if bytes.Equal(wire.Attr(tag, "type"), []byte("terminate")) {
		s.fail(fmt.Errorf("ended by the server: %s", wire.Attr(tag, "condition")))
	}
}

func (s *session) created(tag, b []byte) {
	if sid := wire.Attr(tag, "sid"); sid != nil {
		s.sid = bytes.Clone(sid)
		s.state = stateMechs
	}
	if s.f.cfg.Relay {
		el, _, _ := wire.Next(wire.Inner(b))
		s.sid, s.jid = bytes.Clone(el.Text()), []byte(s.user+"@"+s.f.cfg.Domain)
		s.ready()
	}
}

func (s *session) element(el wire.Element) {
	name := el.Name
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	switch string(name) {
	case "message":
		s.f.message(s, el)
	case "presence":
		s.presence(el)
	case "iq":
		s.iq(el)
	case "features":
		s.features(el)
	case "challenge":
		answer, err := s.scram.respond(el.Text(), s.f.salts)
		if err != nil {
			s.fail(err)
			return
		}
		s.queue("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>", answer, "</response>")
	case "success":
		s.state, s.restart = stateBindable, true
	case "failure", "error":
		s.fail(fmt.Errorf("server says %s", el.Raw))
	}
}

func (s *session) features(el wire.Element) {
	switch {
	case s.state == stateMechs:
		s.state = stateAuth
		s.queue("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='", s.f.cfg.Mech, "'>", s.initial(), "</auth>")
	case s.state == stateBindable && bytes.Contains(el.Raw, []byte("xmpp-bind")):
		s.state = stateBinding
		s.queue("<iq xmlns='jabber:client' id='b' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
	}
}

func (s *session) initial() string {
	if s.f.cfg.Mech == "PLAIN" {
		return base64.StdEncoding.EncodeToString([]byte("\x00" + s.user + "\x00" + s.f.cfg.Password))
	}
	s.scram = newScram(s.f.cfg.Mech, s.user, s.f.cfg.Password)
	return s.scram.first()
}

func (s *session) iq(el wire.Element) {
	id, result := string(el.Attr("id")), bytes.Equal(el.Attr("type"), []byte("result"))
	switch {
	case id == pingID && result:
		s.f.back++
	case bytes.Equal(el.Attr("type"), []byte("get")): // a ping
		s.queue("<iq xmlns='jabber:client' type='result' id='", id, "' to='", string(el.Attr("from")), "'/>")
	case s.state == stateBinding && id == "b" && result:
		if open := bytes.Index(el.Raw, []byte("<jid>")); open >= 0 {
			end := bytes.Index(el.Raw, []byte("</jid>"))
			s.jid = bytes.Clone(el.Raw[open+5 : max(end, open+5)])
		}
		s.state = stateRoster
		s.queue("<iq xmlns='jabber:client' id='r' type='get'><query xmlns='jabber:iq:roster'/></iq>")
	case s.state == stateRoster && id == "r" && result:
		s.state = statePresence
		s.queue("<presence xmlns='jabber:client'/>")
	case bytes.Equal(el.Attr("type"), []byte("error")):
		s.fail(fmt.Errorf("server says %s", el.Raw))
	}
}

// presence counts available presence of contacts and waits for its own.
func (s *session) presence(el wire.Element) {
	from := el.Attr("from")
	if el.Attr("type") != nil {
		return
	}
	if bytes.Equal(from, s.jid) {
		if s.state == statePresence {
			s.ready()
		}
		return
	}
	if s.f.fan != nil {
		s.f.fan.presence(s, el)
	}
	if s.seen != nil {
		if i := bytes.IndexByte(from, '/'); i >= 0 {
			from = from[:i]
		}
		s.seen[string(from)]++
		s.f.presences(s, s.seen[string(from)] == 1)
	}
}

func (s *session) ready() {
	s.state = stateReady
	s.f.signedIn(s)
}

// end says goodbye; the answer closes the session.
func (s *session) end() {
	if s.state != stateReady {
		s.gone()
		return
	}
	s.state = stateEnding
	if s.f.cfg.Relay {
		s.queue(" ")
		return
	}
	s.queue("<presence xmlns='jabber:client' type='unavailable'/>")
}

const bodyOpen = "<body xmlns='http://jabber.org/protocol/httpbind' rid='"

// appendRequest builds the HTTP request for what s has to send.
func (f *Fleet) appendRequest(dst []byte, s *session) []byte {
	b := append(f.scratch[:0], bodyOpen...)
	b = strconv.AppendUint(b, s.rid, 10)
	b = append(b, '\'')
	if s.state == stateCreating {
		b = append(b, f.creation...)
		b = append(b, s.user...)
		b = append(b, '@')
		b = append(b, f.cfg.Domain...)
		b = append(b, "'/>"...)
		f.scratch = b
		return f.appendHTTP(dst, b)
	}
	b = append(append(append(b, " sid='"...), s.sid...), '\'')
	if s.state == stateEnding {
		b = append(b, " type='terminate'"...)
	}
	if s.restart {
		b = append(b, " xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh' xml:lang='en' to='"...)
		b = append(append(b, f.cfg.Domain...), '\'')
	}
	if len(s.pending) == 0 {
		b = append(b, "/>"...)
	} else {
		b = append(append(append(b, '>'), s.pending...), "</body>"...)
	}
	f.scratch = b
	return f.appendHTTP(dst, b)
}

func (f *Fleet) appendHTTP(dst, body []byte) []byte {
	dst = append(dst, f.head...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	return append(append(dst, "\r\n\r\n"...), body...)
}
