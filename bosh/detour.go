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
		if r, done := h.seek(ctx, sid, &in); done {
			to.Respond(r)
		} else if c, ok := h.find(string(sid)); !ok {
			to.Respond(h.gone(sid))
		} else if w := h.admit(c, a, n, &in, to); w != nil {
			d.arrive(w)
		}
	}()
	return d
}

// seek finds the session of a request. done says that it is answered: by
// another node, or with nothing, since nobody can for now.
func (h *Handler) seek(ctx context.Context, sid router.SID, in *Request) (r Response, done bool) {
	cfg := h.cfg.Load()
	if cfg.Ledger.Ready(ctx) != nil {
		return Response{}, true
	}
	if _, ok := h.find(string(sid)); ok {
		return Response{}, false
	}
	r, answered, _ := cfg.Elsewhere.Forward(ctx, sid, in)
	return r, answered
}
