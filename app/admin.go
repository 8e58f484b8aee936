package app

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/deskline/deskline/admin"
)

// buildAdmin sets up what operators see. It reads numbers that the parts keep
// anyway.
func (n *node) buildAdmin(context.Context) error {
	cfg := admin.Config{Remote: !onLoopback(n.cfg.Admin.Listen), Metrics: n.metrics, Level: n.level, Log: n.log}
	if n.recovery != nil {
		cfg.Cluster = desk{n}
	}
	n.admin = admin.New(cfg)
	n.admin.Check("store", n.store.Ping)
	n.admin.HandleSync(n.sync)
	if n.shared != nil {
		n.admin.Check("lease", func(context.Context) error {
			if !n.shared.Sure() {
				return errors.New("not held: requests wait until Redis is there")
			}
			return nil
		})
	}
	if n.recovery != nil {
		n.admin.Describe("cluster", n.checkCluster)
	}
	if n.directory != nil {
		n.admin.Describe("ldap", n.checkDirectory)
	}
	n.admin.Describe("switches", n.checkSwitches)
	n.handleCertificates()
	n.handlePresence()
	return n.metrics.Watch(admin.Sources{
		Sessions:    map[string]func() int{"bosh": func() int { return n.bosh.Stats().Sessions }, "websocket": n.websocket.Len},
		Held:        func() int { return int(n.bosh.Stats().Held) },
		Queued:      func() (int, int64) { s := n.bosh.Stats(); return int(s.Queued), s.QueuedBytes },
		Connections: n.edge.Connections,
		Refused:     n.edge.Refused,
		Gauges: map[string]func() float64{
			"deskline_logins_waiting":     func() float64 { return float64(n.accounts.Stats().Waiting) },
			"deskline_people":             func() float64 { return float64(n.people.index.Size().People) },
			"deskline_presence_composed":  func() float64 { return float64(n.presence.Stats().Users) },
			"deskline_presence_feeds":     func() float64 { return float64(n.composing.lines.Feeds()) },
			"deskline_presence_lines":     func() float64 { return float64(n.composing.lines.Len()) },
			"deskline_people_index_bytes": func() float64 { return float64(n.people.index.Size().Bytes) },
		},
		GaugeHelp: map[string]string{
			"deskline_logins_waiting":     "Passwords that wait for their turn to be checked.",
			"deskline_people":             "People that can be searched.",
			"deskline_presence_composed":  "Users of whom a telephone or calendar tells.",
			"deskline_presence_feeds":     "Bulk feeds of telephone lines under way.",
			"deskline_presence_lines":     "Telephone lines told of over HTTP.",
			"deskline_people_index_bytes": "Memory of the index that people are searched in.",
		},
		Counters: []admin.Counter{
			{Name: "deskline_presence_history_dropped_total", Help: "Changes of presence that the history lacks, since the store was away for long.", Read: func() uint64 { return n.presence.Stats().HistoryDropped }},
			{Name: "deskline_presence_stale_total", Help: "News of telephones and calendars that came after newer ones.", Read: func() uint64 { return n.presence.Stats().Stale }},
		},
		CertificateExpiry: func() time.Time { return n.certs.NotAfter() },
		Labelled:          append(slices.Concat(n.clusterMetrics(), n.oauthMetrics(), n.directoryMetrics(), n.sourceMetrics(), n.switchMetrics()), n.expiryMetric()),
	})
}

// onLoopback reports whether addr can be reached from this machine only.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
