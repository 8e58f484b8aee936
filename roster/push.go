package roster

import (
	"context"
	"strconv"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// push tells all interested resources of an item's new state (RFC 6121 §2.1.6).
// The change is safe already, so trouble is logged only; the client catches up
// by the version.
func (s *Service) push(ctx context.Context, owner jid.JID, ver uint64, it *Item) {
	p := s.picture()
	inner := shown(p, owner, it).appendXML(appendQuery(nil, version(p, owner, ver)))
	s.pushXML(ctx, owner, append(inner, `</query>`...))
}

// pushRemoval tells that an item is gone, or what is left of it by itself.
func (s *Service) pushRemoval(ctx context.Context, owner jid.JID, ver uint64, contact jid.JID) {
	if s.automatic(owner, contact) {
		s.push(ctx, owner, ver, &Item{JID: contact})
		return
	}
	inner := appendRemoval(appendQuery(nil, version(s.picture(), owner, ver)), contact)
	s.pushXML(ctx, owner, append(inner, `</query>`...))
}

func appendRemoval(dst []byte, contact jid.JID) []byte {
	dst = stanza.AppendEscaped(append(dst, `<item jid='`...), contact.String())
	return append(dst, `' subscription='remove'/>`...)
}

func (s *Service) pushID() string {
	return "push-" + s.prefix + "-" + strconv.FormatUint(s.pushes.Add(1), 36)
}

func (s *Service) pushXML(ctx context.Context, owner jid.JID, inner []byte) {
	bindings, err := s.cfg.Router.Registry().Lookup(ctx, owner)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "roster push", "jid", owner, "err", err)
		return
	}
	var push *stanza.Stanza
	for i := range bindings {
		if !s.interested(bindings[i].Full) {
			continue
		}
		if push == nil {
			push = stanza.New(stanza.KindIQ, "set", inner)
		}
		one := push.Clone()
		one.From, one.To = owner, bindings[i].Full
		one.ID = s.pushID()
		s.send(ctx, one.To, one)
	}
}

// interested reports whether a resource gets pushes. What a session on another
// node asked for is not known here; it gets them, since a client passes over a
// push it has no use for, but never learns of one it missed.
func (s *Service) interested(full jid.JID) bool {
	sess, ok := s.cfg.Router.Table().ByJID(full)
	return !ok || sess.Interest().Roster()
}

func (s *Service) send(ctx context.Context, full jid.JID, st *stanza.Stanza) {
	if _, err := s.cfg.Router.SendFull(ctx, full, st); err != nil {
		s.cfg.Log.WarnContext(ctx, "send to resource", "jid", full, "err", err)
	}
}
