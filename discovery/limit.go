package discovery

import (
	"net/netip"
	"sync"
	"time"
)

const (
	span         = time.Minute
	maxAddresses = 100_000
)

// limiter counts the requests of each address in this minute and the last one.
// An IPv6 network of /64 counts as one address, since a client has all of it.
type limiter struct {
	rate int

	mu        sync.Mutex // guards what follows
	began     time.Time  // of now
	now, last map[netip.Addr]int
}

func newLimiter(rate int) *limiter {
	return &limiter{rate: rate, now: map[netip.Addr]int{}}
}

// take counts a request, or returns how long to wait for the next.
func (l *limiter) take(addr netip.Addr, at time.Time) time.Duration {
	key := addr.Unmap().WithZone("")
	if key.Is6() {
		if p, err := key.Prefix(64); err == nil {
			key = p.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(at)
	if _, seen := l.now[key]; !seen && len(l.now) >= maxAddresses {
		key = netip.Addr{} // what is beyond the bound shares one count
	}
	// As if the requests of the last minute had been even.
	rest := span - at.Sub(l.began)
	before := int(int64(l.last[key]) * int64(rest) / int64(span))
	if l.now[key]+before >= l.rate {
		return rest
	}
	l.now[key]++
	return 0
}

func (l *limiter) turn(at time.Time) {
	switch passed := at.Sub(l.began); {
	case passed < span:
	case passed < 2*span:
		l.began, l.last, l.now = l.began.Add(span), l.now, map[netip.Addr]int{}
	default:
		l.began, l.last, l.now = at, nil, map[netip.Addr]int{}
	}
}
