package private

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/jid"
)

var (
	// ErrNotFound says that the owner has no account.
	ErrNotFound = errors.New("private storage owner not found")
	// ErrFull says that the owner would keep more elements than allowed.
	ErrFull = errors.New("private storage is full")
)

// Element is one element with the name of its root.
type Element struct {
	Space, Local string
	XML          []byte // none removes it
}

// Store keeps the private XML of accounts (XEP-0049) by the name of its root
// element. Every method may wait for the disk; a write is durable when it
// returns nil. Safe for concurrent use.
type Store interface {
	// Private returns the element stored under the name, nil if there is none.
	Private(ctx context.Context, owner jid.JID, space, local string) ([]byte, error)
	// SetPrivate replaces the elements, all or none. ErrFull says that the owner
	// would keep more than limit and more than before, ErrNotFound that the
	// owner is unknown.
	SetPrivate(ctx context.Context, owner jid.JID, limit int, elements ...Element) error
}
