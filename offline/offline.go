// Package offline keeps messages for people who have no resource that takes
// them, and hands them over, oldest first and stamped with the time they came
// (XEP-0203), to the first resource that does (XEP-0160).
//
//	s := offline.New(offline.Config{Store: store, Outlet: outlet, Log: log})
//	s.Register(m)
//	err := s.Store(ctx, owner, st)      // the router, nobody being there
//	err = s.Deliver(ctx, alice.desk)    // presence, after its first broadcast
package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

const (
	nsDelay      = "urn:xmpp:delay"
	nsHints      = "urn:xmpp:hints"
	nsChatStates = "http://jabber.org/protocol/chatstates"

	feature = "msgoffline"
	batch   = 100
)

// Outlet is where kept messages go.
type Outlet interface {
	// Deliver hands a message to a resource. It does not block; an error says
	// that the resource did not take it, and nobody else either: it must not
	// come back to Service.Store.
	Deliver(ctx context.Context, full jid.JID, st *stanza.Stanza) error
	// Available returns a resource of the owner that is available with a
	// non-negative priority; false if there is none.
	Available(ctx context.Context, owner jid.JID) (jid.JID, bool, error)
}

// Config sets up a Service.
type Config struct {
	Store  Store
	Outlet Outlet
	Limits
	Log *slog.Logger
}

// Limits can change while running.
type Limits struct {
	Messages int           // of an owner, default 1,000
	Expiry   time.Duration // after which a message is dropped, 0: never
}

// Service keeps and hands over messages. Safe for concurrent use.
type Service struct {
	cfg    Config
	limits atomic.Pointer[Limits]

	mu   sync.Mutex                // guards busy
	busy map[jid.JID]chan struct{} // owners being delivered to; closed when done
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, busy: make(map[jid.JID]chan struct{})}
	s.SetLimits(cfg.Limits)
	return s
}

// SetLimits changes the limits; messages that are kept beyond them stay, those
// that have expired are dropped when their owner comes or room is needed.
func (s *Service) SetLimits(l Limits) {
	l.Messages = cmp.Or(l.Messages, 1000)
	s.limits.Store(&l)
}

// Limits returns what is in force.
func (s *Service) Limits() Limits { return *s.limits.Load() }

// Register announces the feature (XEP-0160 §4).
func (s *Service) Register(m *mux.Mux) { m.Feature(mux.ScopeServer, feature) }

// Store keeps a message for an owner without a resource that takes it. It
// returns nil when the message is safe, and also for one that nobody misses; the
// error is a *stanza.Error if the sender has to know that it is not kept.
func (s *Service) Store(ctx context.Context, owner jid.JID, st *stanza.Stanza) error {
	switch fateOf(st) {
	case drop:
		return nil
	case refuse:
		return stanza.ErrServiceUnavailable()
	}
	owner = owner.Bare()
	m := Message{Stamp: time.Now().UTC(), XML: st.AppendXML(nil), Origin: originOf(ctx)}
	limits := s.limits.Load()
	err := s.cfg.Store.Append(ctx, owner, limits.Messages, m)
	if errors.Is(err, ErrFull) && s.dropExpired(ctx, owner) {
		err = s.cfg.Store.Append(ctx, owner, limits.Messages, m)
	}
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, ErrNotFound):
		return stanza.ErrServiceUnavailable() // XEP-0160 §3
	case err != nil:
		return fmt.Errorf("keep message for %s: %w", owner, err)
	}
	s.catchUp(ctx, owner)
	return nil
}

// originOf names a message that may come once more, on another node.
func originOf(ctx context.Context) Origin {
	o := router.OriginOf(ctx)
	request, place, ok := o.Stanza()
	if !ok {
		return Origin{}
	}
	return Origin{Sender: o.SID().Ref(), Request: request, Place: place}
}

