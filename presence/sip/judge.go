package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
)

var errAway = errors.New("the server cannot answer now")

// judge takes the response of a request.
func (t *target) judge(w *watch, res *sip.Response) result {
	s := t.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		granted, ok := secondsOf(fieldOf(res, "Expires"))
		if !ok || granted <= 0 {
			granted = w.expires
		}
		w.accept(res)
		w.until = time.Now().Add(granted)
		// Half of the time: a server that has lost its subscriptions is found out then.
		return result{watch: w, after: granted/2 - rand.N(granted/10+1)} //nolint:gosec // jitter
	case code == 423:
		if least, ok := secondsOf(fieldOf(res, "Min-Expires")); ok && least > w.expires && least <= 24*time.Hour {
			w.expires = least
			return result{watch: w}
		}
	case code == 408 || code >= 500 && code < 600:
		after, _ := secondsOf(fieldOf(res, "Retry-After"))
		w.reset = w.remote == ""
		return result{watch: w, after: min(after, time.Hour), away: fmt.Errorf("%w: %d %s", errAway, code, res.Reason)}
	}
	w.reset = true
	if w.remote != "" {
		// Of this dialog it knows nothing (481), or other than we do: Kamailio says
		// 400 to a CSeq that a request has overtaken while it hung. A new one tells.
		return result{watch: w, after: time.Second}
	}
	if w.list != nil {
		s.warn(w, fmt.Sprintf("subscription refused: %d %s", res.StatusCode, res.Reason))
	} else {
		s.source.log.Log(context.Background(), t.refusal(), "SIP server refuses a subscription",
			"server", t.server.String(), "event", t.event, "line", w.line, "code", res.StatusCode)
	}
	return result{watch: w, after: refusedFor - rand.N(refusedFor/4)} //nolint:gosec // jitter
}

// refusal is how loudly the log tells that a line is not told of. It is called with
// subscriber.mu locked.
func (t *target) refusal() slog.Level {
	if t.refused++; t.refused > maxRefused { // many lines may be wrong in the same way
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// accept takes the dialog of a response.
func (w *watch) accept(res *sip.Response) {
	if to := res.To(); to != nil && w.remote == "" {
		w.remote, _ = to.Params.Get("tag")
	}
	if c := res.Contact(); c != nil {
		w.contact = *c.Address.Clone()
	}
	if w.routes == nil {
		all := res.GetHeaders("Record-Route")
		for i := len(all) - 1; i >= 0; i-- { // RFC 3261 §12.1.2
			w.routes = append(w.routes, all[i].Value())
		}
	}
}

func fieldOf(res *sip.Response, name string) string {
	if h := res.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// leave ends the subscriptions, so that the server sends nothing to a node that is
// gone. Nobody waits for the answers.
func (t *target) leave(all []*watch) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	server, err := t.resolve(ctx)
	if err != nil || t.fails > 0 || t.sub.source.await(ctx, t.transport) != nil {
		return
	}
	own, err := t.sub.source.contact(t.transport, server)
	if err != nil {
		return
	}
	for _, req := range t.farewells(all, own, server) {
		if ctx.Err() != nil {
			return // they expire by themselves, too
		}
		_ = t.sub.source.client.WriteRequest(req)
	}
}

// farewells makes what ends each subscription. What the server tells of them from now
// on is not listened to.
func (t *target) farewells(of []*watch, own, server netip.AddrPort) []*sip.Request {
	t.sub.mu.Lock()
	defer t.sub.mu.Unlock()
	var all []*sip.Request
	for _, w := range of {
		if w.remote != "" && !w.reset {
			all = append(all, t.address(w.request(own, 0), server))
			w.reset = true
		}
	}
	return all
}
