package presence

import (
	"context"
	"slices"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// frame is a presence encoded once; a receiver costs one copy with its address.
type frame struct {
	st         *stanza.Stanza
	head, tail []byte // around the receiver's address
}

// post gathers what one event sends, to be given away at once.
type post struct{ letters []router.Letter }

func newFrame(st *stanza.Stanza) *frame { return &frame{st: discreet(st)} }

// marker stands for the receiver while the frame is encoded.
var marker = jid.MustParse("0")

const toMarker = " to='0'"

func (p *post) add(f *frame, to *router.Binding) {
	if f.head == nil {
		f.encode()
	}
	full := to.Full.String()
	out := make([]byte, 0, len(f.head)+len(f.tail)+len(full)+8)
	out = append(out, f.head...)
	out = stanza.AppendEscaped(out, full)
	p.letters = append(p.letters, router.Letter{To: to.SID, Stanza: f.st, Frame: append(out, f.tail...)})
}

// addAvailable addresses a frame to the available ones of some resources.
func (p *post) addAvailable(f *frame, list []router.Binding) {
	for i := range list {
		if list[i].Available() {
			p.add(f, &list[i])
		}
	}
}

// encode splits the encoded presence at the receiver's address. From comes
// first in a start tag, then to; a JID cannot hold an apostrophe unescaped.
func (f *frame) encode() {
	whole := f.st.AppendXMLTo(nil, marker)
	at := 0
	for string(whole[at:at+len(toMarker)]) != toMarker {
		at++
	}
	f.head, f.tail = whole[:at+len(" to='")], whole[at+len(toMarker)-1:]
}

// directed takes presence to somebody in particular (RFC 6121 §4.6).
func (s *Service) directed(ctx context.Context, st *stanza.Stanza) error {
	if sess, ok := s.cfg.Router.Table().ByJID(st.From); ok {
		if st.Type == "unavailable" {
			sess.Interest().RemoveDirected(st.To)
		} else if !sess.Interest().AddDirected(st.To) {
			return s.cfg.Router.Refuse(ctx, st, stanza.NewError(stanza.Wait, "resource-constraint", "too many receivers of directed presence"))
		}
	}
	if !s.cfg.Router.Reaches(st.From, st.To) {
		return s.cfg.Router.Refuse(ctx, st, stanza.NewError(stanza.Cancel, "remote-server-not-found", ""))
	}
	return s.fail(ctx, st, s.forward(ctx, st))
}

// leaveDirected tells those who got directed presence (RFC 6121 §4.6.3), but for
// those who learn it by the broadcast, if there is one.
func (s *Service) leaveDirected(ctx context.Context, st *stanza.Stanza, in *router.Interest, broadcast bool) {
	list := in.TakeDirected()
	for _, to := range list {
		told, err := s.toldAnyway(ctx, st.From, to, list, broadcast)
		if err == nil && !told {
			c := st.Clone()
			c.To = to
			err = s.forward(ctx, c)
		}
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "directed presence", "jid", to.String(), "err", err)
		}
	}
}

// toldAnyway reports whether a receiver of directed presence is reached by the
// broadcast or as one of the resources of another receiver of the list. That
// holds for available resources only.
func (s *Service) toldAnyway(ctx context.Context, from, to jid.JID, list []jid.JID, broadcast bool) (bool, error) {
	bare := to.Bare()
	covered := !to.IsBare() && slices.Contains(list, bare)
	if !covered && broadcast && s.cfg.Router.Local(to) {
		covered = bare == from.Bare()
		if !covered {
			var err error
			if covered, err = s.cfg.Contacts.MaySee(ctx, from.Bare(), bare); err != nil {
				return false, err
			}
		}
	}
	if !covered || to.IsBare() {
		return covered, nil
	}
	resources, err := s.cfg.Router.Registry().Lookup(ctx, bare)
	for i := range resources {
		if resources[i].Full == to {
			return resources[i].Available(), err
		}
	}
	return false, err
}

