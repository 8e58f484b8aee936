package people

import (
	"runtime"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
)

// layer is one domain of one source. Its people are in parts of a bounded size,
// so that a load needs little memory beside what it makes, and in a delta of those
// changed lately, which is made anew at each change. Layers are not changed:
// all methods return another one.
type layer struct {
	source, domain string
	parts          []part
	delta          *shard // may be empty
}

// part is a shard of which some may have gone since.
type part struct {
	s    *shard
	gone bitset
}

// collect is the size of parts behind which the collector runs.
const collect = 1 << 13

var ( // changed by tests alone
	partSize = 1 << 14 // people in one part at most
	maxDelta = 1024    // people in a delta at most; then they become a part
)

func newLayer(source, domain string) layer {
	return layer{source: source, domain: domain, delta: newShardBuilder(0).build()}
}

// shards calls f for each shard, until it returns false.
func (l *layer) shards(f func(s *shard, gone bitset) bool) {
	for i := range l.parts {
		if !f(l.parts[i].s, l.parts[i].gone) {
			return
		}
	}
	f(l.delta, bitset{})
}

// find returns the part that has somebody, and the number there.
func (l *layer) find(j jid.JID) (at int, i uint32, ok bool) {
	for at := range l.parts {
		if i, ok := l.parts[at].s.find(j); ok && !l.parts[at].gone.has(i) {
			return at, i, true
		}
	}
	return 0, 0, false
}

func (p *part) alive() int { return p.s.len() - p.gone.n }

// worn reports whether a part should be made anew with others: it is small, or
// many have gone.
func (p *part) worn() bool { return p.s.len() < partSize/2 || p.gone.n > p.s.len()/4 }

// chunks makes parts of the people added to it.
type chunks struct {
	b     *shardBuilder
	parts []part
}

func newChunks() *chunks { return &chunks{b: newShardBuilder(64)} }

func (c *chunks) add(p Person) {
	c.b.add(p)
	if len(c.b.names) == partSize {
		c.flush()
		c.b = newShardBuilder(partSize)
	}
}

// addPart adds who is left of a part.
func (c *chunks) addPart(p *part) {
	for i := range uint32(p.s.len()) {
		if !p.gone.has(i) {
			c.add(p.s.person(i))
		}
	}
}

// flush makes a part of what was added.
func (c *chunks) flush() {
	s := c.b.build()
	c.parts, c.b = append(c.parts, part{s, newBitset(s.len())}), nil
	if s.len() >= collect {
		// What it was made of is many times its size. Loads are rare; without this
		// one would take half as much memory again.
		runtime.GC()
	}
}

// changed returns the layer without those touched and with those put, of whom
// the last word counts. It adds to touched.
func (l layer) changed(touched map[jid.JID]bool, put []Person) layer {
	last := make(map[jid.JID]int, len(put))
	for i := range put {
		touched[put[i].JID], last[put[i].JID] = true, i
	}
	l.parts = slices.Clone(l.parts)
	cloned := make([]bool, len(l.parts))
	for j := range touched {
		if at, i, ok := l.find(j); ok {
			if p := &l.parts[at]; !cloned[at] {
				cloned[at], p.gone = true, p.gone.clone()
			}
			l.parts[at].gone.set(i)
		}
	}
	c := newChunks()
	for i := range uint32(l.delta.len()) {
		if !touched[l.delta.jids[i]] {
			c.add(l.delta.person(i))
		}
	}
	for i := range put {
		if put[i].Enabled && last[put[i].JID] == i {
			p := put[i]
			p.bound()
			c.add(p)
		}
	}
	return l.with(c)
}

// with returns the layer with the people of c in place of those of the delta.
func (l layer) with(c *chunks) layer {
	holes := slices.ContainsFunc(l.parts, func(p part) bool { return p.gone.n > p.s.len()/4 })
	if len(c.parts) == 0 && len(c.b.names) <= maxDelta && !holes {
		l.delta = c.b.build()
		return l
	}
	var kept []part
	for i := range l.parts {
		switch p := &l.parts[i]; {
		case p.alive() == 0:
		case p.worn():
			c.addPart(p)
		default:
			kept = append(kept, *p)
		}
	}
	l.delta = newShardBuilder(0).build()
	if len(c.parts) == 0 && len(kept) > 0 && len(c.b.names) <= maxDelta {
		l.delta = c.b.build()
	} else if len(c.b.names) > 0 {
		c.flush()
	}
	l.parts = append(kept, c.parts...)
	return l
}

// picture is a new full picture of a domain while it is told. Whoever is just as
// before stays where they are.
type picture struct {
	old   layer
	again []bitset // of the parts of old: told again, just the same
	delta bitset   // the same of its delta
	fresh *chunks
	told  map[jid.JID]struct{}
}

func newPicture(old layer) *picture {
	c := &picture{old: old, delta: newBitset(old.delta.len()), fresh: newChunks(), told: map[jid.JID]struct{}{}}
	for i := range old.parts {
		c.again = append(c.again, newBitset(old.parts[i].s.len()))
	}
	return c
}

// add takes somebody in; who is told twice is as the first time.
func (c *picture) add(p Person) {
	if _, twice := c.told[p.JID]; twice {
		return
	}
	c.told[p.JID] = struct{}{}
	p.bound()
	if i, ok := c.old.delta.find(p.JID); ok && c.old.delta.same(i, &p) {
		c.delta.set(i)
		return
	}
	if at, i, ok := c.old.find(p.JID); ok && c.old.parts[at].s.same(i, &p) {
		c.again[at].set(i)
		return
	}
	c.fresh.add(p)
}

// layer returns the new layer.
func (c *picture) layer() layer {
	l := c.old
	if c.unchanged() {
		return l
	}
	l.parts = slices.Clone(l.parts)
	for at := range l.parts {
		p := &l.parts[at]
		if c.again[at].n == p.alive() {
			continue
		}
		p.gone = newBitset(p.s.len())
		for i := range uint32(p.s.len()) {
			if !c.again[at].has(i) {
				p.gone.set(i)
			}
		}
	}
	for i := range uint32(l.delta.len()) {
		if c.delta.has(i) {
			c.fresh.add(l.delta.person(i))
		}
	}
	return l.with(c.fresh)
}

func (c *picture) unchanged() bool {
	if len(c.fresh.parts) > 0 || len(c.fresh.b.names) > 0 || c.delta.n != c.old.delta.len() {
		return false
	}
	for at := range c.again {
		if c.again[at].n != c.old.parts[at].alive() {
			return false
		}
	}
	return true
}

// bitset marks people of a shard.
type bitset struct {
	of []uint64
	n  int // marked
}

func newBitset(n int) bitset { return bitset{of: make([]uint64, (n+63)/64)} }

func (b bitset) has(i uint32) bool { return b.n > 0 && b.of[i/64]&(1<<(i%64)) != 0 }

func (b bitset) clone() bitset { return bitset{slices.Clone(b.of), b.n} }

func (b *bitset) set(i uint32) {
	if !b.has(i) {
		b.of[i/64] |= 1 << (i % 64)
		b.n++
	}
}
