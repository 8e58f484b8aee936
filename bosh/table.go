package bosh

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/deskline/deskline/router"
)

// table finds sessions by id.
type table struct {
	seed   maphash.Seed
	shards [64]tableShard
}

type tableShard struct {
	mu sync.RWMutex // guards m
	m  map[router.SID]*conn
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].m = make(map[router.SID]*conn)
	}
}

func (t *table) shard(sid router.SID) *tableShard {
	return &t.shards[maphash.String(t.seed, string(sid))%uint64(len(t.shards))]
}

func (t *table) get(sid router.SID) (*conn, bool) {
	s := t.shard(sid)
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.m[sid]
	return c, ok
}

func (t *table) add(sid router.SID, c *conn) {
	s := t.shard(sid)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[sid] = c
}

func (t *table) remove(sid router.SID) {
	s := t.shard(sid)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, sid)
}

func (t *table) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.RLock()
		n += len(t.shards[i].m)
		t.shards[i].mu.RUnlock()
	}
	return n
}

func (t *table) all() []*conn {
	var all []*conn
	for i := range t.shards {
		t.shards[i].mu.RLock()
		for _, c := range t.shards[i].m {
			all = append(all, c)
		}
		t.shards[i].mu.RUnlock()
	}
	return all
}

// graves remember for a while how sessions ended, so that a client that comes
// late learns it. Old ones go first; their number is bounded.
type graves struct {
	m     map[router.SID]Response
	order []grave
}

type grave struct {
	sid router.SID
	at  time.Time
}

const (
	maxGraves = 10000
	graveTime = 2 * time.Minute
)

func (g *graves) add(sid router.SID, r Response, now time.Time) {
	g.m[sid] = r
	g.order = append(g.order, grave{sid, now})
	if len(g.order) > maxGraves {
		g.drop(1)
	}
}

func (g *graves) forget(now time.Time) {
	n := 0
	for n < len(g.order) && now.Sub(g.order[n].at) > graveTime {
		n++
	}
	g.drop(n)
}

func (g *graves) drop(n int) {
	for _, d := range g.order[:n] {
		delete(g.m, d.sid)
	}
	g.order = g.order[n:]
	if len(g.order) == 0 {
		g.order = nil
	}
}
