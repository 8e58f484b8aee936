package roster

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/jid"
)

var (
	// ErrNotFound says that the owner has no account.
	ErrNotFound = errors.New("roster owner not found")
	// ErrConflict says that the roster has changed since it was read.
	ErrConflict = errors.New("roster changed meanwhile")
)

// Subscription is the state of a contact as RFC 6121 §2.1.2.5 names it.
type Subscription uint8

// The four states of a subscription.
const (
	None Subscription = iota
	To
	From
	Both
)

// Item is one contact.
type Item struct {
	JID          jid.JID // bare
	Name         string
	Groups       []string
	Subscription Subscription
	Ask          bool   // a subscription request of the owner is pending
	PendingIn    bool   // a subscription request of the contact is pending
	Approved     bool   // pre-approved, RFC 6121 §3.4
	Request      []byte // the pending request as received, encoded
	Ver          uint64 // roster version that last changed the item, set by the store
}

// Roster is all of an owner's contacts at one version.
type Roster struct {
	Ver   uint64
	Items []Item
}

// Store keeps rosters. Every method may wait for the disk; a write is durable
// when it returns nil. Safe for concurrent use.
//
// Versions only grow; the first one of an owner may be any number, so that the
// history of a deleted account is never taken for that of its successor.
type Store interface {
	// Roster returns the contacts in the order of their JIDs; an unknown owner
	// has none, at version 0.
	Roster(ctx context.Context, owner jid.JID) (Roster, error)
	// Save writes puts and deletes in one transaction as version ver+1 if the
	// stored version is still ver, else it returns ErrConflict. Deleting an
	// absent contact is no error; ErrNotFound says that the owner is unknown.
	Save(ctx context.Context, owner jid.JID, ver uint64, put []Item, del []jid.JID) (uint64, error)
	// Since returns the items changed and the JIDs removed after ver and the
	// present version; ok is false when the history does not reach back to ver.
	Since(ctx context.Context, owner jid.JID, ver uint64) (changed []Item, removed []jid.JID, now uint64, ok bool, err error)
}
