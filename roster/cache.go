package roster

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// snapshot is what presence asks of a roster, ready to hand out. Immutable.
type snapshot struct {
	ver           uint64
	loaded        time.Time
	subscribers   []jid.JID // from and both, sorted
	subscriptions []jid.JID // to and both, sorted; often the same slice
	requests      int       // pending in
}

// newSnapshot leaves out contacts that cannot be reached; nil reaches all.
func newSnapshot(r *Roster, reaches func(jid.JID) bool) *snapshot {
	s := &snapshot{ver: r.Ver, loaded: time.Now()}
	var from, to int
	for i := range r.Items {
		from += int(r.Items[i].Subscription>>1) & 1
		to += int(r.Items[i].Subscription) & 1
	}
	s.subscribers = make([]jid.JID, 0, from)
	s.subscriptions = make([]jid.JID, 0, to)
	for i := range r.Items {
		it := &r.Items[i]
		if reaches != nil && !reaches(it.JID) {
			continue
		}
		st := StateOf(it)
		if st.Seen() {
			s.subscribers = append(s.subscribers, it.JID)
		}
		if st.Sees() {
			s.subscriptions = append(s.subscriptions, it.JID)
		}
		if st.PendingIn() {
			s.requests++
		}
	}
	slices.SortFunc(s.subscribers, jid.JID.Compare)
	slices.SortFunc(s.subscriptions, jid.JID.Compare)
	if slices.Equal(s.subscribers, s.subscriptions) {
		s.subscriptions = s.subscribers
	}
	return s
}

func contains(list []jid.JID, j jid.JID) bool {
	_, ok := slices.BinarySearchFunc(list, j, jid.JID.Compare)
	return ok
}

// cacheShards spreads the owners over locks.
const cacheShards = 16

// cache holds the snapshots of the owners last asked for. It is bounded, and an
// entry lives for a short time only because other nodes write rosters too.
type cache struct {
	ttl    time.Duration
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

type cacheShard struct {
	mu    sync.RWMutex // guards all below
	m     map[jid.JID]*cacheEntry
	clock []*cacheEntry // at most max entries, replaced in the manner of a clock
	hand  int
	max   int
}

type cacheEntry struct {
	owner jid.JID
	snap  *snapshot
	used  atomic.Bool
}

func newCache(size int, ttl time.Duration) *cache {
	c := &cache{ttl: ttl, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].m = make(map[jid.JID]*cacheEntry)
		c.shards[i].max = max(1, size/cacheShards)
	}
	return c
}

func (c *cache) shard(owner jid.JID) *cacheShard {
	return &c.shards[maphash.String(c.seed, owner.String())%cacheShards]
}

func (c *cache) get(owner jid.JID) *snapshot {
	sh := c.shard(owner)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e, ok := sh.m[owner]
	if !ok || time.Since(e.snap.loaded) > c.ttl {
		return nil
	}
	e.used.Store(true)
	return e.snap
}

// put enters s unless a newer version is there: a slow reader must not undo what
// a writer has entered meanwhile.
func (c *cache) put(owner jid.JID, s *snapshot) {
	sh := c.shard(owner)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e, ok := sh.m[owner]; ok {
		if e.snap.ver <= s.ver || time.Since(e.snap.loaded) > c.ttl {
			e.snap = s
		}
		return
	}
	e := &cacheEntry{owner: owner, snap: s}
	sh.m[owner] = e
	if len(sh.clock) < sh.max {
		sh.clock = append(sh.clock, e)
		return
	}
	for sh.clock[sh.hand].used.Swap(false) {
		sh.hand = (sh.hand + 1) % len(sh.clock)
	}
	delete(sh.m, sh.clock[sh.hand].owner)
	sh.clock[sh.hand] = e
	sh.hand = (sh.hand + 1) % len(sh.clock)
}

// forget makes the next question about an owner go to the store.
func (c *cache) forget(owner jid.JID) { c.outdate(owner, math.MaxUint64) }

// outdate forgets what is older than a version.
func (c *cache) outdate(owner jid.JID, ver uint64) {
	sh := c.shard(owner)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e, ok := sh.m[owner]; ok && e.snap.ver < ver {
		e.snap = &snapshot{ver: e.snap.ver} // loaded long ago
	}
}

func (c *cache) clear() {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		clear(sh.m)
		sh.clock, sh.hand = nil, 0
		sh.mu.Unlock()
	}
}

func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		c.shards[i].mu.RLock()
		n += len(c.shards[i].m)
		c.shards[i].mu.RUnlock()
	}
	return n
}
