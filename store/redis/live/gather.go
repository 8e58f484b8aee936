package live

import (
	"sync"

	"github.com/deskline/deskline/router"
)

// gathering is what a request of a session has others write down. It goes
// with the next thing the request has to wait for, or at its end: a message
// costs two round trips then, its posting and one for its receiver and its
// sender.
type gathering struct {
	mu     sync.Mutex // guards all below
	acts   []act
	closed bool
}

// add reports whether the act is taken.
func (g *gathering) add(a act) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.acts = append(g.acts, a)
	}
	return !g.closed
}

func (g *gathering) take(last bool) []act {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	acts := g.acts
	g.acts, g.closed = nil, last
	return acts
}

// Gather has what is committed in the course of a session's requests wait for
// end, which is to be called soon and may wait for Redis.
func (l *Shared) Gather(sid router.SID) (end func()) {
	b, ok := l.boxes.get(sid)
	if !ok {
		return func() {}
	}
	g := &gathering{}
	b.own.Store(g)
	return func() {
		b.own.CompareAndSwap(g, nil)
		l.pipe.carry(g.take(true))
	}
}

// gathers returns the gathering of a session's request, nil if there is none.
func (l *Shared) gathers(sid router.SID) *gathering {
	if b, ok := l.boxes.get(sid); ok {
		return b.own.Load()
	}
	return nil
}

// later reports whether an act of a session waits for others.
func (l *Shared) later(sid router.SID, a act) bool {
	b, ok := l.boxes.get(sid)
	return ok && (b.lent.Load().add(a) || b.own.Load().add(a))
}
