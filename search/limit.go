package search

import (
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

const (
	maxUsers = 100_000
	// burst is the part of a minute's searches that may come at once: a name typed
	// fast asks with each letter.
	burst = 5
)

// limiter bounds the searches of each user, over all sessions, so that one who
// searches without end takes nothing from the others.
type limiter struct {
	mu    sync.Mutex // guards what follows
	users map[jid.JID]bucket
	swept time.Time
}

// bucket fills with each search and leaks.
type bucket struct {
	level float64
	at    time.Time // when level was true
}

func newLimiter() *limiter { return &limiter{users: map[jid.JID]bucket{}} }

// take counts a search, or refuses it. Refused ones are not counted: who goes on
// asking is answered at the rate.
func (l *limiter) take(user jid.JID, perMinute int, now time.Time) bool {
	most := max(1, float64(perMinute)/burst)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(perMinute, now)
	b, known := l.users[user]
	if !known && len(l.users) >= maxUsers {
		user = jid.JID{} // those beyond the bound share one
		b = l.users[user]
	}
	b.level, b.at = b.leaked(perMinute, now), now
	if b.level+1 > most {
		return false
	}
	b.level++
	l.users[user] = b
	return true
}

func (b bucket) leaked(perMinute int, now time.Time) float64 {
	return max(0, b.level-now.Sub(b.at).Minutes()*float64(perMinute))
}

// sweep forgets those whose buckets are empty.
func (l *limiter) sweep(perMinute int, now time.Time) {
	if now.Sub(l.swept) < time.Minute {
		return
	}
	l.swept = now
	for user, b := range l.users {
		if b.leaked(perMinute, now) == 0 {
			delete(l.users, user)
		}
	}
}
