package auth

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// Directory keeps the people and passwords of some domains instead of the store.
type Directory interface {
	// Holds reports whether the people of a domain are in the directory.
	Holds(domain string) bool
	// Login checks a password. It waits for no longer than a sign-in may take; turn
	// is called after that, before the password is tried, and its error ends the
	// attempt. A *sasl.Failure is for the client; other errors wrap ErrWrong,
	// ErrDirectoryAway or what turn returned, or are trouble.
	Login(ctx context.Context, user jid.JID, password string, turn func() error) error
	// Exists reports whether somebody may sign in, from memory as a rule.
	Exists(ctx context.Context, user jid.JID) (bool, error)
	// Stamp differs after each change of somebody's entry; false for those of whom
	// nothing is known, or who may not sign in. It does not wait.
	Stamp(user jid.JID) (uint64, bool)
}

var (
	// ErrWrong says that there is no such person, or that the password is wrong.
	ErrWrong = errors.New("no such person or wrong password")
	// ErrDirectoryAway says that nobody can tell whether a password is right.
	ErrDirectoryAway = errors.New("the directory does not answer")
)

// Join has the people of some domains be those of a directory. It is called before
// the first attempt.
func (s *Service) Join(d Directory) { s.directory = d }

// elsewhere reports whether the people of a domain are in a directory.
func (s *Service) elsewhere(domain string) bool {
	return s.directory != nil && s.directory.Holds(domain)
}

// bind checks a password by means of the directory. No key is derived, so that
// it takes nothing from those who sign in to local accounts.
func (a *attempt) bind(ctx context.Context, user, authzid, password string) (jid.JID, error) {
	s := a.service
	bare := owner(user, a.domain)
	if a.name = bare.String(); bare.IsZero() {
		a.name = user + "@" + a.domain
	}
	a.account.JID = bare
	stamp, current := s.directory.Stamp(bare)
	tag := s.verified.tag(a.name, password, binary.BigEndian.AppendUint64([]byte("directory"), stamp))
	if current && s.verified.has(tag) {
		return a.entered(ctx, authzid)
	}
	kept := s.verified.tag(a.name, password, []byte("outage"))
	err := a.ask(ctx, password)
	switch {
	case errors.Is(err, ErrDirectoryAway):
		return a.remembered(ctx, authzid, kept, err)
	case err != nil:
		return jid.JID{}, a.refused(err, kept)
	}
	if current {
		s.verified.add(tag)
	}
	s.outage.add(a.name, kept)
	return a.entered(ctx, authzid)
}

// errAgain says that others have failed while an attempt stood in line.
var errAgain = errors.New("to be delayed again")

// ask has the directory check a password once it is this attempt's turn. Those that
// stood in line together count one after the other, as in check.
func (a *attempt) ask(ctx context.Context, password string) error {
	paid, err := a.wait(ctx)
	for err == nil {
		if a.account.JID.IsZero() {
			return ErrWrong // a name that nobody can have
		}
		err = a.service.directory.Login(ctx, a.account.JID, password, func() error {
			if !paid && a.service.throttle.full(a.remote, a.name) {
				return errAgain
			}
			return nil
		})
		if !errors.Is(err, errAgain) {
			return err
		}
		paid, err = a.wait(ctx)
	}
	return err
}

// refused counts what is the client's fault, and forgets what was remembered.
func (a *attempt) refused(err error, kept [32]byte) error {
	f, told := errors.AsType[*sasl.Failure](err)
	switch {
	case told && f.Condition != sasl.TemporaryAuthFailure:
		// Only somebody with the right password is told more.
		a.service.outage.forget(a.name)
		a.service.throttle.succeeded(a.remote, a.name)
	case errors.Is(err, ErrWrong):
		a.failed()
		a.service.outage.refuse(a.name, kept)
		return sasl.NewFailure(sasl.NotAuthorized, "")
	}
	return err
}

// remembered lets somebody in who signed in not long ago, while the directory is
// away, if that is allowed.
func (a *attempt) remembered(ctx context.Context, authzid string, kept [32]byte, away error) (jid.JID, error) {
	s := a.service
	_, current := s.directory.Stamp(a.account.JID)
	known, right := s.outage.check(a.name, kept)
	if known && right && current {
		s.cfg.Load().Log.InfoContext(ctx, "signed in without the directory, which is away")
		return a.entered(ctx, authzid)
	}
	if known && !right {
		a.failed() // so that nobody guesses meanwhile
	}
	f := sasl.NewFailure(sasl.TemporaryAuthFailure, "the directory with the passwords does not answer, try again later")
	f.Cause = away
	return jid.JID{}, f
}

// entered makes sure that somebody of the directory has an account of their own,
// which contacts, messages and all else hang on, before signing in.
func (a *attempt) entered(ctx context.Context, authzid string) (jid.JID, error) {
	account, err := a.service.ensure(ctx, a.account.JID)
	if err != nil {
		return jid.JID{}, err
	}
	a.account = account
	return a.succeeded(authzid)
}

// ensure returns the account of somebody of the directory, which is made if it is
// not there: without keys, so that it opens to no password but the directory's.
func (s *Service) ensure(ctx context.Context, bare jid.JID) (Account, error) {
	a, err := s.store.Account(ctx, bare)
	if !errors.Is(err, ErrNotFound) {
		return a, err
	}
	now := time.Now().UTC()
	a = Account{JID: bare, Created: now, Changed: now}
	err = s.store.CreateAccounts(ctx, []Account{a}, nil)
	if err != nil && !errors.Is(err, ErrExists) { // or another node was first
		return a, fmt.Errorf("make account of %s: %w", bare, err)
	}
	s.exists.forget(bare)
	return s.store.Account(ctx, bare)
}

// existsElsewhere is Exists for people of the directory. What is sent to them needs
// an account to be kept in, also before they sign in for the first time.
func (s *Service) existsElsewhere(ctx context.Context, bare jid.JID) (bool, error) {
	ok, err := s.directory.Exists(ctx, bare)
	if err != nil || !ok {
		return false, err
	}
	known, there, generation := s.exists.get(bare)
	if there && known {
		return true, nil
	}
	if _, err := s.ensure(ctx, bare); err != nil {
		return false, err
	}
	s.exists.put(bare, true, generation)
	return true, nil
}

// outage remembers who signed in, for a time without the directory, by the keyed
// hash of verified: it says nothing without this process.
type outage struct {
	mu   sync.Mutex // guards below
	ttl  time.Duration
	seen cache[string, [32]byte]
}

const outageEntries = 1 << 17

func newOutage(ttl time.Duration) *outage {
	return &outage{ttl: ttl, seen: newCache[string, [32]byte](outageEntries, ttl)}
}

// set changes how long somebody is remembered; 0 forgets all.
func (o *outage) set(ttl time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ttl, o.seen.ttl = ttl, ttl
	if ttl <= 0 {
		o.seen = newCache[string, [32]byte](outageEntries, 0)
	}
}

func (o *outage) add(name string, tag [32]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ttl > 0 {
		o.seen.put(name, tag, time.Now())
	}
}

func (o *outage) check(name string, tag [32]byte) (known, right bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept, ok := o.seen.get(name, time.Now())
	return ok, ok && hmac.Equal(kept[:], tag[:])
}

// refuse forgets a password that the directory takes no longer, but not that of
// somebody at whose password a stranger guesses.
func (o *outage) refuse(name string, tag [32]byte) {
	if _, right := o.check(name, tag); right {
		o.forget(name)
	}
}

func (o *outage) forget(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.remove(name)
}
