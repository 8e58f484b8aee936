package people

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
)

// Synced is who and which groups a synchronisation has let into chat. Never
// changed; nil has nobody.
type Synced struct {
	people map[uint64]uint64 // the hash of an address → of the groups
	groups map[uint64]struct{}
}

func (s *Synced) hasPerson(j jid.JID) bool {
	if s == nil {
		return false
	}
	_, ok := s.people[hashOf(j.String())]
	return ok
}

func (s *Synced) hasGroup(hash uint64) bool {
	if s == nil {
		return false
	}
	_, ok := s.groups[hash]
	return ok
}

// SyncReport is what a synchronisation does.
type SyncReport struct {
	Added   []jid.JID // people let in
	Changed []jid.JID // people whose groups are others
	Gone    int       // people no source tells of any more
	Groups  []string  // groups let in
	People  int       // in chat afterwards
}

// Empty reports whether there is nothing to do.
func (r *SyncReport) Empty() bool {
	return len(r.Added)+len(r.Changed)+r.Gone+len(r.Groups) == 0
}

// Sync works out what a synchronisation would let in now, beside what was let in
// before, and changes nothing.
func (g *Groups) Sync() (*Synced, SyncReport) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := &Synced{people: map[uint64]uint64{}, groups: map[uint64]struct{}{}}
	var r SyncReport
	kept := 0
	for p := range g.now.Load().all() {
		id, groups := hashOf(p.jid.String()), uint64(0)
		for _, n := range p.groups {
			hash := g.named[n].hash
			groups += mix(hash)
			if _, ok := next.groups[hash]; ok {
				continue
			}
			next.groups[hash] = struct{}{}
			if !g.synced.hasGroup(hash) {
				r.Groups = append(r.Groups, g.named[n].title)
			}
		}
		next.people[id] = groups
		if !g.synced.hasPerson(p.jid) {
			r.Added = append(r.Added, p.jid)
			continue
		}
		kept++
		if g.synced.people[id] != groups {
			r.Changed = append(r.Changed, p.jid)
		}
	}
	if g.synced != nil {
		r.Gone = len(g.synced.people) - kept
	}
	r.People = len(next.people)
	slices.SortFunc(r.Added, jid.JID.Compare)
	slices.SortFunc(r.Changed, jid.JID.Compare)
	slices.Sort(r.Groups)
	return next, r
}

// SetSynced lets in those of a synchronisation, in place of those of the last.
func (g *Groups) SetSynced(s *Synced) { g.settle(func() { g.synced = s }) }

const syncedForm = 1

// Encode returns s as it is stored.
func (s *Synced) Encode() []byte {
	ids := make([]uint64, 0, len(s.people))
	for id := range s.people {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	out := make([]byte, 0, 9+16*len(ids)+8*len(s.groups))
	out = append(out, syncedForm)
	out = binary.BigEndian.AppendUint64(out, uint64(len(ids)))
	for _, id := range ids {
		out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, id), s.people[id])
	}
	groups := make([]uint64, 0, len(s.groups))
	for h := range s.groups {
		groups = append(groups, h)
	}
	slices.SortFunc(groups, cmp.Compare)
	for _, h := range groups {
		out = binary.BigEndian.AppendUint64(out, h)
	}
	return out
}

var errSynced = errors.New("the list of a synchronisation is damaged, run deskline user sync again")

// DecodeSynced reads what Encode returned.
func DecodeSynced(data []byte) (*Synced, error) {
	if len(data) < 9 || data[0] != syncedForm || (len(data)-9)%8 != 0 {
		return nil, errSynced
	}
	n := binary.BigEndian.Uint64(data[1:])
	data = data[9:]
	if n > uint64(len(data)/16) {
		return nil, errSynced
	}
	s := &Synced{people: make(map[uint64]uint64, n), groups: map[uint64]struct{}{}}
	for range n {
		s.people[binary.BigEndian.Uint64(data)] = binary.BigEndian.Uint64(data[8:])
		data = data[16:]
	}
	for ; len(data) > 0; data = data[8:] {
		s.groups[binary.BigEndian.Uint64(data)] = struct{}{}
	}
	return s, nil
}
