package vcard

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/jid"
)

// ErrNotFound says that the owner has no account.
var ErrNotFound = errors.New("vCard owner not found")

// Store keeps vCards (XEP-0054). Every method may wait for the disk; a write is
// durable when it returns nil. Safe for concurrent use.
type Store interface {
	// VCard returns the owner's vCard, nil if there is none.
	VCard(ctx context.Context, owner jid.JID) ([]byte, error)
	// SetVCard replaces the vCard; no XML removes it. ErrNotFound says that the
	// owner is unknown.
	SetVCard(ctx context.Context, owner jid.JID, xml []byte) error
}
