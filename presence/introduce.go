package presence

import (
	"context"
	"errors"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Introduce tells the available of some resources of one account of the presence
// of contacts that came, and that those who left are gone for them. All of it goes
// together.
func (s *Service) Introduce(ctx context.Context, to []router.Binding, came, left []jid.JID) error {
	version := s.composer.version.Load()
	var p post
	for _, contact := range came {
		for i := range to {
			if !to[i].Available() {
				continue
			}
			if _, err := s.tell(ctx, &p, contact, &to[i]); err != nil {
				return err
			}
		}
	}
	for _, contact := range left {
		if err := s.goodbye(ctx, &p, contact, to); err != nil {
			return err
		}
	}
	err := s.cfg.Router.Send(ctx, p.letters)
	for i := range to {
		if to[i].Available() {
			err = errors.Join(err, s.correct(ctx, version, &to[i], came, nil))
		}
	}
	return err
}

// goodbye says that somebody is gone: each resource that is there still, or all of
// them at once, if the session has ended before this could be said.
func (s *Service) goodbye(ctx context.Context, p *post, contact jid.JID, to []router.Binding) error {
	list, err := s.cfg.Router.Registry().Lookup(ctx, contact)
	if err != nil {
		return err
	}
	told := false
	for i := range list {
		if list[i].Available() {
			p.addAvailable(newFrame(&stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: list[i].Full}), to)
			told = true
		}
	}
	if !told {
		p.addAvailable(newFrame(&stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: contact}), to)
	}
	return nil
}
