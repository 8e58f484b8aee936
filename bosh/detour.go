package bosh

import (
	"context"
	"sync"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/stanza"
)

// detour is a request of a session that is not here, or not surely.
type detour struct {
	cancel context.CancelFunc

	mu   sync.Mutex // guards what follows
	gone bool
	here Held // the request, once its session turned out to be here
}

// Gone implements Held.
func (d *detour) Gone() {
	d.cancel()
	d.mu.Lock()
	d.gone = true
	here := d.here
	d.mu.Unlock()
	if here != nil {
		here.Gone()
	}
}

func (d *detour) arrive(w Held) {
	d.mu.Lock()
	d.here = w
	gone := d.gone
	d.mu.Unlock()
	if gone {
		w.Gone()
	}
}

// elsewhere handles a request of a session that is not here, or not surely. It
// may take as long as another node holds the request.
func (h *Handler) elsewhere(sid router.SID, a Arrival, n *stanza.Node, in Request, to Waiter) Held {
	ctx, cancel := context.WithCancel(context.Background())
	d := &detour{cancel: cancel}
	stop := context.AfterFunc(h.opened, cancel)
	h.crew.join()
	go func() {
		defer h.crew.leave()
		defer cancel()
		defer stop()
		r, answered, found := h.seek(ctx, sid, &in)
		c, here := h.find(string(sid))
		switch {
		case answered:
			to.Respond(r)
		case here:
			if w := h.admit(c, a, n, &in, to); w != nil {
				d.arrive(w)
			}
		case found:
			to.Respond(Response{}) // it has just moved on
		default:
			to.Respond(h.gone(sid))
		}
	}()
	return d
}

// seek finds the session of a request: here, if found, or nowhere. answered says
// that there is a response: that of another node, or none, since nobody can
// answer for now.
func (h *Handler) seek(ctx context.Context, sid router.SID, in *Request) (r Response, answered, found bool) {
	cfg := h.cfg.Load()
	if cfg.Ledger.Ready(ctx) != nil {
		if ctx.Err() == nil {
			return overloaded.of(""), true, false // nobody can serve it for now
		}
		return Response{}, true, false
	}
	if c, ok := h.find(string(sid)); ok && !c.leaving.Load() {
		return Response{}, false, true
	}
	return cfg.Elsewhere.Forward(ctx, sid, in)
}
