// Package vcard keeps the vCards of accounts (XEP-0054). Everybody may read
// one, only its owner may set it. Clients announce the hash of their picture in
// presence (XEP-0153); that passes the server untouched.
//
//	vcard.Register(m, vcard.Config{Store: store})
package vcard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// NS is the namespace of vCards.
const NS = "vcard-temp"

// Config sets up vCards.
type Config struct {
	Store    Store
	MaxBytes int // of one vCard, default 64 KiB
}

type service struct{ Config }

// Register adds vCards to the accounts.
func Register(m *mux.Mux, cfg Config) {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 64<<10)
	s := service{cfg}
	m.Handle(mux.Route{Name: stanza.Name{Space: NS, Local: "vCard"}, Get: s.get, Set: s.set, Scope: mux.ScopeAccount, Public: true})
}

func (s service) get(ctx context.Context, req *mux.Request) ([]byte, error) {
	card, err := s.Store.VCard(ctx, req.Owner)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("read vCard of %s: %w", req.Owner, err)
	case card != nil:
		return card, nil
	case req.Self:
		return nil, stanza.ErrItemNotFound()
	default:
		// XEP-0054 §3.3: as for a user who does not exist.
		return nil, stanza.ErrServiceUnavailable()
	}
}

func (s service) set(ctx context.Context, req *mux.Request) ([]byte, error) {
	if !req.Self {
		return nil, stanza.ErrForbidden()
	}
	card := req.Stanza.ChildBytes(req.Payload)
	if len(card) > s.MaxBytes {
		return nil, stanza.NewError(stanza.Modify, "policy-violation", fmt.Sprintf("vCard is larger than %d bytes", s.MaxBytes))
	}
	err := s.Store.SetVCard(ctx, req.Owner, bytes.Clone(card))
	if errors.Is(err, ErrNotFound) {
		return nil, stanza.ErrServiceUnavailable()
	}
	if err != nil {
		return nil, fmt.Errorf("store vCard of %s: %w", req.Owner, err)
	}
	return nil, nil
}
