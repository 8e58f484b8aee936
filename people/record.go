package people

import (
	"context"
	"errors"
)

// ErrNoGroup says that a group is not in the store.
var ErrNoGroup = errors.New("no such group")

// Record is what the administrators say of a group, whose members a source knows.
type Record struct {
	Name       string // as it is to be written
	Domain     string // of a tenant that it is said for; "" = for all
	Authorised bool   // may use chat
}

// Key tells records apart.
func (r Record) Key() string { return GroupKey(r.Name) + "\x00" + r.Domain }

// Store keeps what is said of groups. Every method may wait for the disk; a write
// is durable when it returns nil. Safe for concurrent use.
type Store interface {
	// GroupRecords returns all, in the order of their keys.
	GroupRecords(ctx context.Context) ([]Record, error)
	// SaveGroupRecord writes a record in place of one of the same key.
	SaveGroupRecord(ctx context.Context, r Record) error
	// DeleteGroupRecord takes the record of that key out, or returns ErrNoGroup.
	DeleteGroupRecord(ctx context.Context, r Record) error
}

// Authorisations returns the groups of records that may use chat, and those named
// beside.
func Authorisations(records []Record, names ...string) []Authorisation {
	var list []Authorisation
	for _, r := range records {
		if r.Authorised {
			list = append(list, Authorisation{r.Name, r.Domain})
		}
	}
	for _, name := range names {
		list = append(list, Authorisation{Name: name})
	}
	return list
}
