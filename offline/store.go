package offline

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

var (
	// ErrNotFound says that the owner has no account.
	ErrNotFound = errors.New("offline owner not found")
	// ErrFull says that the owner's limit of messages is reached.
	ErrFull = errors.New("offline messages full")
)

// Message is one message kept for an owner without a session.
type Message struct {
	ID    int64 // given by the store, growing
	Stamp time.Time
	XML   []byte
	// Origin names the message for those who have it already; the zero value
	// names none. It is not returned.
	Origin Origin
}

// Origin is which of a sender's stanzas a message was. A sender's are kept in
// their order.
type Origin struct {
	Sender         string
	Request, Place uint64
}

// OriginLife is how long stores remember at least what they kept of a sender.
const OriginLife = time.Hour

// Store keeps messages until their owner is back. Every method may wait for
// the disk; a write is durable when it returns nil. Safe for concurrent use.
type Store interface {
	// Append keeps m, whose ID is ignored, unless limit messages or more are
	// kept for the owner: ErrFull. One whose origin does not come after that of
	// the last one kept of its sender is there, or was: nil. ErrNotFound says that the owner is unknown.
	Append(ctx context.Context, owner jid.JID, limit int, m Message) error
	// Messages returns up to max messages, the oldest first.
	Messages(ctx context.Context, owner jid.JID, max int) ([]Message, error)
	// Remove deletes the owner's messages with an ID up to and including upto.
	Remove(ctx context.Context, owner jid.JID, upto int64) error
	// Count returns how many messages are kept for the owner.
	Count(ctx context.Context, owner jid.JID) (int, error)
}
