package bosh

import (
	"context"
	"errors"
	"mime"
	"net/netip"
	"time"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// Request is one HTTP request as the engine under the door hands it over.
type Request struct {
	Body      []byte // owned by the door from now on
	Peer      string // names the connection
	Remote    netip.AddrPort
	Secure    bool
	UserAgent string
}

// Handle takes a request. The response comes by to, now or later; as long as it
// has not come the request can be taken back by what is returned, which is nil
// if there is no use in that. Handle waits for nothing.
func (h *Handler) Handle(in *Request, to Waiter) Held {
	n, err := stanza.ParseBody(in.Body, h.cfg.Load().Limits)
	if err != nil || n.Name != (stanza.Name{Space: NS, Local: "body"}) {
		to.Respond(malformed(err).of(nil))
		return nil
	}
	sid := n.Attr("sid")
	a, good := arrivalOf(n)
	if !good {
		to.Respond(bad("rid").of(nil))
		return nil
	}
	if sid == "" {
		// Opening a session may take its time.
		h.crew.join()
		go func(in Request) {
			defer h.crew.leave()
			to.Respond(h.create(context.Background(), a, n, &in))
		}(*in)
		return nil
	}
	c, found := h.find(sid)
	if !found {
		to.Respond(h.gone(routerSID(sid)).of(nil))
		return nil
	}
	if w := c.take(a, n, in, to); w != nil {
		return w
	}
	return nil
}

// Serve is Handle for an engine that has a goroutine for each request. False
// means that ctx ended and nobody waits for a response.
func (h *Handler) Serve(ctx context.Context, in *Request) (r Response, ok bool) {
	to := make(channel, 1)
	held := h.Handle(in, to)
	select {
	case r = <-to:
		return r, true
	case <-ctx.Done():
		if held != nil {
			held.Gone()
		}
		return Response{}, false
	}
}

// channel is a Waiter with room for the response.
type channel chan Response

func (ch channel) Respond(r Response) { ch <- r }

func bad(reason string) response {
	return response{ending{condition: "bad-request", reason: reason}.body(), 200}
}

// malformed answers what cannot be read. The session it may have been meant for
// stays: anybody can send rubbish, and HTML comes from proxies.
func malformed(err error) response {
	var syntax *stanza.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Condition == stream.PolicyViolation {
			return response{ending{condition: "policy-violation", reason: syntax.Reason}.body(), 200}
		}
		return bad(syntax.Reason)
	}
	return bad("not a body element of " + NS)
}

// arrivalOf reads what the window needs to know.
func arrivalOf(n *stanza.Node) (Arrival, bool) {
	rid, ok := parseNumber(n.Attr("rid"))
	if !ok || rid > maxRID {
		return Arrival{}, false
	}
	a := Arrival{
		RID: rid, Terminate: n.Attr("type") == "terminate", Pause: n.HasAttr("pause"),
		Key: n.Attr("key"), NewKey: n.Attr("newkey"),
	}
	restart := n.AttrNS(NSXBOSH, "restart") == "true"
	a.Empty = len(n.Children) == 0 && !restart
	if s := n.Attr("ack"); s != "" {
		if a.Ack, ok = parseNumber(s); !ok {
			return Arrival{}, false
		}
	}
	return a, true
}

// create starts a session (XEP-0124 §7).
func (h *Handler) create(ctx context.Context, a Arrival, n *stanza.Node, in *Request) Response {
	ver, hasVer := parseVersion(n.Attr("ver"))
	legacy := !hasVer || ver.less(version{1, 6})
	refuse := func(e ending) Response {
		status := 200
		if legacy {
			status = e.status()
		}
		return response{e.body(), status}.of(nil)
	}
	if h.stopping.Load() {
		return refuse(ending{condition: "system-shutdown", reason: "the node is shutting down"})
	}
	if n.Attr("to") == "" {
		return refuse(ending{condition: "improper-addressing", reason: "no to attribute"})
	}
	p, ok := h.negotiate(n)
	if !ok {
		return refuse(ending{condition: "bad-request", reason: "wait or hold"})
	}
	now := time.Now()
	c := &conn{
		h: h, win: NewWindow(p, a), ver: ver, legacy: legacy, born: now, idle: now, content: contentOf(n.Attr("content")),
		info: session.ConnInfo{Transport: "bosh", Remote: in.Remote, Secure: in.Secure, UserAgent: in.UserAgent},
	}
	o := session.Opening{To: n.Attr("to"), From: n.Attr("from"), Lang: n.AttrNS(stanza.NSXML, "lang")}
	sess, err := h.cfg.Load().Open(ctx, c, o)
	if err != nil {
		return refuse(refusalOf(err))
	}
	c.sess = sess
	h.table.add(sess.SID(), c)
	return c.created(ctx, n, hasVer, in).of(c)
}

