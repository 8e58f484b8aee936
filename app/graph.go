package app

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/store/redis/live"
)

// buildNotices makes what Microsoft 365 tells of changes.
func (n *node) buildNotices() {
	c := graph.HubConfig{Key: n.composing.secret, TLS13: n.cfg.Certs.MinTLS == "1.3", Log: n.log, Peer: func(r *http.Request) netip.Addr {
		remote, _ := n.edge.Peer(r)
		return remote.Addr()
	}}
	if n.shared != nil {
		c.Pass = func(ctx context.Context, notices []string) error {
			return n.shared.Announce(ctx, live.News{Rung: notices})
		}
	}
	n.composing.notices = graph.NewHub(c)
}

// noticeDoor is where Microsoft 365 tells of changes, while a calendar of it is watched.
func (n *node) noticeDoor() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.composing.calendars.watchGraph() {
			http.NotFound(w, r)
			return
		}
		n.composing.notices.ServeHTTP(w, r)
	})
}

// watchGraph reports whether Microsoft 365 is to tell of changes.
func (p *pollers) watchGraph() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.wanted, func(w polling) bool { return w.cfg.Kind == "graph" && w.cfg.Watch })
}

// checkNotify tries whether a node answers at the address where Microsoft 365 is to tell
// of changes. That it does from here does not prove that it does from the internet.
func checkNotify(ctx context.Context, name string, c configs.Calendar) CheckResult {
	r := CheckResult{Name: name, Detail: c.NotifyURL}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if err := graph.Probe(ctx, c.NotifyURL); err != nil {
		r.Warning = fmt.Sprintf("no node answers there, as seen from here, so that changes would be found at the next look alone: %v", err)
		return r
	}
	r.Detail += ", answers, as seen from here"
	return r
}

// noticeMetrics tell operators how changes of calendars are heard of.
func (n *node) noticeMetrics() []admin.Labelled {
	hub := n.composing.notices
	return []admin.Labelled{
		{
			Name: "deskline_calendar_subscriptions", Help: "Mailboxes of Microsoft 365 by whether it tells of their changes: active, refused.",
			Labels: []string{"source", "state"}, Read: func(emit func(float64, ...string)) {
				hub.Subscriptions(func(source string, active, refused int) {
					emit(float64(active), source, "active")
					emit(float64(refused), source, "refused")
				})
			},
		},
		{
			Name: "deskline_calendar_notifications_total", Help: "What Microsoft 365 told of changes: taken, passed to other nodes, unknown (of nobody here), forged (not asked for).",
			Labels: []string{"result"}, Rises: true, Read: func(emit func(float64, ...string)) {
				c := hub.Counts()
				emit(float64(c.Taken), "taken")
				emit(float64(c.Passed), "passed")
				emit(float64(c.Unknown), "unknown")
				emit(float64(c.Forged), "forged")
			},
		},
	}
}
