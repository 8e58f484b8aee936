package router

import (
	"sync"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Session is a bound session that lives on this node.
type Session interface {
	SID() SID
	JID() jid.JID
	// Deliver queues a stanza for the client. It never blocks; an error means
	// that the session will not deliver it. frame is st encoded for this
	// receiver and shared with others.
	Deliver(st *stanza.Stanza, frame []byte) error
	Interest() *Interest
	// End closes the session with a stream error condition and a reason.
	End(condition, reason string)
}

// Interest is what a session asked to be told of, beyond being available.
type Interest struct {
	mu       sync.Mutex // guards all below
	roster   bool
	directed map[jid.JID]struct{}
}

// SetRoster notes that the session requested the roster (RFC 6121 §2.1.6: an
// interested resource).
func (i *Interest) SetRoster(v bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.roster = v
}

// Roster reports whether the session gets roster pushes.
func (i *Interest) Roster() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.roster
}

// maxDirected bounds the memory a session can claim by directed presence.
const maxDirected = 2000

// AddDirected notes a receiver of directed presence; false if there are too many.
func (i *Interest) AddDirected(j jid.JID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.directed[j]; ok {
		return true
	}
	if len(i.directed) >= maxDirected {
		return false
	}
	if i.directed == nil {
		i.directed = make(map[jid.JID]struct{})
	}
	i.directed[j] = struct{}{}
	return true
}

// RemoveDirected forgets a receiver and reports whether it was one.
func (i *Interest) RemoveDirected(j jid.JID) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, ok := i.directed[j]
	delete(i.directed, j)
	return ok
}

// Directed returns the receivers of directed presence.
func (i *Interest) Directed() []jid.JID {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.list()
}

// TakeDirected returns the receivers of directed presence and forgets them.
func (i *Interest) TakeDirected() []jid.JID {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := i.list()
	i.directed = nil
	return list
}

func (i *Interest) list() []jid.JID {
	if len(i.directed) == 0 {
		return nil
	}
	list := make([]jid.JID, 0, len(i.directed))
	for j := range i.directed {
		list = append(list, j)
	}
	return list
}

// Table holds the bound sessions of this node.
type Table struct {
	sids [shards]tableShard[SID]
	jids [shards]tableShard[jid.JID]
}

type tableShard[K comparable] struct {
	mu sync.RWMutex // guards m
	m  map[K]Session
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{}
	for i := range shards {
		t.sids[i].m = make(map[SID]Session)
		t.jids[i].m = make(map[jid.JID]Session)
	}
	return t
}

func (s *tableShard[K]) get(k K) (Session, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.m[k]
	return v, ok
}

func (s *tableShard[K]) set(k K, v Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[k] = v
}

func (s *tableShard[K]) remove(k K, v Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m[k] == v {
		delete(s.m, k)
	}
}

// Add enters a session under its SID and full JID.
func (t *Table) Add(s Session) {
	t.sids[shardOf(string(s.SID()))].set(s.SID(), s)
	t.jids[shardOf(s.JID().String())].set(s.JID(), s)
}

// Remove takes a session out; another one of the same JID stays.
func (t *Table) Remove(s Session) {
	t.sids[shardOf(string(s.SID()))].remove(s.SID(), s)
	t.jids[shardOf(s.JID().String())].remove(s.JID(), s)
}

// BySID finds a session.
func (t *Table) BySID(sid SID) (Session, bool) { return t.sids[shardOf(string(sid))].get(sid) }

// ByJID finds the session bound to a full JID.
func (t *Table) ByJID(full jid.JID) (Session, bool) {
	return t.jids[shardOf(full.String())].get(full)
}

// Len counts the sessions.
func (t *Table) Len() int {
	n := 0
	for i := range t.sids {
		t.sids[i].mu.RLock()
		n += len(t.sids[i].m)
		t.sids[i].mu.RUnlock()
	}
	return n
}

// All returns the sessions of this moment.
func (t *Table) All() []Session {
	var all []Session
	for i := range t.sids {
		t.sids[i].mu.RLock()
		for _, s := range t.sids[i].m {
			all = append(all, s)
		}
		t.sids[i].mu.RUnlock()
	}
	return all
}
