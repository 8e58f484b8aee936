// Package auth holds the accounts of this server and signs clients in.
//
// Only keys derived from a password are kept, one set for each SCRAM mechanism
// (RFC 5802 §3), so every client finds the mechanism it prefers and a stolen
// store tells no password. [Service] makes the exchanges of package sasl. It
// answers for users who do not exist exactly as for a wrong password, in words
// and in work, slows down guessing by address and by account, and keeps the
// cost of PLAIN away from those who are signed in already.
//
//	s := auth.New(store, auth.Config{Secret: secret})
//	err := s.Create(ctx, auth.Account{JID: alice}, "correct horse")
//	ex, err := s.Begin(ctx, "SCRAM-SHA-256", "example.com", channel)
//
// Deriving costs, at the default of 4,096 iterations and on one core of a 2023
// server, 0.9 ms for SHA-256, 1.0 ms for SHA-1 and 2.6 ms for SHA-512. The standard
// library computes the pads of HMAC once a password, so what is left is the hash.
// Importing 10,000 accounts takes 20 s of processor time, spread over all
// processors, and 46 s with SCRAM-SHA-512 too. A PLAIN login costs one SHA-256
// derivation; a SCRAM login costs microseconds, for the client does the work.
package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// DefaultIterations is the least that RFC 7677 §4 allows. More makes a stolen
// store harder to attack, and each PLAIN login and import slower.
const DefaultIterations = 4096

// mechanisms are in the order offered, the strongest first.
var mechanisms = []string{sasl.ScramSHA512, sasl.ScramSHA256, sasl.ScramSHA1, sasl.Plain}