// forward delivers presence by its address: to one resource, or to all
// available ones of an account (RFC 6121 §8.5.2.1.2, §8.5.3).
func (s *Service) forward(ctx context.Context, st *stanza.Stanza) error {
	if st.To.IsZero() || st.To.Local() == "" || !s.cfg.Router.Reaches(st.From, st.To) {
		return nil
	}
	if !st.To.IsBare() {
		_, err := s.cfg.Router.SendFull(ctx, st.To, st)
		return err
	}
	list, err := s.cfg.Router.Registry().Lookup(ctx, st.To)
	if err != nil {
		return err
	}
	var letters []router.Letter
	var encoded []byte
	for i := range list {
		if list[i].Available() {
			if encoded == nil {
				encoded = st.AppendXML(nil)
			}
			letters = append(letters, router.Letter{To: list[i].SID, Stanza: st, Frame: encoded})
		}
	}
	return s.cfg.Router.Send(ctx, letters)
}

// probe answers a probe that a client sent (RFC 6121 §4.3.2): only to those
// who may see the account; others learn no more than that they may not.
func (s *Service) probe(ctx context.Context, st *stanza.Stanza) error {
	if st.To.IsZero() || !s.cfg.Router.Reaches(st.From, st.To) {
		return nil
	}
	owner := st.To.Bare()
	ok := owner == st.From.Bare()
	if !ok {
		var err error
		if ok, err = s.cfg.Contacts.MaySee(ctx, owner, st.From.Bare()); err != nil {
			return err
		}
	}
	if !ok {
		no := &stanza.Stanza{Kind: stanza.KindPresence, Type: "unsubscribed", From: owner, To: st.From}
		_, err := s.cfg.Router.SendFull(ctx, st.From, no)
		return err
	}
	own, _, ok, err := s.find(ctx, st.From)
	if err != nil || !ok {
		return err
	}
	var p post
	told, err := s.tell(ctx, &p, owner, &own)
	if err != nil {
		return err
	}
	if told || owner == st.From.Bare() {
		return s.cfg.Router.Send(ctx, p.letters)
	}
	gone := &stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: owner, To: st.From}
	_, err = s.cfg.Router.SendFull(ctx, st.From, gone)
	return err
}

// SendCurrent tells contact of owner's available resources, as a subscription
// that was granted does (RFC 6121 §3.1.5).
func (s *Service) SendCurrent(ctx context.Context, owner, contact jid.JID) error {
	t := s.composer.of(owner)
	if t.hidden() {
		return nil
	}
	return s.between(ctx, owner, contact, func(b *router.Binding) *stanza.Stanza { return t.contacts(b.Presence) })
}

// SendUnavailable tells contact that owner is gone, as a subscription that was
// cancelled does (RFC 6121 §3.2.1).
func (s *Service) SendUnavailable(ctx context.Context, owner, contact jid.JID) error {
	return s.between(ctx, owner, contact, func(b *router.Binding) *stanza.Stanza {
		return &stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: b.Full}
	})
}

func (s *Service) between(ctx context.Context, owner, contact jid.JID, f func(*router.Binding) *stanza.Stanza) error {
	reg := s.cfg.Router.Registry()
	from, err := reg.Lookup(ctx, owner)
	if err != nil {
		return err
	}
	to, err := reg.Lookup(ctx, contact)
	if err != nil {
		return err
	}
	var p post
	for i := range from {
		if from[i].Available() {
			p.addAvailable(newFrame(f(&from[i])), to)
		}
	}
	return s.cfg.Router.Send(ctx, p.letters)
}

// MaySee reports whether contact sees owner's presence.
func (s *Service) MaySee(ctx context.Context, owner, contact jid.JID) (bool, error) {
	return s.cfg.Contacts.MaySee(ctx, owner, contact)
}

// Available reports whether owner has an available resource, and lets contacts know.
func (s *Service) Available(ctx context.Context, owner jid.JID) (bool, error) {
	if s.composer.of(owner).hidden() {
		return false, nil
	}
	list, err := s.cfg.Router.Registry().Lookup(ctx, owner)
	for i := range list {
		if list[i].Available() {
			return true, err
		}
	}
	return false, err
}
