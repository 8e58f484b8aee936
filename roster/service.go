package roster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// Defaults of Config.
const (
	defaultContacts  = 1000
	defaultCacheSize = 20000
	defaultCacheTTL  = 10 * time.Second
)

// maxRequests bounds the pending requests an account collects; further ones are
// dropped.
const maxRequests = 500

// maxTries bounds how often a change is tried against those of other nodes.
const maxTries = 8

// Presence tells a contact of the presence an owner begins or ceases to share.
type Presence interface {
	// SendCurrent sends the presence of the owner's available resources to the
	// bare contact.
	SendCurrent(ctx context.Context, owner, contact jid.JID) error
	// SendUnavailable sends unavailable presence of these resources.
	SendUnavailable(ctx context.Context, owner, contact jid.JID) error
	// Introduce tells resources of one account of the presence of contacts that
	// came, and that those who left are gone for them.
	Introduce(ctx context.Context, to []router.Binding, came, left []jid.JID) error
}

// Config joins a Service to the rest of the node.
type Config struct {
	Store       Store
	Router      *router.Router
	Accounts    router.Accounts
	Presence    Presence  // may follow by Join
	Automatic   Automatic // nil: contacts are made by hand alone
	MaxContacts int       // of one owner, default 1000
	CacheSize   int       // owners whose subscriptions are held in memory, default 20000
	CacheTTL    time.Duration
	Log         *slog.Logger
}

// Service answers roster requests and carries out subscriptions. Safe for
// concurrent use.
type Service struct {
	cfg     Config
	most    atomic.Int64 // contacts of one owner
	cache   *cache
	seed    maphash.Seed
	turns   [256]chan struct{} // one change of an owner at a time, by hash
	stirred chan struct{}      // the automatic contacts may be others
	prefix  string             // of push ids
	pushes  atomic.Uint64
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.CacheSize <= 0 {
		cfg.CacheSize = defaultCacheSize
	}
	if cfg.CacheTTL <= 0 {
		cfg.CacheTTL = defaultCacheTTL
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, stirred: make(chan struct{}, 1), cache: newCache(cfg.CacheSize, cfg.CacheTTL), seed: maphash.MakeSeed(), prefix: rand.Text()[:8]}
	s.SetMaxContacts(cfg.MaxContacts)
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s
}

// SetMaxContacts changes Config.MaxContacts for the contacts to come; rosters
// that are longer stay.
func (s *Service) SetMaxContacts(n int) {
	if n <= 0 {
		n = defaultContacts
	}
	s.most.Store(int64(n))
}

// MaxContacts returns what is in force.
func (s *Service) MaxContacts() int { return int(s.most.Load()) }

// Join sets the presence side, which is made after the service, before the
// first stanza.
func (s *Service) Join(p Presence) { s.cfg.Presence = p }

// Changed says that another node may have written a version of a roster.
func (s *Service) Changed(owner jid.JID, ver uint64) { s.cache.outdate(owner, ver) }

// Missed says that any roster may have been changed by another node.
func (s *Service) Missed() { s.cache.clear() }

// Subscribers returns the contacts that receive the owner's presence: those made by
// hand, sorted, and the automatic ones that are not among them, nil if there can be
// none. The slice is shared and must not be changed.
func (s *Service) Subscribers(ctx context.Context, owner jid.JID) (own []jid.JID, more iter.Seq[jid.JID], err error) {
	snap, err := s.snapshot(ctx, owner)
	if err != nil {
		return nil, nil, err
	}
	return snap.subscribers, s.beside(owner, snap.subscribers), nil
}

// Subscriptions returns the contacts whose presence the owner receives, as
// Subscribers does.
func (s *Service) Subscriptions(ctx context.Context, owner jid.JID) (own []jid.JID, more iter.Seq[jid.JID], err error) {
	snap, err := s.snapshot(ctx, owner)
	if err != nil {
		return nil, nil, err
	}
	return snap.subscriptions, s.beside(owner, snap.subscriptions), nil
}

