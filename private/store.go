package private

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/jid"
)

// ErrNotFound says that the owner has no account.
var ErrNotFound = errors.New("private storage owner not found")

// Store keeps the private XML of accounts (XEP-0049) by the name of its root
// element. Every method may wait for the disk; a write is durable when it
// returns nil. Safe for concurrent use.
type Store interface {
	// Private returns the element stored under the name, nil if there is none.
	Private(ctx context.Context, owner jid.JID, space, local string) ([]byte, error)
	// SetPrivate replaces the element; no XML removes it. ErrNotFound says that
	// the owner is unknown.
	SetPrivate(ctx context.Context, owner jid.JID, space, local string, xml []byte) error
}
