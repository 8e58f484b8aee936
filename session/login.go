package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// maxFailures is how often a client may fail on one stream (RFC 6120 §6.4.4
// asks for two to five).
const maxFailures = 5

func (s *Session) channel() sasl.Channel {
	info := s.conn.Info()
	return sasl.Channel{Secure: info.Secure, Remote: info.Remote.Addr()}
}

// authenticate takes one SASL element (RFC 6120 §6).
func (s *Session) authenticate(ctx context.Context, n *stanza.Node) error {
	if s.at() != opened {
		return stream.NewError(stream.NotAuthorized, "already authenticated")
	}
	var input []byte
	var err error
	switch n.Name.Local {
	case "auth":
		s.mech = n.Attr("mechanism")
		if input, err = sasl.DecodeInitial(n.Text()); err == nil {
			s.exchange, err = s.m.cfg.Auth.Begin(ctx, s.mech, s.domain.Domain(), s.channel())
		}
	case "response":
		if s.exchange == nil {
			return stream.NewError(stream.NotAuthorized, "response without an exchange")
		}
		input, err = sasl.Decode(n.Text())
	case "abort":
		err = sasl.NewFailure("aborted", "")
	default:
		return stream.NewError(stream.UnsupportedStanzaType, "")
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	out, done, err := s.exchange.Step(ctx, input)
	if err != nil {
		return s.failed(ctx, err)
	}
	if !done {
		return s.sendSASL("challenge", out, true)
	}
	account := s.exchange.Identity()
	if admit := s.m.cfg.Admit; admit != nil {
		if f := admit(ctx, account); f != nil {
			return s.failed(ctx, f)
		}
	}
	s.mu.Lock()
	s.phase, s.jid = authenticated, account
	s.mu.Unlock()
	if l, ok := s.exchange.(sasl.Limited); ok && !l.Until().IsZero() {
		s.until.Store(l.Until().Unix())
	}
	s.exchange = nil
	s.m.cfg.Metrics.Login(s.mech, "success")
	return s.sendSASL("success", out, false)
}

func (s *Session) sendSASL(name string, data []byte, always bool) error {
	out := []byte("<" + name + " xmlns='" + stream.NSSASL + "'")
	if data == nil && !always {
		out = append(out, "/>"...)
	} else {
		out = append(append(append(out, '>'), sasl.Encode(data)...), "</"+name+">"...)
	}
	return s.plain(out)
}

// plain sends an element that is no stanza.
func (s *Session) plain(out []byte) error {
	if err := s.send(Frame{Bytes: out}); err != nil {
		return stream.NewError(stream.ResourceConstraint, "")
	}
	return nil
}

func (s *Session) failed(ctx context.Context, err error) error {
	s.exchange = nil
	var f *sasl.Failure
	if !errors.As(err, &f) {
		s.m.cfg.Log.ErrorContext(ctx, "authentication", "sid", s.sid.Ref(), "err", err)
		f = sasl.NewFailure("temporary-auth-failure", "")
	}
	s.m.cfg.Metrics.Login(s.mech, f.Condition)
	s.m.cfg.Log.InfoContext(ctx, "login refused", "sid", s.sid.Ref(), "remote", s.conn.Info().Remote.Addr().String(), "mechanism", s.mech, "condition", f.Condition, "err", f.Cause)
	if err := s.plain(f.AppendXML(nil)); err != nil {
		return err
	}
	if s.failures++; s.failures >= maxFailures {
		return stream.NewError(stream.PolicyViolation, "too many failed logins")
	}
	return nil
}

// bind handles what an authenticated client may send before it is bound: the
// request to bind (RFC 6120 §7).
func (s *Session) bind(ctx context.Context, st *stanza.Stanza) error {
	c, ok := st.Child(stream.NSBind, "bind")
	if st.Kind != stanza.KindIQ || st.Type != "set" || !ok {
		return stream.NewError(stream.NotAuthorized, "a stanza came before a resource was bound")
	}
	el, err := st.Element(c)
	if err != nil {
		return stream.NewError(stream.NotWellFormed, "")
	}
	resource := ""
	if r := el.SelectElement("resource"); r != nil {
		resource = r.Text()
	}
	if resource == "" {
		resource = rand.Text()[:16]
	}
	full, err := s.JID().WithResource(resource)
	if err != nil {
		s.reply(&stanza.Stanza{Kind: stanza.KindIQ, Type: "error", ID: st.ID, Inner: stanza.ErrBadRequest("resource").AppendXML(nil)})
		return nil
	}
	if err := s.register(ctx, router.Binding{Full: full, SID: s.sid, Node: s.m.cfg.Node, Since: time.Now()}); err != nil {
		s.m.cfg.Log.ErrorContext(ctx, "bind", "jid", full.String(), "err", err)
		s.reply(&stanza.Stanza{Kind: stanza.KindIQ, Type: "error", ID: st.ID, Inner: stanza.ErrInternal().AppendXML(nil)})
		return nil
	}
	inner := stanza.AppendEscaped([]byte("<bind xmlns='"+stream.NSBind+"'><jid>"), full.String())
	result := &stanza.Stanza{Kind: stanza.KindIQ, Type: "result", ID: st.ID, Inner: append(inner, "</jid></bind>"...)}
	info := s.conn.Info()
	s.m.cfg.Log.InfoContext(ctx, "session bound", "sid", s.sid.Ref(), "jid", full.String(), "transport", info.Transport, "remote", info.Remote.Addr().String())
	return s.plain(result.AppendXML(nil))
}

// register enters the resource; a session of the same name gives way
// (RFC 6120 §7.7.2.2), and so does the one idle longest when there are too many.
func (s *Session) register(ctx context.Context, b router.Binding) error {
	r := s.m.cfg.Router
	if k := s.m.cfg.Keeper; k != nil {
		s.mu.Lock()
		s.entered = b.Full
		s.mu.Unlock()
		if err := k.Enter(ctx, s.sid, b.Full, s); err != nil {
			return err
		}
	}
	gen, replaced, err := r.Registry().Bind(ctx, b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	over := s.ended.Load()
	if !over {
		s.phase, s.jid, s.gen = bound, b.Full, gen
	}
	s.mu.Unlock()
	if over { // while Redis was waited for; its end did not know of the binding
		s.unenter(ctx, b.Full)
		return ErrEnded
	}
	if replaced != nil && replaced.SID != s.sid {
		s.supersede(ctx, *replaced)
	}
	r.Table().Add(s)
	if most := s.m.limits.Load().Resources; most > 0 {
		s.makeRoom(ctx, b.Full.Bare(), most)
	}
	return nil
}

// supersede ends the session that had the resource. Those who saw it learn that
// it is gone before the newcomer can say anything: its own end comes later and
// finds the registry's entry replaced.
func (s *Session) supersede(ctx context.Context, b router.Binding) {
	in := &router.Interest{}
	if old, ok := s.m.cfg.Router.Table().BySID(b.SID); ok {
		in = old.Interest()
	}
	s.m.endOne(ctx, b.SID, stream.Conflict, "another client took the resource")
	if s.m.cfg.Observer != nil {
		s.m.cfg.Observer.SessionEnded(ctx, b, in)
	}
}

// makeRoom ends as many resources as there are too many. All count until they
// are out of the registry, also those that were told to end before.
func (s *Session) makeRoom(ctx context.Context, bare jid.JID, most int) {
	list, err := s.m.cfg.Router.Registry().Lookup(ctx, bare)
	excess := len(list) - most
	if err != nil || excess <= 0 {
		return
	}
	heard := make(map[router.SID]int64, len(list))
	var others []router.SID
	for _, b := range list {
		if b.SID == s.sid {
			continue
		}
		heard[b.SID] = b.Since.Unix() // all that is known of one on another node
		if o, _ := s.m.cfg.Router.Table().BySID(b.SID); o != nil {
			if old, ok := o.(*Session); ok {
				heard[b.SID] = old.heard.Load()
			}
		}
		others = append(others, b.SID)
	}
	slices.SortStableFunc(others, func(x, y router.SID) int { return cmp.Compare(heard[x], heard[y]) })
	for _, sid := range others[:min(excess, len(others))] {
		s.m.endOne(ctx, sid, stream.ResourceConstraint, "too many resources; this one was idle longest")
	}
}