// Config sets up a Service. Zero fields have the defaults given.
type Config struct {
	// Mechanisms are those offered and those keys are derived for; default all.
	Mechanisms []string
	// PlainInsecure offers PLAIN even where somebody may listen.
	PlainInsecure bool
	// Iterations of new keys; default DefaultIterations.
	Iterations int
	// Secret is where made-up salts for unknown users come from. It must stay
	// the same for ever, else a changed salt tells that a user does not exist.
	// Default: random.
	Secret []byte
	// Derivations is how many passwords are checked at a time, so that a storm
	// of logins leaves processors to those who are in; default: half of them.
	Derivations int
	// MaxWait is how long an attempt waits for its turn to derive; then the client
	// is told to come again. Default 15 s.
	MaxWait time.Duration
	// FailuresPerMinute are not delayed, for each address and account; default 20.
	FailuresPerMinute int
	// MaxDelay bounds the delay of an attempt after too many failed ones. An
	// attempt that would have to wait longer is refused. Default 10 s.
	MaxDelay time.Duration
	// VerifiedTTL is how long a verified password need not be derived again;
	// default 5 minutes, negative: never kept.
	VerifiedTTL time.Duration
	// Changed is called after accounts were made or deleted, or something of them
	// has changed that others are shown; may be nil. The context is that of the
	// change.
	Changed func(ctx context.Context)
	// LoginCache is how long somebody who signed in by a Directory may do so again
	// while that is away; 0: not at all.
	LoginCache time.Duration
	// Log gets no names of users and no passwords; default: none.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if len(c.Mechanisms) == 0 {
		c.Mechanisms = mechanisms
	}
	c.Iterations = cmp.Or(c.Iterations, DefaultIterations)
	if len(c.Secret) == 0 {
		c.Secret = make([]byte, 32)
		_, _ = rand.Read(c.Secret) // never fails
	}
	c.Derivations = cmp.Or(c.Derivations, max(1, runtime.GOMAXPROCS(0)/2))
	c.MaxWait = cmp.Or(c.MaxWait, 15*time.Second)
	c.FailuresPerMinute = cmp.Or(c.FailuresPerMinute, 20)
	c.MaxDelay = cmp.Or(c.MaxDelay, 10*time.Second)
	c.VerifiedTTL = cmp.Or(c.VerifiedTTL, 5*time.Minute)
	if c.Changed == nil {
		c.Changed = func(context.Context) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Service signs clients in and changes accounts. Safe for concurrent use.
type Service struct {
	cfg       atomic.Pointer[Config]
	store     Store
	directory Directory // nil: all accounts are in the store
	outage    *outage
	deriving  chan struct{} // a place for each derivation under way
	waiting   atomic.Int64  // for such a place
	derived   atomic.Uint64 // keys so far
	editing   chan struct{} // held while an account is read, changed and written
	throttle  *throttle
	verified  *verified
	exists    *existence
	tokens    Tokens // nil = none are taken
}

// New makes a Service over a store.
func New(store Store, cfg Config) *Service {
	cfg = cfg.withDefaults()
	s := &Service{
		store:    store,
		deriving: make(chan struct{}, cfg.Derivations),
		editing:  make(chan struct{}, 1),
		throttle: newThrottle(cfg.FailuresPerMinute, cfg.MaxDelay),
		verified: newVerified(cfg.VerifiedTTL),
		exists:   newExistence(),
		outage:   newOutage(cfg.LoginCache),
	}
	s.cfg.Store(&cfg)
	return s
}

// SetConfig puts cfg in force for the attempts and passwords to come, but for
// Secret, Derivations, Changed and Log, which stay as they are.
func (s *Service) SetConfig(cfg Config) {
	old := s.cfg.Load()
	cfg.Secret, cfg.Derivations, cfg.Changed, cfg.Log = old.Secret, old.Derivations, old.Changed, old.Log
	cfg = cfg.withDefaults()
	s.throttle.set(cfg.FailuresPerMinute, cfg.MaxDelay)
	s.verified.set(cfg.VerifiedTTL)
	s.outage.set(cfg.LoginCache)
	s.cfg.Store(&cfg)
}

// Config returns what is in force.
func (s *Service) Config() Config { return *s.cfg.Load() }

// Stats are figures of the moment.
type Stats struct {
	Waiting int    // attempts and new passwords that wait for their turn
	Derived uint64 // keys made of a password since the start
}

// Stats returns the figures of the moment.
func (s *Service) Stats() Stats { return Stats{int(s.waiting.Load()), s.derived.Load()} }

// Mechanisms returns what to offer those of a domain on a channel, the strongest
// first. A directory takes passwords and tokens alone.
func (s *Service) Mechanisms(domain string, ch sasl.Channel) []string {
	offered := make([]string, 0, len(mechanisms))
	for _, m := range mechanisms {
		if s.enabled(m) && (m == sasl.Plain && s.plainAllowed(ch) || m != sasl.Plain && !s.elsewhere(domain)) {
			offered = append(offered, m)
		}
	}
	// Last, for those who take the first that they know have a password.
	if s.bearerOffered(domain, ch) {
		offered = append(offered, sasl.OAuthBearer)
	}
	return offered
}

// Begin starts the exchange of a mechanism for an account of the domain. The
// error is a *sasl.Failure.
func (s *Service) Begin(_ context.Context, mech, domain string, ch sasl.Channel) (sasl.Exchange, error) {
	if mech == sasl.OAuthBearer {
		return s.beginBearer(domain, ch)
	}
	if !s.enabled(mech) || mech != sasl.Plain && s.elsewhere(domain) {
		return nil, sasl.NewFailure(sasl.InvalidMechanism, "")
	}
	a := &attempt{service: s, mech: mech, domain: domain, remote: remoteKey(ch.Remote)}
	if mech == sasl.Plain {
		if !s.plainAllowed(ch) {
			return nil, sasl.NewFailure(sasl.EncryptionRequired, "PLAIN needs a connection with TLS")
		}
		return sasl.NewPlain(a), nil
	}
	ex, ok := sasl.NewSCRAM(mech, a)
	if !ok {
		return nil, sasl.NewFailure(sasl.InvalidMechanism, "")
	}
	return ex, nil
}

func (s *Service) enabled(mech string) bool { return slices.Contains(s.cfg.Load().Mechanisms, mech) }

func (s *Service) plainAllowed(ch sasl.Channel) bool { return ch.Secure || s.cfg.Load().PlainInsecure }

// Create makes an account with a password; a.Keys, Created and Changed are set
// here. The error wraps sasl.ErrPassword for a password that cannot be used
// and ErrExists if the account is there already.
func (s *Service) Create(ctx context.Context, a Account, password string) error {
	if a.JID.Local() == "" || !a.JID.IsBare() {
		return fmt.Errorf("create account %s: %w", a.JID, jid.ErrMalformed)
	}
	keys, err := s.derive(ctx, password)
	if err != nil {
		return fmt.Errorf("create account %s: %w", a.JID, err)
	}
	a.Keys = keys
	a.Created = time.Now().UTC()
	a.Changed = a.Created
	if err := s.store.CreateAccounts(ctx, []Account{a}, nil); err != nil {
		return fmt.Errorf("create account %s: %w", a.JID, err)
	}
	s.exists.forget(a.JID)
	s.cfg.Load().Changed(ctx)
	return nil
}

// SetPassword replaces the keys of an account; from then on the old password
// is worth nothing. Errors as Create, and ErrNotFound.
func (s *Service) SetPassword(ctx context.Context, bare jid.JID, password string) error {
	keys, err := s.derive(ctx, password)
	if err != nil {
		return fmt.Errorf("set password of %s: %w", bare, err)
	}
	return s.Update(ctx, bare, func(a *Account) { a.Keys = keys })
}

// Update changes an account by means of change, one account at a time, so that
// no change is lost to another made at the same time. change must not block.
func (s *Service) Update(ctx context.Context, bare jid.JID, change func(*Account)) error {
	select {
	case s.editing <- struct{}{}:
		defer func() { <-s.editing }()
	case <-ctx.Done():
		return fmt.Errorf("update account %s: %w", bare, ctx.Err())
	}
	a, err := s.store.Account(ctx, bare)
	if err != nil {
		return fmt.Errorf("update account %s: %w", bare, err)
	}
	before := a
	before.Groups = slices.Clone(a.Groups)
	change(&a)
	a.Changed = time.Now().UTC()
	if err := s.store.UpdateAccount(ctx, a); err != nil {
		return fmt.Errorf("update account %s: %w", bare, err)
	}
	if a.Name != before.Name || a.Email != before.Email || a.Disabled != before.Disabled || !slices.Equal(a.Groups, before.Groups) {
		s.cfg.Load().Changed(ctx)
	}
	return nil
}

// Delete removes an account and everything it owns.
func (s *Service) Delete(ctx context.Context, bare jid.JID) error {
	err := s.store.DeleteAccount(ctx, bare)
	s.exists.forget(bare)
	if err != nil {
		return fmt.Errorf("delete account %s: %w", bare, err)
	}
	s.cfg.Load().Changed(ctx)
	return nil
}

// Exists reports whether there is such an account. The answer may be ten
// seconds old if the account was made or removed past this Service.
func (s *Service) Exists(ctx context.Context, bare jid.JID) (bool, error) {
	if bare.Local() == "" {
		return false, nil
	}
	bare = bare.Bare()
	if s.elsewhere(bare.Domain()) {
		return s.existsElsewhere(ctx, bare)
	}
	known, ok, generation := s.exists.get(bare)
	if ok {
		return known, nil
	}
	_, err := s.store.Account(ctx, bare)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, fmt.Errorf("look up account %s: %w", bare, err)
	}
	s.exists.put(bare, err == nil, generation)
	return err == nil, nil
}
