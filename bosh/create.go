package bosh

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"strings"
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
	Passed    bool // on by another node
}

// Handle takes a request. The response comes by to, now or later; as long as it
// has not come the request can be taken back by what is returned, which is nil
// if there is no use in that. Handle waits for nothing.
func (h *Handler) Handle(in *Request, to Waiter) Held {
	n, err := stanza.ParseBody(in.Body, h.cfg.Load().Limits)
	if err != nil || n.Name != (stanza.Name{Space: NS, Local: "body"}) {
		// The session it may have been meant for stays: anybody can send
		// rubbish, and HTML comes from proxies.
		to.Respond(malformed(err).response(false).of(""))
		return nil
	}
	sid := n.Attr("sid")
	a, wrong := arrivalOf(n)
	if sid == "" {
		// Opening a session may take its time.
		h.crew.join()
		go func(in Request) {
			defer h.crew.leave()
			to.Respond(h.create(context.Background(), a, wrong, n, &in))
		}(*in)
		return nil
	}
	c, found := h.find(sid)
	if cfg := h.cfg.Load(); cfg.Ledger != nil && wrong == "" && (!cfg.Ledger.Sure() || found && c.leaving.Load() || !found && !h.buried(routerSID(sid))) {
		return h.elsewhere(routerSID(sid), a, n, *in, to)
	}
	switch {
	case !found && wrong == "":
		to.Respond(h.gone(routerSID(sid)))
	case wrong != "":
		e := ending{condition: "bad-request", reason: wrong}
		to.Respond(e.response(found && c.legacy).of(""))
	default:
		return h.admit(c, a, n, in, to)
	}
	return nil
}

