// Package info answers small questions about the server and its accounts: last
// activity (XEP-0012), software version (XEP-0092), time (XEP-0202) and ping
// (XEP-0199). Questions to a full JID are for that resource, not for this
// package.
//
//	s := info.New(info.Config{Name: "Deskline", Version: v, Store: store, Presence: p})
//	s.Register(m)
//	err := s.Left(ctx, owner, "gone home") // when the last resource went
package info

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// The namespaces answered here.
const (
	NSLast    = "jabber:iq:last"
	NSVersion = "jabber:iq:version"
	NSTime    = "urn:xmpp:time"
	NSPing    = "urn:xmpp:ping"
)

// maxStatus is how much of a status text is kept, in bytes.
const maxStatus = 1024

// Presence knows who is available and who may know. Both methods may wait for
// a store.
type Presence interface {
	// MaySee reports whether the contact has a subscription to the owner's
	// presence; both are bare.
	MaySee(ctx context.Context, owner, contact jid.JID) (bool, error)
	// Available reports whether the owner has an available resource.
	Available(ctx context.Context, owner jid.JID) (bool, error)
}

// Config sets up a Service.
type Config struct {
	Name, Version string
	OS            string // "" is not told
	Started       time.Time
	Store         Store
	Presence      Presence
}

// Service answers the questions. Safe for concurrent use.
type Service struct{ cfg Config }

// New makes a Service. A zero Config.Started is now.
func New(cfg Config) *Service {
	if cfg.Started.IsZero() {
		cfg.Started = time.Now()
	}
	return &Service{cfg}
}

// Register adds the questions to the server and the accounts.
func (s *Service) Register(m *mux.Mux) {
	m.Handle(mux.Route{Name: stanza.Name{Space: NSLast, Local: "query"}, Get: s.last, Scope: mux.ScopeServer | mux.ScopeAccount, Public: true})
	m.Handle(mux.Route{Name: stanza.Name{Space: NSVersion, Local: "query"}, Get: s.version, Scope: mux.ScopeServer})
	m.Handle(mux.Route{Name: stanza.Name{Space: NSTime, Local: "time"}, Get: s.time, Scope: mux.ScopeServer})
	m.Handle(mux.Route{Name: stanza.Name{Space: NSPing, Local: "ping"}, Get: s.ping, Scope: mux.ScopeServer | mux.ScopeAccount})
}

// Left records that the owner's last resource went, and the status text it left
// with.
func (s *Service) Left(ctx context.Context, owner jid.JID, status string) error {
	if len(status) > maxStatus {
		status = strings.ToValidUTF8(status[:maxStatus], "")
	}
	err := s.cfg.Store.SetLastSeen(ctx, owner.Bare(), time.Now().UTC(), status)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("record last activity of %s: %w", owner.Bare(), err)
	}
	return nil
}

func (s *Service) last(ctx context.Context, req *mux.Request) ([]byte, error) {
	if req.Owner.Local() == "" {
		return lastActivity(time.Since(s.cfg.Started), ""), nil
	}
	if !req.Self {
		ok, err := s.cfg.Presence.MaySee(ctx, req.Owner, req.Stanza.From.Bare())
		if err != nil {
			return nil, fmt.Errorf("check subscription to %s: %w", req.Owner, err)
		}
		if !ok {
			return nil, stanza.ErrForbidden() // XEP-0012 §3
		}
	}
	here, err := s.cfg.Presence.Available(ctx, req.Owner)
	if err != nil {
		return nil, fmt.Errorf("look up resources of %s: %w", req.Owner, err)
	}
	if here {
		return lastActivity(0, ""), nil
	}
	at, status, known, err := s.cfg.Store.LastSeen(ctx, req.Owner)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read last activity of %s: %w", req.Owner, err)
	}
	if !known || err != nil {
		return nil, stanza.ErrItemNotFound()
	}
	return lastActivity(time.Since(at), status), nil
}

func lastActivity(d time.Duration, status string) []byte {
	reply := []byte("<query xmlns='" + NSLast + "' seconds='")
	reply = strconv.AppendInt(reply, int64(max(0, d)/time.Second), 10)
	reply = stanza.AppendEscaped(append(reply, "'>"...), status)
	return append(reply, "</query>"...)
}

func (s *Service) version(context.Context, *mux.Request) ([]byte, error) {
	reply := []byte("<query xmlns='" + NSVersion + "'><name>")
	reply = stanza.AppendEscaped(reply, s.cfg.Name)
	reply = stanza.AppendEscaped(append(reply, "</name><version>"...), s.cfg.Version)
	reply = append(reply, "</version>"...)
	if s.cfg.OS != "" {
		reply = stanza.AppendEscaped(append(reply, "<os>"...), s.cfg.OS)
		reply = append(reply, "</os>"...)
	}
	return append(reply, "</query>"...), nil
}

func (s *Service) time(context.Context, *mux.Request) ([]byte, error) {
	now := time.Now()
	return []byte("<time xmlns='" + NSTime + "'><tzo>" + now.Format("-07:00") +
		"</tzo><utc>" + now.UTC().Format("2006-01-02T15:04:05.000Z") + "</utc></time>"), nil
}

func (s *Service) ping(context.Context, *mux.Request) ([]byte, error) { return nil, nil }
