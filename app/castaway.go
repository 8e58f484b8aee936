package app

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
)

// A node that alone has lost Redis can answer for nothing: the others take its
// sessions up. It passes all requests on to one of them, until it is back.

const (
	castawayEvery = 250 * time.Millisecond
	refugesAsked  = 3
)

// beacon keeps track of whether this node is a castaway until ctx ends.
func (t *takeover) beacon(ctx context.Context) error {
	tick := time.NewTicker(castawayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		switch {
		case t.shared.Sure():
			t.refuge.Store(nil)
			t.reclaim(ctx)
		case t.shared.Adrift() && t.refuge.Load() == nil:
			// Others may have it again a moment before this node.
			if url := t.seekRefuge(ctx); url != "" && !t.prove(ctx) {
				t.refuge.Store(&url)
				t.abandon(ctx)
			}
		}
	}
}

// prove reports whether this node has Redis (again).
func (t *takeover) prove(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return t.shared.Prove(ctx)
}

// seekRefuge returns the address of a node that has Redis, "" if none does.
func (t *takeover) seekRefuge(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	others := t.others()
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	others = others[:min(len(others), refugesAsked)]
	found := make(chan string)
	for _, m := range others {
		go func() {
			url := m.Meta.Reach()
			if !t.hasRedis(ctx, url) {
				url = ""
			}
			found <- url
		}()
	}
	best := ""
	for range others {
		if url := <-found; url != "" {
			best = url
			cancel()
		}
	}
	return best
}

// hasRedis reports whether a node holds its lease. One that answers and does not
// may have lost Redis as this one has, a moment later.
func (t *takeover) hasRedis(ctx context.Context, url string) bool {
	who, sure, err := t.ask(ctx, url)
	return err == nil && who != "" && sure
}

// ask returns what owner answers at an address, and whether it holds its lease;
// owner is empty if that has no Redis or stops.
func (t *takeover) ask(ctx context.Context, url string) (owner string, sure bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+alivePath, http.NoBody)
	if err != nil {
		return "", false, err
	}
	t.sign(req)
	res, err := t.client.Do(req)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = res.Body.Close() }()
	who, err := io.ReadAll(io.LimitReader(res.Body, 256))
	if res.StatusCode != http.StatusOK {
		return "", false, err
	}
	return string(who), res.Header.Get(headerSure) == "true", err
}

// abandon lets go of all sessions that others take up. Their clients come again
// and are passed on.
func (t *takeover) abandon(ctx context.Context) {
	for _, s := range t.sessions.Sessions() {
		if s.Bound() && s.Moves() {
			t.bosh.Moved(s.SID())
			t.abandoned = append(t.abandoned, s.SID())
		}
	}
	t.log.WarnContext(ctx, "cut off from Redis, unlike others: they take the sessions up", "sessions", len(t.abandoned))
}

// reclaim takes up again what this node let go of and no other one has taken up.
func (t *takeover) reclaim(ctx context.Context) {
	if len(t.abandoned) == 0 {
		return
	}
	var mu sync.Mutex // guards left
	var left []router.SID
	me := t.shared.Me()
	t.eachAtOnce(t.abandoned, func(sid router.SID) {
		if t.bosh.Holds(sid) {
			return
		}
		owner, ok, err := t.shared.OwnerOf(ctx, sid)
		if err == nil && (!ok || owner != me) || err == nil && t.takeUp(ctx, sid, me) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		left = append(left, sid)
	})
	t.abandoned = left
}

// toRefuge has another node answer in place of one that is cut off.
func (t *takeover) toRefuge(ctx context.Context, sid router.SID, in *bosh.Request) (r bosh.Response, answered bool) {
	url := t.refuge.Load()
	if url == nil {
		return r, false
	}
	r, err := t.pass(ctx, *url, sid, in, true)
	if err != nil {
		pause(ctx, againAfter)
	}
	return r, err == nil
}

// others are the living nodes but this one.
func (n *node) others() (list []cluster.Member) {
	for _, m := range n.members.View().Members {
		if m.ID != n.shared.Me().Node && m.State == cluster.Alive {
			list = append(list, m)
		}
	}
	return list
}
