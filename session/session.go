package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// phase is how far a session has come.
type phase uint8

const (
	opened        phase = iota // features with SASL were offered
	authenticated              // success was sent; the stream restarts
	restarted                  // features with binding were offered
	bound
)

// Session is one client. The door calls Receive, Restart and Features one at a
// time; everything else is safe for concurrent use.
type Session struct {
	m      *Manager
	conn   Conn
	sid    router.SID
	domain jid.JID
	lang   string
	from   jid.JID // who the client says to be, before it signs in

	interest router.Interest
	heard    atomic.Int64 // Unix time of the last sign of life
	pinged   atomic.Int64 // Unix time of the unanswered ping, 0 if none
	until    atomic.Int64 // Unix time of its end, 0 if there is none
	closing  atomic.Bool  // End was called, nothing more is received
	ended    atomic.Bool

	// Only the door's calls touch these.
	exchange sasl.Exchange
	mech     string
	failures int
	received uint64 // stanzas, of a transport that does not number what it carries

	mu    sync.Mutex // guards what follows
	phase phase
	jid   jid.JID // bare once authenticated, full once bound
	gen   uint64
	// entered is the address under which the keeper may know the session, also
	// if binding it failed.
	entered jid.JID
	late    []Frame // came after the transport had ended
	closed  bool    // late was rerouted
}

// SID returns the session's id.
func (s *Session) SID() router.SID { return s.sid }

// JID returns the full JID once bound, the bare JID once authenticated, and
// the zero JID before.
func (s *Session) JID() jid.JID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jid
}

// Authenticated reports whether the client has proven who it is.
func (s *Session) Authenticated() bool { return s.at() >= authenticated }

// Bound reports whether a resource is bound.
func (s *Session) Bound() bool { return s.at() == bound }

// Interest returns what the session asked to be told of.
func (s *Session) Interest() *router.Interest { return &s.interest }

// Domain returns the domain the client logs in to.
func (s *Session) Domain() jid.JID { return s.domain }

func (s *Session) at() phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// Features encodes the features of the present phase (RFC 6120 §4.3.2). The
// element declares the stream prefix itself.
func (s *Session) Features() []byte {
	out := []byte("<stream:features xmlns:stream='" + stream.NS + "'>")
	if s.at() == opened {
		out = append(out, "<mechanisms xmlns='"+stream.NSSASL+"'>"...)
		for _, mech := range s.m.cfg.Auth.Mechanisms(s.domain.Domain(), s.channel()) {
			out = append(append(append(out, "<mechanism>"...), mech...), "</mechanism>"...)
		}
		if s.m.cfg.Hints != nil && !s.from.IsZero() {
			out = s.m.cfg.Hints.AppendHints(out, s.from)
		}
		out = append(out, "</mechanisms>"...)
	} else {
		out = append(out, "<bind xmlns='"+stream.NSBind+"'/><session xmlns='"+stream.NSSession+"'><optional/></session>"...)
		out = append(out, s.m.cfg.Features...)
	}
	return append(out, "</stream:features>"...)
}

