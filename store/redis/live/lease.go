package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
)

// renew says that the node lives.
func (l *Shared) renew(ctx context.Context) error {
	value := strconv.FormatUint(l.term, 10) + " " + l.cfg.URL
	until := time.Since(l.began) + l.cfg.Lease // counted from before the request
	// No pipeline: a lease does not wait for replicas.
	err := l.cfg.Client.Set(ctx, l.leaseKey(l.cfg.Node), value, l.cfg.Lease).Err()
	if err == nil {
		// Whoever took its sessions up while it was cut off has struck it off.
		err = l.cfg.Client.SAdd(ctx, l.cfg.Prefix+"owners", l.Me().String()).Err()
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	if l.Sure() {
		l.sure.Store(int64(until))
		return nil
	}
	if l.cfg.Lapsed == nil {
		l.regain(until)
		return nil
	}
	// The node was halted or cut off; others may have taken its sessions up.
	if err := l.cfg.Lapsed(ctx); err != nil {
		return fmt.Errorf("after the lease had lapsed: %w", err)
	}
	l.regain(until)
	return nil
}

func (l *Shared) regain(until time.Duration) {
	l.since.Store(int64(time.Since(l.began)))
	l.sure.Store(int64(until))
}

// Settled reports whether the node has been sure for so long that all others
// that reach Redis are: what has no lease now is gone.
func (l *Shared) Settled() bool {
	return l.Sure() && int64(time.Since(l.began))-l.since.Load() > int64(l.cfg.Lease)
}

// Adrift reports whether the node has not held its lease for longer than a busy
// moment: it is cut off from Redis, or Redis is away.
func (l *Shared) Adrift() bool {
	return int64(time.Since(l.began))-l.sure.Load() > int64(l.cfg.Lease)/2
}

// Lapsed implements cluster.Leases. It is certain of nothing shortly after it
// has lost Redis itself.
func (l *Shared) Lapsed(ctx context.Context, node router.NodeID) (bool, error) {
	lease, err := l.LeaseOf(ctx, Owner{Node: node})
	gone := lease.Past && lease.URL == "" || !lease.Past && l.Settled()
	return err == nil && gone, err
}

// Sure reports whether no other node can have taken this one for dead.
func (l *Shared) Sure() bool { return int64(time.Since(l.began)) < l.sure.Load() }

// Held tells since when the node has been sure of its sessions, which is another time after
// each lapse, and whether it is now.
func (l *Shared) Held() (since time.Duration, now bool) {
	now = l.Sure() // first: who regains the lease says since when before
	return time.Duration(l.since.Load()), now
}

// Ready waits until the node is sure of its sessions, or ctx ends.
func (l *Shared) Ready(ctx context.Context) error {
	for !l.Sure() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// Lease is what is known of the node of an owner.
type Lease struct {
	Held bool   // by that owner
	Past bool   // the node has given it up or lives under a later term: the owner surely does not live
	URL  string // of whoever holds it, "" for nobody
}

// LeaseOf looks an owner's lease up.
func (l *Shared) LeaseOf(ctx context.Context, o Owner) (Lease, error) {
	value, err := l.cfg.Client.Get(ctx, l.leaseKey(o.Node)).Result()
	if errors.Is(err, goredis.Nil) {
		return Lease{}, nil
	}
	if err != nil {
		return Lease{}, fmt.Errorf("read lease: %w", err)
	}
	term, url, _ := strings.Cut(value, " ")
	held := term == strconv.FormatUint(o.Term, 10)
	return Lease{Held: held, Past: !held, URL: url}, nil
}

// Remember keeps where an owner was reached, to ask there when its lease lapses.
func (l *Shared) Remember(o Owner, url string) { l.urls.Store(o, url) }

// URLOf returns where an owner was reached.
func (l *Shared) URLOf(o Owner) (url string, ok bool) {
	v, ok := l.urls.Load(o)
	url, _ = v.(string)
	return url, ok
}
