package people

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/deskline/deskline/xmpp/jid"
)

// Index finds people while somebody types: by the beginning of any word of
// name, address, mail and telephone number, whatever the case and the accents.
// It holds enabled people only. Who searches waits for nobody: a new picture is
// built aside and put in place at once.
type Index struct {
	mu    sync.Mutex // of writers, held to put a new state in place
	state atomic.Pointer[[]layer]
}

// NewIndex makes an index of nobody.
func NewIndex() *Index {
	x := &Index{}
	x.state.Store(&[]layer{})
	return x
}

// Sink returns what is to be told of the people of one source, by any name. The
// sources share no domain.
func (x *Index) Sink(source string) Sink { return &indexSink{x: x, source: source} }

// Size is what an index holds.
type Size struct {
	People int
	Words  int
	Bytes  int // of memory, about
}

// Size tells what the index holds.
func (x *Index) Size() (sum Size) {
	for _, l := range *x.state.Load() {
		l.shards(func(s *shard, gone bitset) bool {
			sum.People += s.len() - gone.n
			sum.Words += len(s.wordAt) - 1
			sum.Bytes += s.bytes()
			return true
		})
	}
	return sum
}

// Knows reports whether a source has told of people of the domain, or told that
// there are none.
func (x *Index) Knows(domain string) bool {
	return slices.ContainsFunc(*x.state.Load(), func(l layer) bool { return l.domain == domain })
}

// Person returns what is known of somebody, without the groups. Its texts are
// good for a while only: who keeps one keeps all.
func (x *Index) Person(bare jid.JID) (Person, bool) {
	for _, l := range *x.state.Load() {
		if l.domain != bare.Domain() {
			continue
		}
		if i, ok := l.delta.find(bare); ok {
			return l.delta.person(i), true
		}
		if at, i, ok := l.find(bare); ok {
			return l.parts[at].s.person(i), true
		}
	}
	return Person{}, false
}

func (s *shard) find(bare jid.JID) (uint32, bool) {
	at, ok := slices.BinarySearchFunc(s.byJID, bare, func(i uint32, j jid.JID) int { return s.jids[i].Compare(j) })
	if !ok {
		return 0, false
	}
	return s.byJID[at], true
}

// indexSink writes the people of one source.
type indexSink struct {
	x      *Index
	source string
}

// Replace implements Sink. What is as before stays where it is: to read
// everybody again costs little as long as little has changed.
func (k *indexSink) Replace(ctx context.Context, all iter.Seq2[Person, error]) error {
	pictures := map[string]*picture{}
	for domain, l := range k.mine() {
		pictures[domain] = newPicture(l)
	}
	for p, err := range all {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("index people: %w", err)
		}
		domain := p.JID.Domain()
		if pictures[domain] == nil {
			pictures[domain] = newPicture(newLayer(k.source, domain))
		}
		if p.Enabled {
			pictures[domain].add(p)
		}
	}
	fresh := make([]layer, 0, len(pictures))
	for _, domain := range slices.Sorted(maps.Keys(pictures)) {
		fresh = append(fresh, pictures[domain].layer())
	}
	k.put(fresh)
	return nil
}

// mine returns the layers of the source by domain. Only this sink makes them,
// and one call at a time.
func (k *indexSink) mine() map[string]layer {
	mine := map[string]layer{}
	for _, l := range *k.x.state.Load() {
		if l.source == k.source {
			mine[l.domain] = l
		}
	}
	return mine
}

// put puts other layers of the source in place.
func (k *indexSink) put(fresh []layer) {
	k.x.mu.Lock()
	defer k.x.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(*k.x.state.Load()), func(l layer) bool { return l.source == k.source })
	next = append(next, fresh...)
	k.x.state.Store(&next)
}

// Change implements Sink.
func (k *indexSink) Change(_ context.Context, put []Person, gone []jid.JID) error {
	type change struct {
		gone map[jid.JID]bool
		put  []Person
	}
	changes := map[string]*change{}
	at := func(j jid.JID) *change {
		c := changes[j.Domain()]
		if c == nil {
			c = &change{gone: map[jid.JID]bool{}}
			changes[j.Domain()] = c
		}
		return c
	}
	for _, j := range gone {
		at(j).gone[j] = true
	}
	for i := range put {
		c := at(put[i].JID)
		c.put = append(c.put, put[i])
	}
	mine := k.mine()
	for domain, c := range changes {
		l, ok := mine[domain]
		if !ok {
			l = newLayer(k.source, domain)
		}
		mine[domain] = l.changed(c.gone, c.put)
	}
	k.put(slices.Collect(maps.Values(mine)))
	return nil
}
