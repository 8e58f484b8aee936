package router

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

const shards = 64

var seed = maphash.MakeSeed()

func shardOf(s string) uint64 { return maphash.String(seed, s) % shards }

// Memory is the Registry of a node that stands alone.
type Memory struct {
	gen    atomic.Uint64
	shards [shards]memoryShard
}

type memoryShard struct {
	mu sync.RWMutex // guards m; its slices are replaced, never changed
	m  map[jid.JID][]Binding
}

func (s *memoryShard) put(bare jid.JID, list []Binding) {
	if len(list) == 0 {
		delete(s.m, bare)
		return
	}
	s.m[bare] = list
}

// NewMemory returns an empty registry.
func NewMemory() *Memory {
	r := &Memory{}
	for i := range r.shards {
		r.shards[i].m = make(map[jid.JID][]Binding)
	}
	return r
}

// Bind implements Registry.
func (r *Memory) Bind(_ context.Context, b Binding) (uint64, *Binding, error) {
	b.Gen = r.gen.Add(1)
	var replaced *Binding
	r.change(b.Full.Bare(), func(old []Binding) []Binding {
		list := make([]Binding, 0, len(old)+1)
		for _, o := range old {
			if o.Full == b.Full {
				replaced = &o
				continue
			}
			list = append(list, o)
		}
		return append(list, b)
	})
	return b.Gen, replaced, nil
}

// Update implements Registry.
func (r *Memory) Update(_ context.Context, b Binding) error {
	r.change(b.Full.Bare(), func(old []Binding) []Binding {
		i := slices.IndexFunc(old, func(o Binding) bool { return o.Full == b.Full && o.Gen == b.Gen })
		if i < 0 {
			return old
		}
		list := slices.Clone(old)
		list[i] = b
		return list
	})
	return nil
}

// Unbind implements Registry.
func (r *Memory) Unbind(_ context.Context, full jid.JID, gen uint64) error {
	r.change(full.Bare(), func(old []Binding) []Binding {
		return without(old, func(o *Binding) bool { return o.Full == full && o.Gen == gen })
	})
	return nil
}

// Lookup implements Registry.
func (r *Memory) Lookup(_ context.Context, bare jid.JID) ([]Binding, error) {
	s := &r.shards[shardOf(bare.String())]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[bare], nil
}

// DropNode implements Registry.
func (r *Memory) DropNode(_ context.Context, node NodeID) error {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for bare, list := range s.m {
			s.put(bare, without(list, func(o *Binding) bool { return o.Node == node }))
		}
		s.mu.Unlock()
	}
	return nil
}

func (r *Memory) change(bare jid.JID, f func([]Binding) []Binding) {
	s := &r.shards[shardOf(bare.String())]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(bare, f(s.m[bare]))
}

func without(list []Binding, drop func(*Binding) bool) []Binding {
	kept := make([]Binding, 0, len(list))
	for i := range list {
		if !drop(&list[i]) {
			kept = append(kept, list[i])
		}
	}
	return kept
}

// Local is the Mailboxes of a node that stands alone: a function call into the
// sessions of its table.
type Local struct{ Table *Table }

// Send implements Mailboxes.
func (l Local) Send(_ context.Context, letters []Letter) error {
	for i := range letters {
		if s, ok := l.Table.BySID(letters[i].To); ok {
			_ = s.Deliver(letters[i].Stanza, letters[i].Frame) // one that does not take it is ending
		}
	}
	return nil
}

// Post implements Mailboxes.
func (l Local) Post(_ context.Context, to []SID, st *stanza.Stanza) error {
	var frame []byte
	err := ErrUndelivered
	for _, sid := range to {
		s, ok := l.Table.BySID(sid)
		if !ok {
			continue
		}
		if frame == nil {
			frame = st.AppendXML(nil)
		}
		if s.Deliver(st, frame) == nil {
			err = nil
		}
	}
	return err
}
