package people

import (
	"errors"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
)

// A delta is made anew at each change and searched beside its base, so it stays
// small; when it would not, all become a base again.
const (
	minDelta   = 1024
	deltaShare = 32 // of the base
)

// changed returns the layer without those touched and with those put, of whom
// the last word counts. It adds to touched.
func (l layer) changed(touched map[jid.JID]bool, put []Person) layer {
	l.gone = l.gone.clone()
	last := make(map[jid.JID]int, len(put))
	for i := range put {
		touched[put[i].JID], last[put[i].JID] = true, i
	}
	for j := range touched {
		if i, ok := l.base.find(j); ok {
			l.gone.set(i)
		}
	}
	all := len(put)+l.delta.len()+l.gone.n > l.maxDelta()
	b := newShardBuilder(len(put) + l.delta.len())
	if all {
		b = newShardBuilder(len(put) + l.delta.len() + l.base.len())
		for i := range uint32(l.base.len()) {
			if !l.gone.has(i) {
				b.add(l.base.person(i))
			}
		}
	}
	for i := range uint32(l.delta.len()) {
		if !touched[l.delta.jids[i]] {
			b.add(l.delta.person(i))
		}
	}
	for i := range put {
		if put[i].Enabled && last[put[i].JID] == i {
			p := put[i]
			p.bound()
			b.add(p)
		}
	}
	if all {
		l.setBase(b.build())
	} else {
		l.delta = b.build()
	}
	return l
}

func (l *layer) maxDelta() int { return max(minDelta, l.base.len()/deltaShare) }

// setBase puts a new full picture in place. Somebody told twice is there once.
func (l *layer) setBase(s *shard) {
	l.base, l.delta, l.gone = s, newShardBuilder(0).build(), newBitset(s.len())
	for i := 1; i < len(s.byJID); i++ {
		if s.jids[s.byJID[i]] == s.jids[s.byJID[i-1]] {
			l.gone.set(s.byJID[i-1])
		}
	}
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

// picture is a new full picture of one domain while it is told. As long as it is
// nearly that of before, only the difference is kept.
type picture struct {
	old         layer
	base, delta bitset // of old: told again, just the same
	put         []Person
	fresh       *shardBuilder // not nil: too much is different
}

func newPicture(old layer) *picture {
	return &picture{old: old, base: newBitset(old.base.len()), delta: newBitset(old.delta.len())}
}

var errTooMany = errors.New("there are too many")

func (c *picture) add(p Person) error {
	p.bound()
	switch {
	case c.fresh != nil:
		if c.fresh.full() {
			return errTooMany
		}
		c.fresh.add(p)
	case c.again(&p):
	case len(c.put) < c.old.maxDelta()/2:
		c.put = append(c.put, p)
	default:
		c.begin(p)
	}
	return nil
}

// again notes that somebody is as before.
func (c *picture) again(p *Person) bool {
	if i, ok := c.old.delta.find(p.JID); ok {
		if !c.old.delta.same(i, p) {
			return false
		}
		c.delta.set(i)
		return true
	}
	i, ok := c.old.base.find(p.JID)
	if !ok || c.old.gone.has(i) || !c.old.base.same(i, p) {
		return false
	}
	c.base.set(i)
	return true
}

// begin gives up on the difference.
func (c *picture) begin(p Person) {
	b := newShardBuilder(c.old.base.len() + 1024)
	for i := range uint32(c.old.base.len()) {
		if c.base.has(i) {
			b.add(c.old.base.person(i))
		}
	}
	for i := range uint32(c.old.delta.len()) {
		if c.delta.has(i) {
			b.add(c.old.delta.person(i))
		}
	}
	for i := range c.put {
		b.add(c.put[i])
	}
	b.add(p)
	c.fresh, c.put = b, nil
}

// layer returns the new layer.
func (c *picture) layer() layer {
	l := c.old
	if c.fresh != nil {
		l.setBase(c.fresh.build())
		return l
	}
	touched := map[jid.JID]bool{}
	for i := range uint32(l.base.len()) {
		if !c.base.has(i) && !l.gone.has(i) {
			touched[l.base.jids[i]] = true
		}
	}
	for i := range uint32(l.delta.len()) {
		if !c.delta.has(i) {
			touched[l.delta.jids[i]] = true
		}
	}
	if len(touched)+len(c.put) == 0 {
		return l
	}
	return l.changed(touched, c.put)
}
