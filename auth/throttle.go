package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

const (
	throttleEntries = 1 << 16
	throttleTTL     = 10 * time.Minute
	knownEntries    = 1 << 16
	knownTTL        = time.Hour
	firstDelay      = 250 * time.Millisecond
	maxOver         = 16 // failures remembered beyond the free ones
)

// throttle slows down guessing by address and by account. Failures fill a
// bucket that leaks at the rate that is free of delay; while it is full, each
// attempt takes a turn, and the turns are the farther apart the fuller it is.
//
// An account that lately signed in from an address is counted by the pair
// instead: neither strangers behind the same NAT nor strangers who guess its
// password from elsewhere can delay it.
type throttle struct {
	mu       sync.Mutex // guards all below
	free     float64    // failures a minute without delay
	maxDelay time.Duration
	buckets  cache[throttleKey, bucket]
	known    cache[throttleKey, struct{}] // pairs
}

// throttleKey has one field empty, or none for a pair.
type throttleKey struct{ remote, name string }

type bucket struct {
	level float64
	at    time.Time // when level was true
	turn  time.Time // when the next attempt may be made
}

func newThrottle(free int, maxDelay time.Duration) *throttle {
	return &throttle{
		free:     float64(free),
		maxDelay: maxDelay,
		buckets:  newCache[throttleKey, bucket](throttleEntries, throttleTTL),
		known:    newCache[throttleKey, struct{}](knownEntries, knownTTL),
	}
}

// set changes the bounds; failures already counted stay so.
func (t *throttle) set(free int, maxDelay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free, t.maxDelay = float64(free), maxDelay
}

// remoteKey is the address, or the network of an IPv6 address: a single
// customer commands 2^64 of those.
func remoteKey(a netip.Addr) string {
	a = a.Unmap()
	if !a.IsValid() {
		return ""
	}
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// reserve takes a turn and returns how long to wait for it; false says that it
// is too far off.
func (t *throttle) reserve(remote, name string) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	var longest time.Duration
	for _, k := range t.keys(remote, name) {
		b, ok := t.buckets.get(k, now)
		if !ok {
			continue
		}
		over := t.leaked(b, now) - t.free
		if over < 0 {
			continue
		}
		turn := now
		if b.turn.After(now) {
			turn = b.turn
		}
		interval := min(time.Duration(float64(firstDelay)*math.Exp2(over)), t.maxDelay)
		turn = turn.Add(interval)
		if turn.Sub(now) > t.maxDelay {
			return 0, false
		}
		b.turn = turn
		t.buckets.put(k, b, now)
		longest = max(longest, turn.Sub(now))
	}
	return longest, true
}

// full reports whether an attempt would have to wait.
func (t *throttle) full(remote, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, k := range t.keys(remote, name) {
		if b, ok := t.buckets.get(k, now); ok && t.leaked(b, now) >= t.free {
			return true
		}
	}
	return false
}

// failed counts a wrong password; it reports whether delays begin with it.
func (t *throttle) failed(remote, name string) (begin bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, k := range t.keys(remote, name) {
		b, _ := t.buckets.get(k, now)
		before := t.leaked(b, now)
		b.level, b.at = min(before+1, t.free+maxOver), now
		t.buckets.put(k, b, now)
		begin = begin || before < t.free && b.level >= t.free
	}
	return begin
}

// succeeded remembers that the account is at home at the address.
func (t *throttle) succeeded(remote, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.put(throttleKey{remote, name}, struct{}{}, time.Now())
}

func (t *throttle) keys(remote, name string) []throttleKey {
	pair := throttleKey{remote, name}
	if _, ok := t.known.get(pair, time.Now()); ok {
		return []throttleKey{pair}
	}
	if remote == "" {
		return []throttleKey{{name: name}}
	}
	return []throttleKey{{remote: remote}, {name: name}}
}

// leaked is the level now.
func (t *throttle) leaked(b bucket, now time.Time) float64 {
	return max(0, b.level-t.free*now.Sub(b.at).Minutes())
}
