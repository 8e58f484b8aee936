package info

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// ErrNotFound says that the owner has no account.
var ErrNotFound = errors.New("last activity owner not found")

// Store keeps when an account was last available (XEP-0012). Every method may
// wait for the disk; a write is durable when it returns nil. Safe for
// concurrent use.
type Store interface {
	// LastSeen returns when the owner's last session ended and the status text
	// it left with; false if that was never recorded.
	LastSeen(ctx context.Context, owner jid.JID) (time.Time, string, bool, error)
	// SetLastSeen replaces both. ErrNotFound says that the owner is unknown.
	SetLastSeen(ctx context.Context, owner jid.JID, t time.Time, status string) error
}
