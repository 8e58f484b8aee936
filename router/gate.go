package router

import (
	"context"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// gates hold back what is to be kept for an account while what its sessions did
// not deliver is on its way there, so that the older comes first.
type gates struct {
	mu sync.Mutex // guards m
	m  map[jid.JID]*gate
}

type gate struct {
	n    int           // sessions whose stanzas are on their way
	open chan struct{} // closed when there are none any more
}

// gatePatience bounds the wait for those of a session that does not come to an
// end; order is given up then, nothing else.
const gatePatience = 5 * time.Second

func (g *gates) shut(owner jid.JID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = make(map[jid.JID]*gate)
	}
	x := g.m[owner]
	if x == nil {
		x = &gate{open: make(chan struct{})}
		g.m[owner] = x
	}
	x.n++
}

func (g *gates) reopen(owner jid.JID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.m[owner]
	if x.n--; x.n == 0 {
		close(x.open)
		delete(g.m, owner)
	}
}

func (g *gates) wait(ctx context.Context, owner jid.JID) {
	g.mu.Lock()
	x := g.m[owner]
	g.mu.Unlock()
	if x == nil {
		return
	}
	timer := time.NewTimer(gatePatience)
	defer timer.Stop()
	select {
	case <-x.open:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Reroute is for what a session of owner leaves behind: while take runs, which
// unbinds the session and hands each stanza to [Router.Undelivered], nothing
// newer is kept for the owner.
func (r *Router) Reroute(ctx context.Context, owner jid.JID, take func(ctx context.Context)) {
	r.gates.shut(owner)
	defer r.gates.reopen(owner)
	take(context.WithValue(ctx, passKey{}, owner))
}

// passKey marks what may pass the gate of an account.
type passKey struct{}
