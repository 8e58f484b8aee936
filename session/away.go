package session

import (
	"context"
	"errors"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
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
