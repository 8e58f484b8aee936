package app

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// outlet is where offline messages go.
type outlet struct{ r *router.Router }

func (o outlet) Deliver(ctx context.Context, full jid.JID, st *stanza.Stanza) error {
	took, err := o.r.SendFull(ctx, full, st)
	if err == nil && !took {
		return router.ErrUndelivered
	}
	return err
}

func (o outlet) Available(ctx context.Context, owner jid.JID) (jid.JID, bool, error) {
	list, err := o.r.Registry().Lookup(ctx, owner)
	for _, b := range list {
		if b.Available() && b.Priority >= 0 {
			return b.Full, true, err
		}
	}
	return jid.JID{}, false, err
}

// lastSeen breaks the circle between presence and info.
type lastSeen struct{ info *info.Service }

func (l *lastSeen) Left(ctx context.Context, owner jid.JID, status string) error {
	return l.info.Left(ctx, owner, status)
}

// mayAsk lets those who see an account's presence discover it (XEP-0030 §8).
func (n *node) mayAsk(ctx context.Context, from, owner jid.JID) bool {
	ok, err := n.presence.MaySee(ctx, owner, from)
	return ok && err == nil
}

// guard refuses last activity of a resource to those who do not see the
// account's presence (XEP-0012 §4).
func (n *node) guard(ctx context.Context, st *stanza.Stanza) *stanza.Error {
	p, ok := st.Payload()
	if !ok || p.Name.Space != info.NSLast || st.Type != "get" {
		return nil
	}
	if may, err := n.presence.MaySee(ctx, st.To.Bare(), st.From.Bare()); err != nil || !may {
		return stanza.ErrForbidden()
	}
	return nil
}

// End implements account.Sessions.
func (n *node) End(ctx context.Context, bare jid.JID, last *stanza.Stanza) error {
	_, err := n.router.SendFull(ctx, last.To, last)
	return errors.Join(err, n.sessions.EndAccount(ctx, bare, stream.NotAuthorized, "the account was cancelled"))
}

func (n *node) openBOSH(ctx context.Context, c session.Conn, o session.Opening) (bosh.Session, error) {
	s, err := n.sessions.Open(ctx, c, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (n *node) minTLS() uint16 {
	if n.cfg.Certs.MinTLS == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}
