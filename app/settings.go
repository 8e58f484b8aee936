package app

import (
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/search"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/web"
	"github.com/deskline/deskline/websocket"
	"github.com/deskline/deskline/xmpp/stanza"
)

// The functions here say once what each part takes from the configuration, for
// the start and for a reload alike.

func authConfig(cfg configs.Config) auth.Config {
	a := cfg.Auth
	return auth.Config{
		Mechanisms: a.Mechanisms, PlainInsecure: a.Plain == "any", Iterations: a.Iterations,
		FailuresPerMinute: a.FailedLoginsPerMinute, MaxDelay: a.MaxDelay, VerifiedTTL: ttl(a.VerifiedTTL),
		LoginCache: cfg.LDAP.LoginCache,
	}
}

// ttl maps the configuration's 0, never kept, to what auth calls it.
func ttl(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (n *node) boshConfig(cfg configs.Config) bosh.Config {
	b, l := cfg.BOSH, cfg.Limits
	bc := bosh.Config{
		Open: n.openBOSH, Wait: b.Wait, Hold: b.Hold, Requests: b.Requests, Inactivity: b.Inactivity, Polling: b.Polling,
		MaxPause: b.MaxPause, Unauthenticated: l.Unauthenticated, Compress: int(b.Compress), Limits: parseLimits(cfg),
		Queue: l.Queue, QueueBytes: int(l.QueueBytes), Memory: int64(l.Memory), Peer: n.edge.Peer, Origin: n.edge.AllowOrigin,
		Delivered: n.metrics.Delivered, Log: n.log,
	}
	if n.takeover != nil {
		bc.Ledger, bc.Elsewhere = n.takeover, n.takeover
	}
	return bc
}

func webSocketLimits(cfg configs.Config) websocket.Limits {
	l := cfg.Limits
	return websocket.Limits{
		Stanza: parseLimits(cfg), Queue: l.Queue, QueueBytes: int(l.QueueBytes),
		Unauthenticated: l.Unauthenticated, Ping: cfg.WebSocket.Ping,
	}
}

func sessionLimits(cfg configs.Config) session.Limits {
	return session.Limits{Resources: cfg.Limits.Resources, Sessions: cfg.Limits.Sessions}
}

func offlineLimits(cfg configs.Config) offline.Limits {
	return offline.Limits{Messages: cfg.Limits.Offline, Expiry: cfg.Limits.OfflineExpiry}
}

func privateLimits(cfg configs.Config) private.Limits {
	return private.Limits{Bytes: int(cfg.Limits.Private), Elements: cfg.Limits.PrivateElements}
}

func searchLimits(cfg configs.Config) search.Limits {
	s := cfg.Search
	return search.Limits{Most: s.MaxResults, MinLength: s.MinLength, Unit: s.Unit, Rate: s.Rate}
}

func parseLimits(cfg configs.Config) stanza.Limits {
	l := cfg.Limits
	return stanza.Limits{Bytes: int(l.Body), StanzaBytes: int(l.Stanza), Depth: l.Depth, Attrs: l.Attributes, Children: l.Children}
}

func webPolicy(cfg configs.Config) web.Policy {
	h := cfg.HTTP
	return web.Policy{PublicURL: h.PublicURL, Plain: web.Plain(h.Plain), TrustedProxies: h.TrustedProxies, CORSOrigins: h.CORSOrigins}
}
