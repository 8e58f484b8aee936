package auth

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// cache is a map of bounded size whose entries expire some time after they were
// last put. Its owner locks it.
type cache[K comparable, V any] struct {
	max     int
	ttl     time.Duration
	entries map[K]*list.Element
	order   *list.List // of entry[K, V], the oldest first
}

type entry[K comparable, V any] struct {
	key   K
	value V
	put   time.Time
}

func newCache[K comparable, V any](size int, ttl time.Duration) cache[K, V] {
	return cache[K, V]{max: size, ttl: ttl, entries: make(map[K]*list.Element), order: list.New()}
}

func (c *cache[K, V]) get(k K, now time.Time) (V, bool) {
	if e, ok := c.entries[k]; ok {
		if en := e.Value.(*entry[K, V]); now.Sub(en.put) < c.ttl {
			return en.value, true
		}
		c.remove(k)
	}
	var zero V
	return zero, false
}

func (c *cache[K, V]) put(k K, v V, now time.Time) {
	if e, ok := c.entries[k]; ok {
		*e.Value.(*entry[K, V]) = entry[K, V]{k, v, now}
		c.order.MoveToBack(e)
		return
	}
	c.entries[k] = c.order.PushBack(&entry[K, V]{k, v, now})
	for e := c.order.Front(); e != nil; e = c.order.Front() {
		oldest := e.Value.(*entry[K, V])
		if len(c.entries) <= c.max && now.Sub(oldest.put) < c.ttl {
			return
		}
		c.remove(oldest.key)
	}
}

func (c *cache[K, V]) remove(k K) {
	if e, ok := c.entries[k]; ok {
		c.order.Remove(e)
		delete(c.entries, k)
	}
}

// verified remembers passwords that were right, by a keyed hash that says
// nothing without this process. The hash covers the stored key, so a changed
// password is forgotten by itself.
type verified struct {
	secret [32]byte

	mu   sync.Mutex // guards seen
	seen cache[[32]byte, struct{}]
}

const verifiedEntries = 1 << 14

func newVerified(ttl time.Duration) *verified {
	v := &verified{seen: newCache[[32]byte, struct{}](verifiedEntries, ttl)}
	_, _ = rand.Read(v.secret[:]) // never fails
	return v
}

// set changes how long a password is remembered, also of those that are.
func (v *verified) set(ttl time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen.ttl = ttl
}

func (v *verified) tag(name, password string, storedKey []byte) [32]byte {
	m := hmac.New(sha256.New, v.secret[:])
	for _, part := range [][]byte{[]byte(name), []byte(password), storedKey} {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		m.Write(part)
	}
	return [32]byte(m.Sum(nil))
}

func (v *verified) has(tag [32]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.seen.get(tag, time.Now())
	return ok
}

func (v *verified) add(tag [32]byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen.put(tag, struct{}{}, time.Now())
}

// existence remembers for a short while which accounts there are.
type existence struct {
	mu         sync.Mutex // guards all below
	known      cache[jid.JID, bool]
	generation uint64 // grows with each forget
}

const (
	existenceEntries = 1 << 14
	existenceTTL     = 10 * time.Second
)

func newExistence() *existence {
	return &existence{known: newCache[jid.JID, bool](existenceEntries, existenceTTL)}
}

func (e *existence) get(bare jid.JID) (known, ok bool, generation uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	known, ok = e.known.get(bare, time.Now())
	return known, ok, e.generation
}

// put remembers an answer asked for at a generation, unless something changed
// while it was on its way.
func (e *existence) put(bare jid.JID, known bool, generation uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.generation == generation {
		e.known.put(bare, known, time.Now())
	}
}

func (e *existence) forget(accounts ...jid.JID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generation++
	for _, bare := range accounts {
		e.known.remove(bare)
	}
}
