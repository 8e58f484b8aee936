package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// ErrForged says that nothing shows a token to be from its issuer; somebody who
// has many of them is guessing.
var ErrForged = errors.New("not shown to be from its issuer")

// Tokens knows whose a token is.
type Tokens interface {
	// Offered reports whether users of a domain can sign in by token. It does not
	// block.
	Offered(domain string) bool
	// Check returns whose a token is that a client of a domain has. It may wait
	// some seconds for the issuer's keys. Its errors are as sasl.BearerVerifier's,
	// and wrap ErrForged if they should be counted as an attempt to guess.
	Check(ctx context.Context, domain, token string) (Holder, error)
}

// Holder is whom an issuer vouches for.
type Holder struct {
	JID         jid.JID // bare
	Name, Email string
	Create      bool      // the account, if it is not there
	Until       time.Time // the session has to end; zero = never
}

// SetTokens has users sign in by token, too. It is called before anybody does.
func (s *Service) SetTokens(t Tokens) { s.tokens = t }

// bearerOffered reports whether tokens are taken on a channel. They are as good
// as a password to whoever hears them.
func (s *Service) bearerOffered(domain string, ch sasl.Channel) bool {
	return s.tokens != nil && s.plainAllowed(ch) && s.tokens.Offered(domain)
}

func (s *Service) beginBearer(domain string, ch sasl.Channel) (sasl.Exchange, error) {
	switch {
	case s.tokens == nil || !s.tokens.Offered(domain):
		return nil, sasl.NewFailure(sasl.InvalidMechanism, "")
	case !s.plainAllowed(ch):
		return nil, sasl.NewFailure(sasl.EncryptionRequired, "OAUTHBEARER needs a connection with TLS")
	}
	return sasl.NewBearer(&attempt{service: s, mech: sasl.OAuthBearer, domain: domain, remote: remoteKey(ch.Remote)}), nil
}

// VerifyToken implements sasl.BearerVerifier. Who has an expired token is no
// guesser: after a weekend all of an office have one.
func (a *attempt) VerifyToken(ctx context.Context, authzid, token string) (jid.JID, time.Time, error) {
	s, never := a.service, time.Time{}
	a.name = "tokens from " + a.remote // nobody is named before the token is checked
	if _, err := a.wait(ctx); err != nil {
		return jid.JID{}, never, err
	}
	h, err := s.tokens.Check(ctx, a.domain, token)
	if err != nil {
		if errors.Is(err, ErrForged) {
			a.failed()
		}
		return jid.JID{}, never, err
	}
	s.throttle.succeeded(a.remote, a.name)
	a.name = h.JID.String()
	if a.account, err = s.holder(ctx, h); err != nil {
		return jid.JID{}, never, err
	}
	id, err := a.succeeded(authzid)
	return id, h.Until, err
}

// holder returns the account of whom an issuer vouches for, made if that is
// wished.
func (s *Service) holder(ctx context.Context, h Holder) (Account, error) {
	if s.elsewhere(h.JID.Domain()) {
		return s.listed(ctx, h.JID)
	}
	a, err := s.store.Account(ctx, h.JID)
	if !errors.Is(err, ErrNotFound) {
		return a, err
	}
	if !h.Create {
		return a, &sasl.Failure{Condition: sasl.NotAuthorized, Text: "this user has no account here", Cause: fmt.Errorf("token of %s: %w", h.JID, err)}
	}
	a = Account{JID: h.JID, Name: h.Name, Email: h.Email, Created: time.Now().UTC()}
	a.Changed = a.Created
	err = s.store.CreateAccounts(ctx, []Account{a}, nil)
	s.exists.forget(h.JID)
	switch {
	case errors.Is(err, ErrExists): // by another session at the same time
		return s.store.Account(ctx, h.JID)
	case err != nil:
		return a, fmt.Errorf("create account %s: %w", h.JID, err)
	}
	s.cfg.Load().Log.InfoContext(ctx, "account made at its first sign-in by token")
	return a, nil
}

// listed returns the account of somebody whom a directory has, if they may chat.
func (s *Service) listed(ctx context.Context, user jid.JID) (Account, error) {
	switch ok, err := s.directory.Exists(ctx, user); {
	case err != nil:
		return Account{}, err
	case !ok:
		return Account{}, &sasl.Failure{
			Condition: sasl.AccountDisabled, Text: "this user may not use chat",
			Cause: fmt.Errorf("token of %s: the directory does not have them, or they may not chat", user),
		}
	}
	return s.ensure(ctx, user)
}
