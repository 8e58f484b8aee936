package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// Config joins sessions to the rest of the node.
type Config struct {
	Domains  []jid.JID
	Node     router.NodeID
	Auth     Authenticator
	Router   *router.Router
	Observer Observer
	Keeper   Keeper  // nil: no other node takes a session up
	Metrics  Metrics // nil counts nothing
	Hints    Hints   // nil gives none
	// Redirect, if not nil, says where a client is to go instead: with
	// see-other-host, or nil for nowhere. user is who it says to be, if it does.
	Redirect func(transport string, user jid.JID) *stream.Error
	// Admit, if not nil, may refuse somebody who has proved who it is.
	Admit    func(ctx context.Context, account jid.JID) *sasl.Failure
	Features []byte // encoded features offered to authenticated streams besides binding
	Limits
	PingAfter time.Duration // of silence, then the client is asked for a sign of life; 0 never
	PingWait  time.Duration // for that sign
	Log       *slog.Logger
}

// Limits can change while running.
type Limits struct {
	// Resources bounds the bound resources of one account; the one idle
	// longest makes room. 0 is no bound.
	Resources int
	Sessions  int // bound on all sessions of the node, 0 for none
}

// Manager makes sessions and keeps watch over them.
type Manager struct {
	cfg      Config
	limits   atomic.Pointer[Limits]
	count    atomic.Int64
	stopping atomic.Bool

	mu  sync.Mutex // guards all
	all map[*Session]struct{}
}

// NewManager returns a Manager without sessions.
func NewManager(cfg Config) *Manager {
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	m := &Manager{cfg: cfg, all: make(map[*Session]struct{})}
	m.SetLimits(cfg.Limits)
	return m
}

// SetLimits is for the sessions to come; those that are too many stay.
func (m *Manager) SetLimits(l Limits) { m.limits.Store(&l) }

// Limits returns what is in force.
func (m *Manager) Limits() Limits { return *m.limits.Load() }

// Len counts the sessions, bound or not.
func (m *Manager) Len() int { return int(m.count.Load()) }

// Open starts a session for a client that opened a stream. The error is a
// *stream.Error: host-unknown, resource-constraint, system-shutdown or
// see-other-host.
func (m *Manager) Open(_ context.Context, conn Conn, o Opening) (*Session, error) {
	domain, ok := m.domain(o.To)
	most := m.limits.Load().Sessions
	switch {
	case !ok:
		return nil, stream.NewError(stream.HostUnknown, "")
	case m.stopping.Load():
		return nil, stream.NewError(stream.SystemShutdown, "")
	case most > 0 && m.Len() >= most:
		return nil, stream.NewError(stream.ResourceConstraint, "the server has no room for another session")
	}
	user := m.claimed(o.From)
	if m.cfg.Redirect != nil {
		if other := m.cfg.Redirect(conn.Info().Transport, user); other != nil {
			return nil, other
		}
	}
	s := &Session{m: m, conn: conn, sid: router.NewSID().BornAt(m.cfg.Node), domain: domain, lang: o.Lang, from: user}
	s.heard.Store(time.Now().Unix())
	m.enter(s)
	return s, nil
}

func (m *Manager) enter(s *Session) {
	m.count.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[s] = struct{}{}
}

func (m *Manager) leave(s *Session) {
	m.count.Add(-1)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, s)
}

// domain finds the served domain that a client asked for.
func (m *Manager) domain(to string) (jid.JID, bool) {
	j, err := jid.Parse(to)
	if err != nil {
		return jid.JID{}, false
	}
	for _, d := range m.cfg.Domains {
		if d == j {
			return d, true
		}
	}
	return jid.JID{}, false
}

// claimed reads who a client says it is going to be, zero if that is nobody of
// this server.
func (m *Manager) claimed(from string) jid.JID {
	j, err := jid.Parse(from)
	if err != nil || j.Local() == "" {
		return jid.JID{}
	}
	if _, ours := m.domain(j.Domain()); !ours {
		return jid.JID{}
	}
	return j.Bare()
}

// Run looks for clients that have gone silent until ctx ends (XEP-0199 §4.1).
func (m *Manager) Run(ctx context.Context) error {
	if m.cfg.PingAfter <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(max(min(m.cfg.PingAfter, m.cfg.PingWait)/2, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, s := range m.Sessions() {
				s.watch(now)
			}
		}
	}
}

// Sessions returns the sessions of this moment.
func (m *Manager) Sessions() []*Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*Session, 0, len(m.all))
	for s := range m.all {
		list = append(list, s)
	}
	return list
}

// EndAccount ends all sessions of an account, bound ones also on other nodes.
func (m *Manager) EndAccount(ctx context.Context, bare jid.JID, condition, reason string) error {
	for _, s := range m.Sessions() {
		if s.JID().Bare() == bare {
			s.End(condition, reason)
		}
	}
	if m.cfg.Keeper == nil {
		return nil
	}
	list, err := m.cfg.Router.Registry().Lookup(ctx, bare)
	for _, b := range list {
		if _, here := m.cfg.Router.Table().BySID(b.SID); !here {
			m.endOne(ctx, b.SID, condition, reason)
		}
	}
	return err
}

// endOne ends a bound session, wherever it is.
func (m *Manager) endOne(ctx context.Context, sid router.SID, condition, reason string) {
	if s, ok := m.cfg.Router.Table().BySID(sid); ok {
		s.End(condition, reason)
		return
	}
	if m.cfg.Keeper == nil {
		return
	}
	if err := m.cfg.Keeper.End(ctx, sid, condition, reason); err != nil {
		m.cfg.Log.WarnContext(ctx, "end session on another node", "sid", sid.Ref(), "err", err)
	}
}

// Drain refuses new sessions from now on.
func (m *Manager) Drain() { m.stopping.Store(true) }

type noMetrics struct{}

func (noMetrics) Login(string, string) {}
func (noMetrics) Received(stanza.Kind) {}
func (noMetrics) Sent(stanza.Kind)     {}
func (noMetrics) Ended(string, string) {}
