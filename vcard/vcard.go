// Package vcard keeps the vCards of accounts (XEP-0054). Everybody may read
// one, only its owner may set it. Clients announce the hash of their picture in
// presence (XEP-0153); that passes the server untouched.
//
// Whoever has set none has one made of what is known of them otherwise, for those
// who may see it. The vCards of people of a directory are all made so, and
// cannot be set.
//
//	s := vcard.New(vcard.Config{Store: store})
//	s.Register(m)
package vcard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// NS is the namespace of vCards.
const NS = "vcard-temp"

// Config sets up vCards.
type Config struct {
	Store    Store
	MaxBytes int // of one vCard, default 64 KiB
	// People is who is known; nil = nobody. Visibility says who may read of whom;
	// default people.SameDomain.
	People     People
	Visibility people.Visibility
	// Directory says whether a directory has the people of a domain; nil = none has.
	Directory func(domain string) bool
	Photos    Photos // nil = none
	Log       *slog.Logger
}

// People knows who there is, as *people.Index does.
type People interface {
	Person(bare jid.JID) (people.Person, bool)
}

const kept = "vCards here are those of the directory, and changed there"

// Service answers requests for vCards. Safe for concurrent use.
type Service struct {
	cfg      Config
	maxBytes atomic.Int64
	photos   *photos
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Visibility == nil {
		cfg.Visibility = people.SameDomain{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, photos: newPhotos(cfg.Photos, cfg.Log)}
	s.SetMaxBytes(cfg.MaxBytes)
	return s
}

// SetMaxBytes changes Config.MaxBytes; what is larger and kept stays.
func (s *Service) SetMaxBytes(n int) { s.maxBytes.Store(int64(cmp.Or(n, 64<<10))) }

// MaxBytes returns what is in force.
func (s *Service) MaxBytes() int { return int(s.maxBytes.Load()) }

// Register adds vCards to the accounts.
func (s *Service) Register(m *mux.Mux) {
	m.Handle(mux.Route{Name: stanza.Name{Space: NS, Local: "vCard"}, Get: s.get, Set: s.set, Scope: mux.ScopeAccount, Public: true})
}

func (s *Service) directory(owner jid.JID) bool {
	return s.cfg.Directory != nil && s.cfg.Directory(owner.Domain())
}

func (s *Service) get(ctx context.Context, req *mux.Request) ([]byte, error) {
	if !s.directory(req.Owner) {
		card, err := s.cfg.Store.VCard(ctx, req.Owner)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("read vCard of %s: %w", req.Owner, err)
		}
		if card != nil {
			return card, nil
		}
	}
	card := s.made(ctx, req)
	switch {
	case card != nil:
		return card, nil
	case req.Self:
		return nil, stanza.ErrItemNotFound()
	default:
		// XEP-0054 §3.3: as for a user who does not exist.
		return nil, stanza.ErrServiceUnavailable()
	}
}

func (s *Service) set(ctx context.Context, req *mux.Request) ([]byte, error) {
	if !req.Self {
		return nil, stanza.ErrForbidden()
	}
	if s.directory(req.Owner) {
		return nil, stanza.NewError(stanza.Cancel, "not-allowed", kept)
	}
	card := req.Stanza.ChildBytes(req.Payload)
	if most := s.MaxBytes(); len(card) > most {
		return nil, stanza.NewError(stanza.Modify, "policy-violation", fmt.Sprintf("vCard is larger than %d bytes", most))
	}
	err := s.cfg.Store.SetVCard(ctx, req.Owner, bytes.Clone(card))
	if errors.Is(err, ErrNotFound) {
		return nil, stanza.ErrServiceUnavailable()
	}
	if err != nil {
		return nil, fmt.Errorf("store vCard of %s: %w", req.Owner, err)
	}
	return nil, nil
}
