package session

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// await waits for as long as what nodes share is away.
func (s *Session) await(ctx context.Context) {
	if k := s.m.cfg.Keeper; k != nil {
		_ = k.Await(ctx) // what follows fails, and says so
	}
}

// surely does what must not be left undone, however long what nodes share is
// away. Should the node itself end meanwhile, another one finds the session.
func (s *Session) surely(ctx context.Context, act func() error) error {
	for {
		err := act()
		k := s.m.cfg.Keeper
		if k == nil || !errors.Is(err, router.ErrAway) || k.Await(ctx) != nil {
			return err
		}
	}
}

// handle routes a stanza. In a cluster one that fails since what nodes share is
// away waits for that, and is routed again. It is not passed over: should another
// node have to carry the request out again, it would take what comes before an
// accepted stanza for accepted, too.
func (s *Session) handle(ctx context.Context, st *stanza.Stanza) error {
	route := s.m.cfg.Router.HandleStanza
	if s.m.cfg.Keeper == nil {
		return route(ctx, st)
	}
	patiently := router.Patiently(ctx)
	for tries := 1; tries < triesAtMost; tries++ {
		err := route(patiently, st)
		if !errors.Is(err, router.ErrAway) {
			return err
		}
		away, over := s.outlast(ctx)
		if over {
			return err
		}
		if away {
			tries = 0
		}
		router.OriginOf(ctx).Again()
	}
	return route(ctx, st) // which refuses it
}

// What fails though the nodes share their state again, as when Redis is full, is
// tried that often, in all for five seconds.
const (
	triesAtMost = 50
	tryAgain    = 100 * time.Millisecond
)

// outlast waits a moment, and for as long as what nodes share is away. over says
// that the session is no longer here, or the node stops.
func (s *Session) outlast(ctx context.Context) (away, over bool) {
	for !s.ended.Load() && !s.closing.Load() {
		moment, cancel := context.WithTimeout(ctx, tryAgain)
		err := s.m.cfg.Keeper.Await(moment)
		if err == nil {
			<-moment.Done()
		}
		cancel()
		if err == nil {
			return away, false
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return away, true
		}
		away = true
	}
	return away, true
}

func (s *Session) wasEntered() jid.JID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entered
}

// unenter takes back what is left of binding a session that it was too late for,
// or that failed: nobody knows whether there is a binding. One that it replaced
// is over all the same.
func (s *Session) unenter(ctx context.Context, full jid.JID) {
	s.await(ctx)
	reg := s.m.cfg.Router.Registry()
	err := s.surely(ctx, func() error {
		list, err := reg.Lookup(ctx, full.Bare())
		if err != nil {
			return err
		}
		for _, b := range list {
			if b.SID != s.sid {
				continue
			}
			_, replaced, err := reg.Bind(ctx, b) // answers as it did
			if err != nil {
				return err
			}
			if replaced != nil && replaced.SID != s.sid {
				s.supersede(ctx, *replaced)
			}
			if err := reg.Unbind(ctx, b.Full, b.Gen); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.m.cfg.Log.ErrorContext(ctx, "unbind", "jid", full.String(), "err", err)
	}
	s.drop(ctx)
}

// drop has the other nodes forget the session.
func (s *Session) drop(ctx context.Context) {
	k := s.m.cfg.Keeper
	if k == nil {
		return
	}
	if err := s.surely(ctx, func() error { return k.Drop(ctx, s.sid) }); err != nil {
		s.m.cfg.Log.WarnContext(ctx, "forget session", "sid", s.sid.Ref(), "err", err)
	}
}
