package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

const saltSize = 16

// Derive makes the keys of a password for each mechanism, with new salts. It
// costs milliseconds of CPU; the error wraps sasl.ErrPassword.
func (s *Service) Derive(password string) (map[string]Keys, error) {
	prepared, err := sasl.PreparePassword(password)
	if err != nil {
		return nil, err
	}
	return s.deriveFor(s.keyed(), prepared)
}

// keyed are the mechanisms that an account has keys for: those that are
// enabled, and SHA-256, with which PLAIN is checked.
func (s *Service) keyed() []string {
	list := make([]string, 0, len(mechanisms))
	for _, mech := range mechanisms {
		if mech == sasl.ScramSHA256 || mech != sasl.Plain && s.enabled(mech) {
			list = append(list, mech)
		}
	}
	return list
}

// lacking are the mechanisms that keys should have been made for and are not,
// or with fewer iterations than now.
func (s *Service) lacking(keys map[string]Keys) []string {
	return slices.DeleteFunc(s.keyed(), func(mech string) bool {
		return keys[mech].Iterations >= s.cfg.Load().Iterations
	})
}

// deriveFor makes keys of a prepared password.
func (s *Service) deriveFor(mechanisms []string, prepared string) (map[string]Keys, error) {
	all := make(map[string]Keys, len(mechanisms))
	for _, mech := range mechanisms {
		salt := make([]byte, saltSize)
		_, _ = rand.Read(salt) // never fails
		k, err := s.deriveKeys(mech, prepared, salt, s.cfg.Load().Iterations)
		if err != nil {
			return nil, err
		}
		all[mech] = k
	}
	return all, nil
}

// derive is Derive at the pace set for the server.
func (s *Service) derive(ctx context.Context, password string) (map[string]Keys, error) {
	prepared, err := sasl.PreparePassword(password)
	if err != nil {
		return nil, err
	}
	return s.derivePaced(ctx, s.keyed(), prepared)
}

func (s *Service) derivePaced(ctx context.Context, mechanisms []string, prepared string) (keys map[string]Keys, err error) {
	waited := s.paced(ctx, func() { keys, err = s.deriveFor(mechanisms, prepared) })
	if waited != nil {
		return nil, waited
	}
	return keys, err
}

// paced runs work when fewer than Config.Derivations are under way, in the order
// of the calls. The error of a wait that was too long is a *sasl.Failure.
func (s *Service) paced(ctx context.Context, work func()) error {
	if err := s.turn(ctx); err != nil {
		return err
	}
	defer func() { <-s.deriving }()
	work()
	return nil
}

func (s *Service) turn(ctx context.Context) error {
	select {
	case s.deriving <- struct{}{}:
		return nil
	default:
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	timer := time.NewTimer(s.cfg.Load().MaxWait)
	defer timer.Stop()
	select {
	case s.deriving <- struct{}{}:
		return nil
	case <-timer.C:
		return sasl.NewFailure(sasl.TemporaryAuthFailure, "too many logins at once, try again later")
	case <-ctx.Done():
		return fmt.Errorf("wait to derive keys: %w", ctx.Err())
	}
}

// deriveKeys is RFC 5802 §3 for a prepared password.
func (s *Service) deriveKeys(mech, password string, salt []byte, iterations int) (Keys, error) {
	s.derived.Add(1)
	h := sasl.Hash(mech)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return Keys{}, fmt.Errorf("derive keys for %s: %w", mech, err)
	}
	mac := func(msg string) []byte {
		m := hmac.New(h, salted)
		m.Write([]byte(msg))
		return m.Sum(nil)
	}
	stored := h()
	stored.Write(mac("Client Key"))
	return Keys{
		Salt:       salt,
		Iterations: iterations,
		StoredKey:  stored.Sum(nil),
		ServerKey:  mac("Server Key"),
	}, nil
}

// madeUp returns keys that no password fits, always the same for a name.
func (s *Service) madeUp(mech, name string) Keys {
	stored := hmac.New(sasl.Hash(mech), s.cfg.Load().Secret)
	stored.Write([]byte("key\x00" + mech + "\x00" + name))
	salt := hmac.New(sha256.New, s.cfg.Load().Secret)
	salt.Write([]byte("salt\x00" + mech + "\x00" + name))
	key := stored.Sum(nil)
	return Keys{
		Salt:       salt.Sum(nil)[:saltSize],
		Iterations: s.cfg.Load().Iterations,
		StoredKey:  key,
		ServerKey:  key,
	}
}

// owner prepares a user name (RFC 8265 §3.3, by RFC 7622 §3.3). A name that no
// account can have gives the zero JID.
func owner(user, domain string) jid.JID {
	j, err := jid.New(user, domain, "")
	if err != nil || j.Local() == "" {
		return jid.JID{}
	}
	return j
}
