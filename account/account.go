// Package account lets people change their password and cancel their account
// from any client (XEP-0077). New accounts are not made in-band.
//
//	account.Register(m, account.Config{Accounts: a, Contacts: c, Sessions: s})
package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
)

// NS is the namespace of in-band registration.
const NS = "jabber:iq:register"

// Accounts changes accounts. Both methods wait for the store.
type Accounts interface {
	// SetPassword replaces the password; the error wraps sasl.ErrPassword if it
	// cannot be used.
	SetPassword(ctx context.Context, bare jid.JID, password string) error
	// Delete removes the account and everything it owns.
	Delete(ctx context.Context, bare jid.JID) error
}

// Contacts ends the subscriptions of an account.
type Contacts interface {
	// Leave tells all contacts of the account, which is still there, that it is
	// unavailable and that the subscriptions in both directions have ended
	// (RFC 6121 §3.2, §3.3).
	Leave(ctx context.Context, bare jid.JID) error
	// Forget drops what is remembered of the contacts of an account that is
	// there no longer.
	Forget(bare jid.JID)
}

// Sessions ends what runs for an account.
type Sessions interface {
	// End delivers last to the session it is addressed to and then ends every
	// session of the account with the stream error not-authorized
	// (XEP-0077 §3.2).
	End(ctx context.Context, bare jid.JID, last *stanza.Stanza) error
}

// Config sets up what people may do with their accounts.
type Config struct {
	Accounts Accounts
	Contacts Contacts
	Sessions Sessions
	// Fixed reports for a domain whether both are refused, as where passwords are
	// kept elsewhere; nil: nowhere.
	Fixed func(domain string) bool
}

type service struct{ Config }

// Register adds password change and cancellation to the server and the
// accounts; clients ask either.
func Register(m *mux.Mux, cfg Config) {
	s := service{cfg}
	m.Handle(mux.Route{
		Name: stanza.Name{Space: NS, Local: "query"}, Get: s.get, Set: s.set,
		Scope: mux.ScopeServer | mux.ScopeAccount,
	})
}

// get tells what is registered (XEP-0077 §3.1).
func (s service) get(_ context.Context, req *mux.Request) ([]byte, error) {
	user, err := s.user(req)
	if err != nil {
		return nil, err
	}
	reply := []byte("<query xmlns='" + NS + "'><registered/><username>")
	return append(stanza.AppendEscaped(reply, user.Local()), "</username><password/></query>"...), nil
}

func (s service) set(ctx context.Context, req *mux.Request) ([]byte, error) {
	user, err := s.user(req)
	if err != nil {
		return nil, err
	}
	query, err := req.Element()
	if err != nil {
		return nil, fmt.Errorf("read account query: %w", err)
	}
	if child(query, "remove") != nil {
		if len(query.ChildElements()) != 1 {
			return nil, stanza.ErrBadRequest("remove stands alone")
		}
		return nil, s.cancel(ctx, req.Stanza, user)
	}
	return nil, s.setPassword(ctx, query, user)
}

func (s service) setPassword(ctx context.Context, query *etree.Element, user jid.JID) error {
	name, password := child(query, "username"), child(query, "password")
	if name == nil || password == nil || password.Text() == "" {
		return stanza.ErrBadRequest("user name and password are needed")
	}
	if named, err := jid.New(name.Text(), user.Domain(), ""); err != nil || named != user {
		return stanza.ErrForbidden()
	}
	err := s.Accounts.SetPassword(ctx, user, password.Text())
	if errors.Is(err, sasl.ErrPassword) {
		return stanza.NewError(stanza.Modify, "not-acceptable", sasl.ErrPassword.Error())
	}
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	return nil
}

// cancel tells the contacts first: afterwards nobody knows who they were.
func (s service) cancel(ctx context.Context, st *stanza.Stanza, user jid.JID) error {
	if err := s.Contacts.Leave(ctx, user); err != nil {
		return fmt.Errorf("leave contacts of %s: %w", user, err)
	}
	if err := s.Accounts.Delete(ctx, user); err != nil {
		return fmt.Errorf("cancel account: %w", err)
	}
	s.Contacts.Forget(user)
	last := st.Result(nil)
	if last.From.IsZero() {
		last.From = user
	}
	if err := s.Sessions.End(ctx, user, last); err != nil {
		return fmt.Errorf("end sessions of %s: %w", user, err)
	}
	return nil
}

// user is who asks, if the account asked about is theirs.
func (s service) user(req *mux.Request) (jid.JID, error) {
	user := req.Stanza.From.Bare()
	if user.Local() == "" || user.Domain() != req.Owner.Domain() ||
		req.Owner.Local() != "" && user != req.Owner {
		return jid.JID{}, stanza.ErrForbidden()
	}
	if s.Fixed != nil && s.Fixed(user.Domain()) {
		return jid.JID{}, stanza.ErrNotAllowed()
	}
	return user, nil
}

func child(query *etree.Element, name string) *etree.Element {
	for _, c := range query.ChildElements() {
		if c.Tag == name && c.NamespaceURI() == NS {
			return c
		}
	}
	return nil
}
