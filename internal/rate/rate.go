// Package rate bounds how often an address may do something that costs.
package rate

import (
	"net/netip"
	"sync"
	"time"
)

const (
	span         = time.Minute
	maxAddresses = 100_000
)

// Limiter counts what each address did in this minute and the last one.
// An IPv6 network of /64 counts as one address, since a client has all of it.
type Limiter struct {
	rate int

	mu        sync.Mutex // guards what follows
	began     time.Time  // of now
	now, last map[netip.Addr]int
}

// New returns a limiter for so many a minute.
func New(perMinute int) *Limiter {
	return &Limiter{rate: perMinute, now: map[netip.Addr]int{}}
}

// Take counts one, or returns how long to wait for the next.
func (l *Limiter) Take(addr netip.Addr, at time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, wait := l.look(addr, at)
	if wait == 0 {
		l.now[key]++
	}
	return wait
}

// Wait returns how long to wait for the next, without counting one.
func (l *Limiter) Wait(addr netip.Addr, at time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, wait := l.look(addr, at)
	return wait
}

func (l *Limiter) look(addr netip.Addr, at time.Time) (netip.Addr, time.Duration) {
	key := addr.Unmap().WithZone("")
	if key.Is6() {
		if p, err := key.Prefix(64); err == nil {
			key = p.Addr()
		}
	}
	l.turn(at)
	if _, seen := l.now[key]; !seen && len(l.now) >= maxAddresses {
		key = netip.Addr{} // what is beyond the bound shares one count
	}
	// As if the requests of the last minute had been even.
	rest := span - at.Sub(l.began)
	before := int(int64(l.last[key]) * int64(rest) / int64(span))
	if l.now[key]+before >= l.rate {
		return key, rest
	}
	return key, 0
}

func (l *Limiter) turn(at time.Time) {
	switch passed := at.Sub(l.began); {
	case passed < span:
	case passed < 2*span:
		l.began, l.last, l.now = l.began.Add(span), l.now, map[netip.Addr]int{}
	default:
		l.began, l.last, l.now = at, nil, map[netip.Addr]int{}
	}
}