// catchUp delivers at once if a resource has come while the message was being
// written, too late to be seen by that resource's own delivery.
func (s *Service) catchUp(ctx context.Context, owner jid.JID) {
	full, ok, err := s.cfg.Outlet.Available(ctx, owner)
	if ok && err == nil {
		err = s.Deliver(ctx, full)
	}
	if err != nil {
		s.cfg.Log.Warn("message is kept but not delivered yet", "jid", owner.String(), "err", err)
	}
}

// Deliver hands all that is kept for the owner of a resource over to it, in
// order. A message is removed once the resource has taken it; if it refuses one,
// that and the rest stay. Two resources that come at the same time do not both
// get a message: the second waits for the first to be done.
func (s *Service) Deliver(ctx context.Context, full jid.JID) error {
	owner := full.Bare()
	done, err := s.claim(ctx, owner)
	if err != nil {
		return fmt.Errorf("deliver kept messages to %s: %w", full, err)
	}
	defer done()
	for {
		messages, err := s.cfg.Store.Messages(ctx, owner, batch)
		if err != nil {
			return fmt.Errorf("read messages kept for %s: %w", owner, err)
		}
		if len(messages) == 0 {
			return nil
		}
		upto, refused := s.handOver(ctx, full, messages)
		if upto > 0 {
			// Once handed over it must not stay, whatever became of the caller.
			if err := s.cfg.Store.Remove(context.WithoutCancel(ctx), owner, upto); err != nil {
				return fmt.Errorf("remove messages delivered to %s: %w", full, err)
			}
		}
		if refused != nil {
			return fmt.Errorf("deliver kept messages to %s: %w", full, refused)
		}
	}
}

// handOver returns the ID of the last message that need not be kept any more.
func (s *Service) handOver(ctx context.Context, full jid.JID, messages []Message) (upto int64, err error) {
	for _, m := range messages {
		if !s.expired(m) {
			st, err := stanza.Decode(m.XML)
			if err != nil {
				s.cfg.Log.Error("kept message cannot be read", "jid", full.String(), "id", m.ID, "err", err)
			} else if err := s.cfg.Outlet.Deliver(ctx, full, delayed(st, full.Domain(), m.Stamp)); err != nil {
				return upto, err
			}
		}
		upto = m.ID
	}
	return upto, nil
}

func delayed(st *stanza.Stanza, domain string, stamp time.Time) *stanza.Stanza {
	raw := stanza.AppendEscaped([]byte("<delay xmlns='"+nsDelay+"' from='"), domain)
	raw = append(raw, "' stamp='"...)
	raw = stamp.UTC().AppendFormat(raw, "2006-01-02T15:04:05.000Z")
	raw = append(raw, "'>Offline Storage</delay>"...)
	st = st.WithChild(stanza.Name{Space: nsDelay, Local: "delay"}, raw)
	st.Kept = true
	return st
}

// claim waits until nobody else delivers to the owner.
func (s *Service) claim(ctx context.Context, owner jid.JID) (done func(), err error) {
	mine := make(chan struct{})
	for {
		s.mu.Lock()
		other, taken := s.busy[owner]
		if !taken {
			s.busy[owner] = mine
		}
		s.mu.Unlock()
		if !taken {
			return func() {
				s.mu.Lock()
				delete(s.busy, owner)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Service) expired(m Message) bool {
	expiry := s.limits.Load().Expiry
	return expiry > 0 && time.Since(m.Stamp) > expiry
}

// dropExpired makes room; it reports whether there is any now.
func (s *Service) dropExpired(ctx context.Context, owner jid.JID) bool {
	limits := s.limits.Load()
	if limits.Expiry <= 0 {
		return false
	}
	messages, err := s.cfg.Store.Messages(ctx, owner, limits.Messages)
	if err != nil {
		return false
	}
	var upto int64
	for _, m := range messages {
		if !s.expired(m) {
			break
		}
		upto = m.ID
	}
	return upto > 0 && s.cfg.Store.Remove(ctx, owner, upto) == nil
}