// admit gives a request to its session, if it may have come.
func (h *Handler) admit(c *conn, a Arrival, n *stanza.Node, in *Request, to Waiter) Held {
	switch {
	case c.info.Secure && !in.Secure:
		// XEP-0124 §19.1: whoever overheard the id must not even end the session.
		h.cfg.Load().Log.Info("request without TLS for a session with TLS", "sid", c.sess.SID().Ref(), "remote", in.Remote.Addr().String())
		to.Respond(Response{Status: http.StatusForbidden, ContentType: "text/plain; charset=utf-8", Close: true})
	case !c.authed.Load() && len(in.Body) > maxAnonymous:
		c.finish(tooMuchAnonymous)
		to.Respond(tooMuchAnonymous.response(c.legacy).of(c.content))
	default:
		return c.take(a, n, in, to)
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
		return r, r.Status != 0
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

// malformed says what is wrong with a body that is none.
func malformed(err error) ending {
	var syntax *stanza.SyntaxError
	switch {
	case !errors.As(err, &syntax):
		return ending{condition: "bad-request", reason: "not a body element of " + NS}
	case syntax.Condition == stream.PolicyViolation:
		return ending{condition: "policy-violation", reason: syntax.Reason}
	}
	return ending{condition: "bad-request", reason: syntax.Reason}
}

// arrivalOf reads what the window needs to know, and says what is wrong with it.
func arrivalOf(n *stanza.Node) (a Arrival, wrong string) {
	a = Arrival{
		Terminate: n.Attr("type") == "terminate", Pause: n.HasAttr("pause"),
		Key: n.Attr("key"), NewKey: n.Attr("newkey"),
	}
	a.Empty = len(n.Children) == 0 && !isTrue(n.AttrNS(NSXBOSH, "restart"))
	var ok bool
	if a.RID, ok = parseNumber(n.Attr("rid")); !ok || a.RID > maxRID {
		return a, "rid"
	}
	if a.Pause {
		if _, ok = parseNumber(n.Attr("pause")); !ok {
			return a, "pause"
		}
	}
	if n.HasAttr("ack") {
		if a.Ack, ok = parseNumber(n.Attr("ack")); !ok {
			return a, "ack"
		}
	}
	return a, ""
}

// create starts a session (XEP-0124 §7).
func (h *Handler) create(ctx context.Context, a Arrival, wrong string, n *stanza.Node, in *Request) Response {
	ver, hasVer := parseVersion(n.Attr("ver"))
	now := time.Now()
	c := &conn{
		h: h, ver: ver, legacy: !hasVer || ver.less(version{1, 6}), born: now, idle: now, content: contentOf(n.Attr("content")),
		info: session.ConnInfo{
			Transport: "bosh", Remote: in.Remote, Secure: in.Secure, UserAgent: in.UserAgent, Moves: h.cfg.Load().Ledger != nil,
		},
	}
	e, ok := h.open(ctx, c, a, wrong, n, len(in.Body))
	if !ok {
		h.cfg.Load().Log.InfoContext(ctx, "session refused", "remote", in.Remote.Addr().String(), "reason", e.log())
		return e.response(c.legacy).of(c.content)
	}
	return c.created(ctx, n, hasVer, in).of(c.content)
}

// open joins c to a session, or says why not.
func (h *Handler) open(ctx context.Context, c *conn, a Arrival, wrong string, n *stanza.Node, size int) (ending, bool) {
	p, fault := h.negotiate(n)
	switch {
	case h.stopping.Load():
		return endingOf(stream.NewError(stream.SystemShutdown, "")), false
	case wrong != "" || fault != "":
		return ending{condition: "bad-request", reason: wrong + fault}, false
	case a.RID == 0:
		return ending{condition: "bad-request", reason: "rid"}, false // XEP-0124 §14.1
	case n.Attr("to") == "":
		return ending{condition: "improper-addressing", reason: "no to attribute"}, false
	case size > maxAnonymous:
		return tooMuchAnonymous, false
	case h.full(0):
		return endingOf(stream.NewError(stream.ResourceConstraint, "the server has no memory for another client")), false
	}
	c.win = NewWindow(p, a)
	o := session.Opening{To: n.Attr("to"), From: n.Attr("from"), Lang: n.AttrNS(stanza.NSXML, "lang")}
	sess, err := h.cfg.Load().Open(ctx, c, o)
	if err != nil {
		e := refusalOf(err)
		if e.condition == stream.InternalServerError {
			h.cfg.Load().Log.ErrorContext(ctx, "open a session", "err", err)
		}
		return e, false
	}
	c.sess = sess
	h.table.add(sess.SID(), c)
	return ending{}, true
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
		return c.end.response(c.legacy)
	}
	if over {
		c.mu.Unlock()
		c.finish(e)
		return e.response(c.legacy)
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
	c.account()
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
	return append(out, " xmlns:xmpp='"+NSXBOSH+"' xmpp:version='1.0' xmpp:restartlogic='true'"+streamNS...)
}

// negotiate settles the parameters: none above what the client asked
// (XEP-0124 §7.2).
func (h *Handler) negotiate(n *stanza.Node) (p Params, wrong string) {
	cfg := h.cfg.Load()
	p = Params{
		Wait: cfg.Wait, Hold: cfg.Hold, Requests: cfg.Requests, Polling: cfg.Polling,
		Inactivity: cfg.Inactivity, MaxPause: cfg.MaxPause, Acks: n.Attr("ack") != "",
	}
	if s := n.Attr("wait"); s != "" {
		seconds, ok := parseNumber(s)
		if !ok {
			return p, "wait"
		}
		if seconds < uint64(p.Wait/time.Second) {
			p.Wait = time.Duration(seconds) * time.Second
		}
	}
	if s := n.Attr("hold"); s != "" {
		hold, ok := parseNumber(s)
		if !ok {
			return p, "hold"
		}
		p.Hold = int(min(hold, uint64(p.Hold)))
	}
	p.Requests = max(p.Requests, p.Hold+1)
	if p.polls() {
		// XEP-0124 §12: longer than usual by more than the polling interval.
		p.Inactivity += 2 * p.Polling
	}
	return p, ""
}

// contentOf checks the content type that a client wants in responses.
func contentOf(s string) string {
	if s == "" || len(s) > 100 {
		return ""
	}
	kind, params, err := mime.ParseMediaType(s)
	charset := params["charset"]
	if err != nil || !strings.Contains(kind, "/") || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return ""
	}
	return s
}
