package sip

import (
	"context"
	"errors"
	"time"
)

// ErrLists is for lists where there were none when the source was made: its messages are bounded
// by what lines need.
var ErrLists = errors.New("the first list needs a restart")

// Change is another configuration that is ready to be put in force. Either Commit or
// Abort is to be called.
type Change struct {
	source *Source
	cfg    Config
	old    *ports
	ports  *ports
	plan   *plan
}

// Prepare makes ready what a source, which may be running, is to go by, and changes
// nothing: ports that are new are open, and nothing is taken from them. Mine, Lines, TLSClient
// and Log stay as they are. Changes are made one after the other.
func (s *Source) Prepare(ctx context.Context, cfg Config) (*Change, error) {
	setDefaults(&cfg)
	if cfg.lists() && !s.cfg.lists() {
		return nil, ErrLists
	}
	was := s.Config()
	cfg.Mine, cfg.Lines, cfg.TLSClient, cfg.Log = was.Mine, was.Lines, was.TLSClient, was.Log
	old := s.ports.Load()
	next, err := open(ctx, &cfg, s.guard, old, was)
	if err != nil {
		return nil, err
	}
	plan, err := s.subscriber.plan(cfg.Subscribe, func(transport string) bool {
		switch transport { // where the server tells is part of the subscription
		case "udp":
			return old.udp != next.udp
		case "tcp":
			return old.tcp != next.tcp
		}
		return old.tls != next.tls
	})
	if err != nil {
		next.closeBut(old)
		return nil, err
	}
	return &Change{s, cfg, old, next, plan}, nil
}

// Abort lets go of what was made ready.
func (c *Change) Abort() { c.ports.closeBut(c.old) }

// Commit puts the configuration in force. Publications stay, but for those of publishers
// who may not publish any more; subscriptions stay that are the same.
func (c *Change) Commit() {
	s, cfg := c.source, &c.cfg
	s.guard.set(cfg.Trusted, len(cfg.Users) > 0, cfg.Rate)
	s.gate.lock.Store(&lock{cfg.Realm, cfg.Users})
	s.now.Store(cfg)
	s.mu.Lock()
	s.pubs.limit, s.pubs.life = cfg.MaxPublications, lifetimes{cfg.MinExpires, cfg.MaxExpires}
	s.pubs.outlaw(s.stillMay, time.Now())
	s.mu.Unlock()
	s.ring()
	s.listenBy(c.ports)
	s.subscriber.set(c.plan)
}

// stillMay reports whether somebody who has published may still do so.
func (s *Source) stillMay(by publisher) bool {
	if !s.serves(by.host) {
		return false
	}
	if by.user == "" {
		return s.guard.trusts(by.addr)
	}
	_, known := s.Config().Users[by.user]
	return known
}
