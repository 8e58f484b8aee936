package people

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
)

// shards spread people over maps, so that a change copies a small one.
const shards = 256

// View is who belongs together at one moment. It never changes: each change makes
// another one, which shares with it all that is the same.
type View struct {
	people  [shards]map[jid.JID]*person
	count   int
	groups  []*group // by number; nil = without members
	scope   *Scope
	largest int
	seed    maphash.Seed
}

// person is somebody as the groups know them. Never changed.
type person struct {
	jid     jid.JID
	name    string
	groups  []int32 // all, sorted
	entity  int32   // -1 = none
	place   int32   // of the domain, see Scope
	source  *source
	enabled bool
	why     string // why not enabled
	hash    uint64 // of address and name

	// Settled by what is authorised and synchronised:
	active  bool    // synchronised, if that is asked for
	granted bool    // a group of theirs may use chat
	sources []int32 // groups and entity whose members are contacts; sorted
}

// group is a group or an entity: those of its members that are contacts of each
// other. Never changed.
type group struct {
	title   string
	hash    uint64 // of its key
	sum     uint64 // of the members' hashes
	members []*person
}

func newView(scope *Scope, largest int, seed maphash.Seed) *View {
	return &View{scope: scope, largest: largest, seed: seed}
}

func (v *View) shard(j jid.JID) int { return int(maphash.String(v.seed, j.String()) % shards) }

func (v *View) find(j jid.JID) *person { return v.people[v.shard(j)][j] }

// Len counts the people.
func (v *View) Len() int { return v.count }

// list returns the members of a group that makes contacts.
func (v *View) list(id int32) []*person {
	g := v.groups[id]
	if g == nil || len(g.members) > v.largest {
		return nil
	}
	return g.members
}

// common returns the first group that makes two people contacts, -1 for none.
// Both lists are sorted.
func (v *View) common(a, b []int32) int32 {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		case v.list(a[i]) != nil:
			return a[i]
		default:
			i, j = i+1, j+1
		}
	}
	return -1
}

// Contacts goes through the automatic contacts of an account, each once; nil if
// there can be none. Nothing is copied.
func (v *View) Contacts(owner jid.JID) iter.Seq[jid.JID] {
	o := v.find(owner)
	if o == nil || len(o.sources) == 0 {
		return nil
	}
	return func(yield func(jid.JID) bool) {
		for _, id := range o.sources {
			for _, m := range v.list(id) {
				if m == o || len(o.sources) > 1 && v.common(o.sources, m.sources) != id || !v.scope.relatedPlaces(o.place, m.place) {
					continue
				}
				if !yield(m.jid) {
					return
				}
			}
		}
	}
}

// Has reports whether contact is an automatic contact of owner, and so the other
// way round.
func (v *View) Has(owner, contact jid.JID) bool {
	_, _, ok := v.pair(owner, contact)
	return ok
}

func (v *View) pair(owner, contact jid.JID) (o, c *person, ok bool) {
	if o = v.find(owner); o == nil || len(o.sources) == 0 {
		return nil, nil, false
	}
	c = v.find(contact)
	ok = c != nil && c != o && v.scope.relatedPlaces(o.place, c.place) && v.common(o.sources, c.sources) >= 0
	return o, c, ok
}

// Item returns the name of an automatic contact and the titles of the groups that
// make it one.
func (v *View) Item(owner, contact jid.JID) (name string, groups []string, ok bool) {
	o, c, ok := v.pair(owner, contact)
	if !ok {
		return "", nil, false
	}
	for i, j := 0, 0; i < len(o.sources) && j < len(c.sources); {
		a, b := o.sources[i], c.sources[j]
		if a <= b {
			i++
		}
		if b <= a {
			j++
		}
		if a == b && v.list(a) != nil && !slices.Contains(groups, v.groups[a].title) {
			groups = append(groups, v.groups[a].title)
		}
	}
	return c.name, groups, true
}

// Version is the same on all nodes for the same contacts, names and groups of an
// account, and another one when any of them changes; 0 if there can be none.
func (v *View) Version(owner jid.JID) uint64 {
	o := v.find(owner)
	if o == nil || len(o.sources) == 0 {
		return 0
	}
	sum := uint64(len(o.sources))
	for _, id := range o.sources {
		if v.list(id) != nil {
			sum += mix(v.groups[id].hash ^ mix(v.groups[id].sum))
		}
	}
	return max(1, mix(sum))
}

// mix spreads the bits of a number (the end of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// hashOf is FNV-1a, which is the same on every node.
func hashOf(texts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, t := range texts {
		for i := range len(t) {
			h = (h ^ uint64(t[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return mix(h)
}

// edition is a change of some groups' members.
type edition struct {
	drop map[*person]struct{}
	add  []*person
}

// with returns a view in which people are put and gone; named knows the title and
// key of a group by its number.
func (v *View) with(put []*person, gone []jid.JID, named []groupName) *View {
	n := *v
	var own [shards]bool
	edit := make(map[int32]*edition)
	at := func(id int32) *edition {
		e := edit[id]
		if e == nil {
			e = &edition{drop: map[*person]struct{}{}}
			edit[id] = e
		}
		return e
	}
	swap := func(j jid.JID, p *person) {
		i := n.shard(j)
		if !own[i] {
			own[i] = true
			if n.people[i] = maps.Clone(n.people[i]); n.people[i] == nil {
				n.people[i] = map[jid.JID]*person{}
			}
		}
		if old := n.people[i][j]; old != nil {
			n.count--
			for _, id := range old.sources {
				e := at(id)
				e.drop[old] = struct{}{}
			}
			delete(n.people[i], j)
		}
		if p != nil {
			n.count++
			n.people[i][j] = p
			for _, id := range p.sources {
				e := at(id)
				e.add = append(e.add, p)
			}
		}
	}
	for _, j := range gone {
		swap(j, nil)
	}
	for _, p := range put {
		swap(p.jid, p)
	}
	n.groups = make([]*group, len(named))
	copy(n.groups, v.groups)
	for id, e := range edit {
		n.groups[id] = n.groups[id].edited(e, named[id])
	}
	return &n
}

// edited returns the group after a change, nil if nobody is left.
func (g *group) edited(e *edition, name groupName) *group {
	n := &group{title: name.title, hash: name.hash}
	var old []*person
	if g != nil {
		old = g.members
	}
	kept := make([]*person, 0, len(old)+len(e.add))
	for _, m := range old {
		if _, out := e.drop[m]; !out {
			kept = append(kept, m)
		}
	}
	before := len(kept)
	kept = append(kept, e.add...)
	kept = slices.DeleteFunc(kept, func(p *person) bool { // put twice in one change
		_, out := e.drop[p]
		return out
	})
	if len(kept) == 0 {
		return nil
	}
	if len(kept) > before {
		slices.SortFunc(kept, func(a, b *person) int { return a.jid.Compare(b.jid) })
	}
	for _, m := range kept {
		n.sum += m.hash
	}
	n.members = slices.Clip(kept)
	return n
}