// MaySee reports whether contact receives the owner's presence; owners see
// themselves.
func (s *Service) MaySee(ctx context.Context, owner, contact jid.JID) (bool, error) {
	owner, contact = owner.Bare(), contact.Bare()
	if owner == contact || s.automatic(owner, contact) {
		return true, nil
	}
	snap, err := s.snapshot(ctx, owner)
	return err == nil && contains(snap.subscribers, contact), err
}

// HasSubscription reports whether the owner receives the contact's presence.
func (s *Service) HasSubscription(ctx context.Context, owner, contact jid.JID) (bool, error) {
	owner, contact = owner.Bare(), contact.Bare()
	if s.automatic(owner, contact) {
		return true, nil
	}
	snap, err := s.snapshot(ctx, owner)
	return err == nil && contains(snap.subscriptions, contact), err
}

func (s *Service) snapshot(ctx context.Context, owner jid.JID) (*snapshot, error) {
	owner = owner.Bare()
	if snap := s.cache.get(owner); snap != nil {
		return snap, nil
	}
	_, snap, err := s.load(ctx, owner)
	return snap, err
}

// reaches tells which contacts the owner can reach, nil for all: a roster may be
// older than the rule that keeps domains apart.
func (s *Service) reaches(owner jid.JID) func(jid.JID) bool {
	if !s.cfg.Router.Scoped() {
		return nil
	}
	return func(contact jid.JID) bool { return s.cfg.Router.Reaches(owner, contact) }
}

// load reads a roster and remembers its snapshot.
func (s *Service) load(ctx context.Context, owner jid.JID) (Roster, *snapshot, error) {
	r, err := s.cfg.Store.Roster(ctx, owner)
	if err != nil {
		return Roster{}, nil, fmt.Errorf("read roster of %s: %w", owner, err)
	}
	snap := newSnapshot(&r, s.reaches(owner))
	s.cache.put(owner, snap)
	return r, snap, nil
}

// change is what an edit does to one item of a roster. The zero change does
// nothing.
type change struct {
	put    *Item
	remove bool // the item named by jid
	jid    jid.JID
}

// edit looks at a roster and says what to change. It may run several times.
type edit func(r *Roster) (change, error)

// update makes a change durable and then runs after, with the new version, which
// tells the owner's clients. Changes of one owner take turns on this node, so
// that clients learn of them in order; other nodes are met by the version.
func (s *Service) update(ctx context.Context, owner jid.JID, e edit, after func(ver uint64)) error {
	turn := s.turns[maphash.String(s.seed, owner.String())%uint64(len(s.turns))]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return fmt.Errorf("change roster of %s: %w", owner, ctx.Err())
	}
	for range maxTries {
		ver, err := s.try(ctx, owner, e)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return fmt.Errorf("change roster of %s: %w", owner, err)
		}
		after(ver)
		return nil
	}
	return fmt.Errorf("change roster of %s, %d tries: %w", owner, maxTries, ErrConflict)
}

func (s *Service) try(ctx context.Context, owner jid.JID, e edit) (uint64, error) {
	r, err := s.cfg.Store.Roster(ctx, owner)
	if err != nil {
		return 0, err
	}
	c, err := e(&r)
	if err != nil {
		return 0, err
	}
	var put []Item
	var del []jid.JID
	switch i := find(r.Items, c.jid); {
	case c.remove && i >= 0:
		del = []jid.JID{c.jid}
		r.Items = append(r.Items[:i:i], r.Items[i+1:]...)
	case c.put != nil && i >= 0:
		put = []Item{*c.put}
		r.Items = append(r.Items[:i:i], r.Items[i+1:]...)
		r.Items = append(r.Items, *c.put)
	case c.put != nil:
		put = []Item{*c.put}
		r.Items = append(r.Items[:len(r.Items):len(r.Items)], *c.put)
	default:
		return r.Ver, nil
	}
	if r.Ver, err = s.cfg.Store.Save(ctx, owner, r.Ver, put, del); err != nil {
		return 0, err
	}
	s.cache.put(owner, newSnapshot(&r, s.reaches(owner)))
	return r.Ver, nil
}
