package app

import (
	"context"
	"errors"
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
	cfg := configs.WithLive(n.cfg, next)
	err = errors.Join(n.edge.SetPolicy(n.policy(cfg)), n.certs.SetSource(ctx, n.certSource(cfg)), n.certs.Reload(ctx))
	if err != nil {
		n.log.Error("reload", "err", err)
		return
	}
	if n.level != nil {
		n.level.Set(cfg.Log.SlogLevel())
	}
	n.cfg = cfg
	n.log.Info("reloaded", "changed", live, "needs_restart", restart)
}