// Restart begins the stream anew after authentication (RFC 6120 §6.4.6). The
// door sends Features next.
func (s *Session) Restart(_ context.Context, o Opening) error {
	if o.To != "" {
		if d, ok := s.m.domain(o.To); !ok || d != s.domain {
			return stream.NewError(stream.HostUnknown, "")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == authenticated {
		s.phase = restarted
	}
	return nil
}

// Receive handles one element of the client. What it answers goes through the
// Conn. When it returns, all that the element caused is safe. The error is a
// *stream.Error, with which the door ends the session.
func (s *Session) Receive(ctx context.Context, n *stanza.Node) error {
	if s.closing.Load() || s.ended.Load() {
		return stream.NewError(stream.Reset, "session has ended")
	}
	now := time.Now()
	s.heard.Store(now.Unix())
	s.pinged.Store(0)
	if n.Name.Space == stream.NSSASL {
		return s.authenticate(ctx, n)
	}
	st, err := n.Stanza()
	var syntax *stanza.SyntaxError
	if errors.As(err, &syntax) {
		return stream.FromSyntax(syntax)
	}
	switch s.at() {
	case opened:
		return stream.NewError(stream.NotAuthorized, "a stanza came before authentication")
	case bound:
		if s.m.cfg.Keeper != nil && router.OriginOf(ctx) == nil {
			s.received++
			ctx = router.WithOrigin(ctx, s.sid, s.received)
		}
		st.Arrived = now
		return s.stanza(ctx, st, err)
	}
	return s.bind(ctx, st)
}

// stanza takes a stanza of a bound client; malformed is what is wrong with it.
func (s *Session) stanza(ctx context.Context, st *stanza.Stanza, malformed error) error {
	s.m.cfg.Metrics.Received(st.Kind)
	full := s.JID()
	// RFC 6120 §8.1.2.1: a from of somebody else is no mistake one makes.
	if !st.From.IsZero() && st.From != full && st.From != full.Bare() {
		return stream.NewError(stream.InvalidFrom, "")
	}
	st.From = full
	var e *stanza.Error
	if errors.As(malformed, &e) {
		st.To = jid.JID{}
		s.reply(st.ErrorReply(e))
		return nil
	}
	if st.Kind == stanza.KindIQ {
		if e := checkIQ(st); e != nil {
			s.reply(st.ErrorReply(e))
			return nil
		}
	}
	if err := s.handle(ctx, st); err != nil {
		s.m.cfg.Log.WarnContext(ctx, "stanza", "sid", s.sid.Ref(), "jid", full.String(), "kind", st.Kind.String(), "err", err)
	}
	return nil
}

// checkIQ holds an IQ against RFC 6120 §8.2.3.
func checkIQ(st *stanza.Stanza) *stanza.Error {
	switch st.Type {
	case "get", "set":
		if len(st.Children) != 1 {
			return stanza.ErrBadRequest("a request has exactly one child element")
		}
	case "result", "error":
	default:
		return stanza.ErrBadRequest("type must be get, set, result or error")
	}
	if st.ID == "" {
		return stanza.ErrBadRequest("an IQ must have an id")
	}
	return nil
}

func (s *Session) reply(st *stanza.Stanza) {
	if st != nil {
		_ = s.send(Frame{Bytes: st.AppendXML(nil)})
	}
}

// End closes the session with a stream error. What the client has sent and was
// not looked at yet is not received any more: the resource may be another's.
func (s *Session) End(condition, reason string) {
	s.closing.Store(true)
	_ = s.conn.Close(stream.NewError(condition, reason))
}

// Redirect ends the session and tells the client to sign in at another address,
// if there is one.
func (s *Session) Redirect(address, reason string) {
	s.closing.Store(true)
	e := &stream.Error{Condition: stream.SeeOtherHost, Detail: address, Text: reason}
	if address == "" {
		e = stream.NewError(stream.SystemShutdown, reason)
	}
	_ = s.conn.Close(e)
}

// Moves reports whether the session can go on at another node.
func (s *Session) Moves() bool { return s.conn.Info().Moves }

// Transport names the door.
func (s *Session) Transport() string { return s.conn.Info().Transport }

// Ended is called by the door once the transport is gone for good, whatever the
// reason; only the first call counts. Messages among the undelivered find
// another resource or are kept, in their order.
func (s *Session) Ended(ctx context.Context, reason string, undelivered []Frame) {
	if !s.ended.CompareAndSwap(false, true) {
		return
	}
	s.m.leave(s)
	full, gen, was := s.release()
	info := s.conn.Info()
	s.m.cfg.Metrics.Ended(info.Transport, reason)
	s.m.cfg.Log.InfoContext(ctx, "session ended", "sid", s.sid.Ref(), "jid", full.String(), "reason", reason, "transport", info.Transport, "undelivered", len(undelivered))
	if !was {
		if entered := s.wasEntered(); !entered.IsZero() {
			s.unenter(ctx, entered)
		}
		return
	}
	// What the session leaves behind is safe where it is, in the mailbox and
	// written down, until it can be put elsewhere.
	s.await(ctx)
	if s.m.cfg.Keeper != nil {
		ctx = router.WithOrigin(ctx, router.NewSID(), 1) // so that all of it may be done again
	}
	var b router.Binding
	s.m.cfg.Router.Reroute(ctx, full.Bare(), func(ctx context.Context) {
		s.m.cfg.Router.Table().Remove(s)
		b = s.unbind(ctx, full, gen)
		s.reroute(ctx, full, undelivered)
		s.reroute(ctx, full, s.closeLate())
	})
	if s.m.cfg.Observer != nil {
		s.m.cfg.Observer.SessionEnded(ctx, b, &s.interest)
	}
	s.drop(ctx)
}

func (s *Session) reroute(ctx context.Context, full jid.JID, frames []Frame) {
	for _, f := range frames {
		if f.Stanza == nil {
			continue
		}
		if err := s.surely(ctx, func() error {
			router.OriginOf(ctx).Again()
			return s.m.cfg.Router.Undelivered(ctx, f.Stanza, full.Bare())
		}); err != nil {
			s.m.cfg.Log.WarnContext(ctx, "undelivered stanza", "jid", full.String(), "err", err)
		}
		router.OriginOf(ctx).Next()
	}
}

func (s *Session) release() (full jid.JID, gen uint64, wasBound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jid, s.gen, s.phase == bound
}

// unbind takes the resource out of the registry and returns its last state.
func (s *Session) unbind(ctx context.Context, full jid.JID, gen uint64) router.Binding {
	last := router.Binding{Full: full, SID: s.sid, Node: s.m.cfg.Node, Gen: gen}
	reg := s.m.cfg.Router.Registry()
	err := s.surely(ctx, func() error {
		list, err := reg.Lookup(ctx, full.Bare())
		for _, b := range list {
			if b.Full == full && b.Gen == gen {
				last = b
			}
		}
		return errors.Join(err, reg.Unbind(ctx, full, gen))
	})
	if err != nil {
		s.m.cfg.Log.ErrorContext(ctx, "unbind", "jid", full.String(), "err", err)
	}
	return last
}

// watch asks a silent client for a sign of life and ends the session of one
// that gives none, or whose time is up.
func (s *Session) watch(now time.Time) {
	if s.at() != bound {
		return
	}
	if until := s.until.Load(); until != 0 && now.Unix() >= until {
		s.End(stream.NotAuthorized, "the token that signed it in has expired")
		return
	}
	if at := s.pinged.Load(); at != 0 {
		if now.Unix()-at >= int64(s.m.cfg.PingWait/time.Second) {
			s.End(stream.ConnectionTimeout, "no answer to a ping")
		}
		return
	}
	if now.Unix()-s.heard.Load() < int64(s.m.cfg.PingAfter/time.Second) {
		return
	}
	s.pinged.Store(now.Unix())
	ping := stanza.New(stanza.KindIQ, "get", []byte("<ping xmlns='urn:xmpp:ping'/>"))
	ping.From, ping.To, ping.ID = s.domain, s.JID(), "ping-"+s.sid.Ref()
	_ = s.send(Frame{Bytes: ping.AppendXML(nil)})
}