// refusalOf maps what a session manager says to XEP-0124 §17.2.
func refusalOf(err error) ending {
	var e *stream.Error
	if !errors.As(err, &e) {
		return ending{condition: "internal-server-error", reason: "internal error"}
	}
	switch e.Condition {
	case stream.HostUnknown, stream.SystemShutdown, stream.ImproperAddressing:
		return ending{condition: e.Condition, reason: e.Text}
	}
	return endingOf(e)
}

// created carries out what the first body carries and encodes the response to
// it, features included: a login is one round trip shorter by that.
func (c *conn) created(ctx context.Context, n *stanza.Node, hasVer bool, in *Request) response {
	c.mu.Lock()
	c.busy = true
	c.mu.Unlock()
	e, over := c.process(ctx, n)
	c.mu.Lock()
	c.busy = false
	if c.ended {
		defer c.unlock()
		return c.legacyOr(c.end)
	}
	if over {
		c.mu.Unlock()
		c.finish(e)
		return c.legacyOr(e)
	}
	defer c.unlock()
	now := time.Now()
	out := c.appendCreation([]byte(bodyStart), n, hasVer)
	out = append(append(out, '>'), c.sess.Features()...)
	for _, f := range c.queue {
		out = append(out, f.Bytes...)
	}
	c.empty()
	out = append(out, bodyEnd...)
	rid := c.win.next
	c.win.Done(rid)
	c.win.Answer(out, nil, now)
	c.lastPeer, c.lastRID = in.Peer, rid
	c.idle = now
	return response{out, 200}
}

func (c *conn) appendCreation(out []byte, n *stanza.Node, hasVer bool) []byte {
	p := c.win.p
	out = appendText(out, " sid='", string(c.sess.SID()))
	out = appendText(out, " authid='", c.sess.SID().Ref())
	out = appendNumber(out, " wait='", uint64(p.Wait/time.Second))
	out = appendNumber(out, " hold='", uint64(p.Hold))
	out = appendNumber(out, " requests='", uint64(p.Requests))
	out = appendNumber(out, " inactivity='", uint64(p.Inactivity/time.Second))
	out = appendNumber(out, " polling='", uint64(p.Polling/time.Second))
	out = appendNumber(out, " maxpause='", uint64(p.MaxPause/time.Second))
	if hasVer {
		v := c.ver
		if ourVersion.less(v) {
			v = ourVersion
		}
		out = appendText(out, " ver='", v.String())
	}
	if p.Acks {
		out = appendNumber(out, " ack='", c.win.next)
	}
	out = appendText(out, " from='", n.Attr("to"))
	out = append(out, " charsets='UTF-8' accept='gzip,deflate'"...)
	if c.info.Secure && n.Attr("secure") != "" {
		out = append(out, " secure='true'"...)
	}
	return append(out, " xmlns:xmpp='"+NSXBOSH+"' xmpp:version='1.0' xmpp:restartlogic='true' xmlns:stream='"+stream.NS+"'"...)
}

// negotiate settles the parameters: none above what the client asked
// (XEP-0124 §7.2).
func (h *Handler) negotiate(n *stanza.Node) (Params, bool) {
	cfg := h.cfg.Load()
	p := Params{
		Wait: cfg.Wait, Hold: cfg.Hold, Requests: cfg.Requests, Polling: cfg.Polling,
		Inactivity: cfg.Inactivity, MaxPause: cfg.MaxPause, Acks: n.Attr("ack") != "",
	}
	if s := n.Attr("wait"); s != "" {
		seconds, ok := parseNumber(s)
		if !ok {
			return p, false
		}
		if seconds < uint64(p.Wait/time.Second) {
			p.Wait = time.Duration(seconds) * time.Second
		}
	}
	if s := n.Attr("hold"); s != "" {
		hold, ok := parseNumber(s)
		if !ok {
			return p, false
		}
		p.Hold = int(min(hold, uint64(p.Hold)))
	}
	p.Requests = max(p.Requests, p.Hold+1)
	if p.polls() {
		// XEP-0124 §12: it must be able to poll before it is taken for gone.
		p.Inactivity = max(p.Inactivity, 2*p.Polling)
	}
	return p, true
}

// contentOf checks the content type that a client wants in responses.
func contentOf(s string) string {
	if s == "" || len(s) > 100 {
		return ""
	}
	if _, params, err := mime.ParseMediaType(s); err != nil || params["charset"] != "" && params["charset"] != "utf-8" && params["charset"] != "UTF-8" {
		return ""
	}
	return s
}
