package auth

import (
	"context"
	"crypto/hmac"
	"errors"
	"maps"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// attempt answers the questions of one exchange.
type attempt struct {
	service *Service
	mech    string
	domain  string
	remote  string // "" if unknown

	name    string // what failures are counted under
	account Account
	keys    Keys
	real    bool // keys belong to the account; else nothing may succeed
}

// Keys implements sasl.Verifier.
func (a *attempt) Keys(ctx context.Context, user string) (sasl.Keys, error) {
	if err := a.find(ctx, user, a.mech); err != nil {
		return sasl.Keys{}, err
	}
	return sasl.Keys(a.keys), nil
}

// Prove implements sasl.Verifier.
func (a *attempt) Prove(ctx context.Context, _, authzid string, proof func() bool) (jid.JID, error) {
	if _, err := a.wait(ctx); err != nil {
		return jid.JID{}, err
	}
	// The proof comes first, so that as much is computed for unknown users.
	if !proof() || !a.real {
		a.failed()
		return jid.JID{}, sasl.NewFailure(sasl.NotAuthorized, "")
	}
	return a.succeeded(authzid)
}

// Verify implements sasl.Verifier. SHA-256 is the cheapest to derive.
func (a *attempt) Verify(ctx context.Context, user, authzid, password string) (jid.JID, error) {
	s := a.service
	if s.elsewhere(a.domain) {
		return a.bind(ctx, user, authzid, password)
	}
	if err := a.find(ctx, user, sasl.ScramSHA256); err != nil {
		return jid.JID{}, err
	}
	prepared, invalid := sasl.PreparePassword(password)
	if invalid != nil {
		prepared = "?" // as much work as for any other wrong one
	}
	tag := s.verified.tag(a.name, prepared, a.keys.StoredKey)
	if a.real && invalid == nil && s.verified.has(tag) {
		return a.succeeded(authzid)
	}
	right, err := a.check(ctx, prepared)
	if err != nil {
		return jid.JID{}, err
	}
	if !right || invalid != nil {
		return jid.JID{}, sasl.NewFailure(sasl.NotAuthorized, "")
	}
	s.verified.add(tag)
	id, err := a.succeeded(authzid)
	if err == nil {
		a.complete(ctx, prepared)
	}
	return id, err
}

// complete makes the keys that the account lacks, while its password is at hand:
// of a mechanism that was not enabled when the password was set, or with fewer
// iterations than are asked for now.
func (a *attempt) complete(ctx context.Context, password string) {
	lacking := a.service.lacking(a.account.Keys)
	if len(lacking) == 0 {
		return
	}
	more, err := a.service.derivePaced(ctx, lacking, password)
	if err == nil {
		err = a.service.Update(ctx, a.account.JID, func(now *Account) {
			if !hmac.Equal(now.Keys[sasl.ScramSHA256].StoredKey, a.keys.StoredKey) {
				return // the password has changed meanwhile
			}
			now.Keys = maps.Clone(now.Keys)
			maps.Copy(now.Keys, more)
		})
	}
	if err != nil {
		// The login is none the worse for it; the next one tries again.
		a.service.cfg.Load().Log.WarnContext(ctx, "complete the keys of an account", "err", err)
	}
}

// check derives keys from a password and compares. Attempts that stood in line
// together count one after the other: each looks again whether it has to wait
// once it is its turn to derive.
func (a *attempt) check(ctx context.Context, password string) (right bool, err error) {
	paid, err := a.wait(ctx)
	for err == nil {
		done := false
		waited := a.service.paced(ctx, func() {
			if !paid && a.service.throttle.full(a.remote, a.name) {
				return
			}
			var derived Keys
			derived, err = a.service.deriveKeys(sasl.ScramSHA256, password, a.keys.Salt, a.keys.Iterations)
			right = hmac.Equal(derived.StoredKey, a.keys.StoredKey) && a.real
			if !right {
				a.failed()
			}
			done = true
		})
		if err := errors.Join(waited, err); err != nil || done {
			return right, err
		}
		paid, err = a.wait(ctx)
	}
	return false, err
}

// find reads the account and its keys, or makes them up.
func (a *attempt) find(ctx context.Context, user, mech string) error {
	bare := owner(user, a.domain)
	a.name = bare.String()
	if bare.IsZero() {
		a.name = user + "@" + a.domain
	}
	a.keys = a.service.madeUp(mech, a.name)
	if bare.IsZero() {
		return nil
	}
	account, err := a.service.store.Account(ctx, bare)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.account = account
	if k, ok := account.Keys[mech]; ok {
		a.keys, a.real = k, true
	}
	return nil
}

// wait slows down guessing; it reports whether there was need to.
func (a *attempt) wait(ctx context.Context) (bool, error) {
	delay, ok := a.service.throttle.reserve(a.remote, a.name)
	if !ok {
		return false, sasl.NewFailure(sasl.TemporaryAuthFailure, "too many failed attempts, try again later")
	}
	if delay == 0 {
		return false, nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (a *attempt) failed() {
	if a.service.throttle.failed(a.remote, a.name) {
		a.service.cfg.Load().Log.Warn("too many failed logins, delaying more of them", "remote", a.remote)
	}
}

// succeeded says what only somebody with the right password may learn.
func (a *attempt) succeeded(authzid string) (jid.JID, error) {
	a.service.throttle.succeeded(a.remote, a.name)
	if a.account.Disabled {
		return jid.JID{}, sasl.NewFailure(sasl.AccountDisabled, "")
	}
	if authzid != "" {
		if j, err := jid.Parse(authzid); err != nil || j != a.account.JID {
			return jid.JID{}, sasl.NewFailure(sasl.InvalidAuthzid, "")
		}
	}
	return a.account.JID, nil
}
