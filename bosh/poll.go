package bosh

import "github.com/deskline/deskline/internal/longpoll"

// maxPollBody is what is read by many connections' one goroutine; what is
// larger has a goroutine to itself.
const maxPollBody = 1 << 20

// MaxBody is how large a body may be that [Handler.Poll] is given.
func (h *Handler) MaxBody() int { return min(h.cfg.Load().Limits.Bytes, maxPollBody) }

// Poll takes a request from the engine for long polling.
func (h *Handler) Poll(r *longpoll.Request) (longpoll.Held, bool) {
	in := Request{Body: r.Body, Peer: r.Conn, Remote: r.Remote, Secure: r.Secure, UserAgent: r.Get("user-agent")}
	return h.Handle(&in, &poll{h: h, exchange: r.Exchange(), accept: r.Get("accept-encoding")}), true
}

// poll is a Waiter that writes to the connection.
type poll struct {
	h        *Handler
	exchange longpoll.Exchange
	accept   string
}

// Respond implements Waiter.
func (p *poll) Respond(r Response) {
	out := longpoll.Response{Status: r.Status, ContentType: r.ContentType, Close: r.Close}
	out.Body, out.Encoding = p.h.pack(p.accept, r.Body)
	p.exchange.Respond(&out)
}
