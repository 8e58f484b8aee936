// Package store moves an installation from one store to another: all accounts
// with what they own, the server's own values, what the nodes of a cluster share,
// and sessions written down. What
// stores hand over to each other for that is declared here; what the features ask
// of a store is declared by them.
//
//	result, err := store.Copy(ctx, sqlite, redis, store.Options{From: "sqlite:deskline.db"})
package store

import (
	"context"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// Record is one account and all it owns.
type Record struct {
	Account auth.Account

	Roster  roster.Roster
	Floor   uint64    // the oldest version that the roster's history reaches back to
	Removed []Removed // contacts removed since, in the order of their JIDs

	Messages []offline.Message // oldest first; the IDs are the store's own
	Private  []private.Element // in the order of their names
	VCard    []byte

	Seen     bool // whether the rest is set
	LastSeen time.Time
	Status   string
}

// Removed is a contact that was removed, and the version that did so.
type Removed struct {
	JID jid.JID
	Ver uint64
}

// Value is one of the server's own values.
type Value struct {
	Key   string
	Value []byte
}

// Cluster is what the nodes of a cluster share.
type Cluster struct {
	Epoch       uint64
	Assignments []cluster.Assignment // in the order of epochs and users
	Records     []cluster.Record     // in the order of their keys
}

// Snapshot is a session written down, see the stores.
type Snapshot = struct {
	SID  string
	Kind string
	Data []byte
}

// Source is a store that can be read as a whole. What is read of it while it is
// being written may not fit together.
type Source interface {
	// Domains returns the domains that may have accounts, sorted.
	Domains(ctx context.Context) ([]string, error)
	// CountAccounts returns how many accounts there are, or nearly so.
	CountAccounts(ctx context.Context) (int, error)
	// Records returns up to max accounts of a domain in the order of the bytes of
	// their local parts, those behind the local part after.
	Records(ctx context.Context, domain, after string, max int) ([]Record, error)
	// Values returns the server's own values, in the order of their keys.
	Values(ctx context.Context) ([]Value, error)
	// Cluster returns what the nodes of a cluster share.
	Cluster(ctx context.Context) (Cluster, error)
	// GroupRecords returns what is said of groups, in the order of their keys.
	GroupRecords(ctx context.Context) ([]people.Record, error)
	// Sessions returns the sessions written down and leaves them there.
	Sessions(ctx context.Context) ([]Snapshot, error)
	// Changes returns what a user was in some time, see [presence.Histories].
	Changes(ctx context.Context, user jid.JID, from, until time.Time, max int) ([]presence.Change, error)
}

// Target is a store that can be written as a whole.
type Target interface {
	Source
	// Restore writes accounts in place of those of the same names, each whole or
	// not at all. Rosters keep their versions, and accounts made later begin
	// above them; messages get new IDs.
	Restore(ctx context.Context, records []Record) error
	// RestoreCluster writes what the nodes of a cluster share in place of what is
	// there, all or nothing.
	RestoreCluster(ctx context.Context, c Cluster) error
	DeleteAccount(ctx context.Context, bare jid.JID) error
	SaveGroupRecord(ctx context.Context, r people.Record) error
	DeleteGroupRecord(ctx context.Context, r people.Record) error
	SetMeta(ctx context.Context, key string, value []byte) error
	Meta(ctx context.Context, key string) ([]byte, error)
	SaveSessions(ctx context.Context, sessions []Snapshot) error
	SaveChanges(ctx context.Context, changes []presence.Change, max int) error
}
