package auth

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

var (
	// ErrNotFound says that there is no such account.
	ErrNotFound = errors.New("account not found")
	// ErrExists says that the account to create is there already.
	ErrExists = errors.New("account exists")
)

// Keys are the SCRAM keys of one mechanism (RFC 5802 §3); the password itself
// is never kept.
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Account is one user of this server. One without keys is of somebody whose password
// is kept elsewhere, as in a directory: it holds what they own here.
type Account struct {
	JID      jid.JID         // bare
	Keys     map[string]Keys // by mechanism: "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"
	Name     string
	Email    string
	Groups   []string
	Disabled bool
	Created  time.Time
	Changed  time.Time
}

// Store keeps accounts. Every method may wait for the disk; a write is durable
// when it returns nil. Safe for concurrent use.
type Store interface {
	// Account returns the account of a bare JID, or ErrNotFound.
	Account(ctx context.Context, bare jid.JID) (Account, error)
	// CreateAccounts creates all of the accounts or none; an error wraps
	// ErrExists and names the account that is there already. A progress that is
	// not nil is called from the caller's goroutine with the number prepared
	// so far.
	CreateAccounts(ctx context.Context, accounts []Account, progress func(done int)) error
	// UpdateAccount replaces everything but JID and Created, or returns
	// ErrNotFound.
	UpdateAccount(ctx context.Context, a Account) error
	// DeleteAccount removes the account and everything it owns, or returns
	// ErrNotFound.
	DeleteAccount(ctx context.Context, bare jid.JID) error
	// ListAccounts returns up to max accounts of a domain in the order of the
	// bytes of their local parts, those behind the local part after ("" for
	// the first page).
	ListAccounts(ctx context.Context, domain string, after string, max int) ([]Account, error)
}
