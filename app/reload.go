package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/deskline/deskline/configs"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// reload reads the configuration again and puts in force what can change while
// running. Anything wrong leaves everything as it is.
func (n *node) reload(ctx context.Context) {
	next, err := configs.Load(n.options.File)
	if err != nil {
		n.log.Error("reload: the configuration stays as it is", "err", err)
		return
	}
	live, restart := configs.Diff(n.cfg, next)
	if err := n.apply(ctx, configs.WithLive(n.cfg, next)); err != nil {
		n.log.Error("reload: the configuration stays as it is", "err", err)
		return
	}
	n.log.Info("reloaded", "changed", live, "needs_restart", restart)
}

// apply gives each part its settings. What can be refused comes first: on an
// error nothing has changed.
func (n *node) apply(ctx context.Context, cfg configs.Config) error {
	// The keys that need a restart are still the old ones, and all have to fit.
	if err := cfg.Validate(); err != nil {
		return err
	}
	fixed, err := cfg.AllLines()
	if err != nil {
		return err
	}
	takeIssuers, err := n.oauth.Prepare(issuers(cfg))
	if err != nil {
		return fmt.Errorf("auth.oauth: %w", err)
	}
	sources, err := n.prepareSources(ctx, cfg)
	if err != nil {
		return err
	}
	defer sources.abort() // unless they are in force
	if err := n.certs.SetSource(ctx, certSource(cfg)); err != nil {
		return err
	}
	if n.directory != nil {
		if err := n.directory.SetSettings(directorySettings(cfg)); err != nil {
			return err
		}
	}
	if err := n.edge.SetPolicy(webPolicy(cfg)); err != nil {
		return err // Validate lets nothing through that is refused here
	}
	n.accounts.SetConfig(authConfig(cfg))
	takeIssuers()
	n.rosters.SetMaxContacts(cfg.Limits.Contacts)
	n.offline.SetLimits(offlineLimits(cfg))
	n.xml.SetLimits(privateLimits(cfg))
	n.cards.SetMaxBytes(int(cfg.Limits.VCard))
	n.people.search.SetLimits(searchLimits(cfg))
	n.sessions.SetLimits(sessionLimits(cfg))
	n.bosh.SetConfig(n.boshConfig(cfg))
	n.websocket.SetLimits(webSocketLimits(cfg))
	n.setGroups(cfg)
	n.setPresence(cfg, fixed)
	sources.commit()
	if n.level != nil && cfg.Log.Level != n.cfg.Log.Level {
		n.level.Set(cfg.Log.SlogLevel())
	}
	n.cfg = cfg
	return nil
}
