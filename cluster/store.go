package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/deskline/deskline/xmpp/jid"
)

// ErrConflict says that a record was changed meanwhile: read it and try again.
var ErrConflict = errors.New("cluster record was changed meanwhile")

// Assignment is the home of a user by an administrator's word.
type Assignment struct {
	User  jid.JID // bare
	Home  Home    // the zero value takes the word back
	Epoch uint64  // in which it was made; set by the store
}

// Record is one value that the nodes share.
type Record struct {
	Key     string
	Data    []byte
	Version uint64 // counts the changes; 0 = not there yet
}

// Store keeps what a cluster must not forget. All nodes use the same one, or
// they do not know of each other's assignments and states.
type Store interface {
	// ClusterEpoch returns the epoch of the latest change, 0 before the first.
	ClusterEpoch(ctx context.Context) (uint64, error)
	// SaveAssignments raises the epoch and writes the assignments under it, all
	// or none. Of one user the last in the list counts.
	SaveAssignments(ctx context.Context, list []Assignment) (epoch uint64, err error)
	// Assignments returns at most limit assignments behind after, by epoch and in
	// an order of the store's own within an epoch; after is the last one of the
	// page before, or has an Epoch alone for all that came later. Those taken
	// back are among them.
	Assignments(ctx context.Context, after Assignment, limit int) ([]Assignment, error)
	// ClusterRecords returns all records by key.
	ClusterRecords(ctx context.Context) ([]Record, error)
	// SaveClusterRecord writes a record if the stored version is still that of r,
	// else it returns ErrConflict. With raise the epoch is raised with it.
	SaveClusterRecord(ctx context.Context, r Record, raise bool) error
}

// MemoryStore is a [Store] that ends with the process, for tests.
type MemoryStore struct {
	mu       sync.Mutex // guards what follows
	epoch    uint64
	assigned map[jid.JID]Assignment
	records  map[string]Record
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{assigned: map[jid.JID]Assignment{}, records: map[string]Record{}}
}

// ClusterEpoch implements Store.
func (m *MemoryStore) ClusterEpoch(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch, nil
}

// SaveAssignments implements Store.
func (m *MemoryStore) SaveAssignments(_ context.Context, list []Assignment) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	for _, a := range list {
		a.Epoch = m.epoch
		m.assigned[a.User] = a
	}
	return m.epoch, nil
}

// Assignments implements Store.
func (m *MemoryStore) Assignments(_ context.Context, after Assignment, limit int) ([]Assignment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Assignment
	for _, a := range m.assigned {
		if a.Epoch > after.Epoch || a.Epoch == after.Epoch && !after.User.IsZero() && a.User.String() > after.User.String() {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b Assignment) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.User.String(), b.User.String()))
	})
	return list[:min(limit, len(list))], nil
}

// ClusterRecords implements Store.
func (m *MemoryStore) ClusterRecords(context.Context) ([]Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Record
	for _, r := range m.records {
		r.Data = bytes.Clone(r.Data)
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Record) int { return cmp.Compare(a.Key, b.Key) })
	return list, nil
}

// SaveClusterRecord implements Store.
func (m *MemoryStore) SaveClusterRecord(_ context.Context, r Record, raise bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records[r.Key].Version != r.Version {
		return ErrConflict
	}
	r.Version++
	r.Data = bytes.Clone(r.Data)
	m.records[r.Key] = r
	if raise {
		m.epoch++
	}
	return nil
}
