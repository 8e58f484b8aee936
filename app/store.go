package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/vcard"
)

// Store is what a node keeps its data in.
type Store interface {
	auth.Store
	roster.Store
	offline.Store
	private.Store
	vcard.Store
	info.Store
	cluster.Store
	people.Store
	presence.Histories

	// Meta returns one of the server's own values, nil if it was never set.
	Meta(ctx context.Context, key string) ([]byte, error)
	SetMeta(ctx context.Context, key string, value []byte) error
	// InitMeta sets a value unless it is set, and returns what is there then.
	InitMeta(ctx context.Context, key string, value []byte) ([]byte, error)
	// Ping reports whether the store can serve.
	Ping(ctx context.Context) error
	// Close lets writes under way end; later calls of any method fail.
	Close() error
}

// OpenStore opens the store that the configuration names, for use beside a node
// or without one.
func OpenStore(ctx context.Context, cfg configs.Config, log *slog.Logger) (Store, error) {
	s, err := openStore(ctx, cfg, redisConfig(cfg, log), sqlite.Config{Path: cfg.StorePath(), Log: log})
	if err != nil {
		return nil, err
	}
	if err := store.Unfinished(ctx, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func openStore(ctx context.Context, cfg configs.Config, r redis.Config, f sqlite.Config) (Store, error) {
	if cfg.Store.Kind == "redis" {
		s, err := redis.Open(ctx, r)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Open(ctx, f)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openStore opens the store of a node, which is told the metrics how long
// operations take, and marks it as in use.
func (n *node) openStore(ctx context.Context) (err error) {
	r := redisConfig(n.cfg, n.log)
	f := sqlite.Config{Path: n.cfg.StorePath(), Log: n.log}
	r.OnRead, r.OnCommit = n.metrics.Store("read"), n.metrics.Store("commit")
	f.OnRead, f.OnCommit = r.OnRead, r.OnCommit
	r.Node = true
	if n.cfg.Store.Kind == "sqlite" {
		if n.unlock, err = lockStore(f.Path, false); err != nil {
			return err
		}
	}
	if n.store, err = openStore(ctx, n.cfg, r, f); err != nil {
		return err
	}
	return store.Unfinished(ctx, n.store)
}

// StoreMissing says that there is no store yet. Opening one makes it.
func StoreMissing(cfg configs.Config) error {
	if cfg.Store.Kind == "redis" {
		return nil // it is as good as any other without accounts
	}
	if _, err := os.Stat(cfg.StorePath()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store at %s: %w", cfg.StorePath(), err)
	}
	return nil
}

func redisConfig(cfg configs.Config, log *slog.Logger) redis.Config {
	r := cfg.Redis
	return redis.Config{
		URL: r.URL, Cluster: r.Cluster.Addrs, Username: r.Username, Password: r.Password.Reveal(), DB: r.DB,
		Sentinel: redis.Sentinel{
			Master: r.Sentinel.Master, Addrs: r.Sentinel.Addrs,
			Username: r.Sentinel.Username, Password: r.Sentinel.Password.Reveal(),
		},
		TLS: redis.TLS{
			Enabled: r.TLS.Enabled, CAFile: r.TLS.CAFile, CertFile: r.TLS.CertFile, KeyFile: r.TLS.KeyFile,
			ServerName: r.TLS.ServerName,
		},
		Prefix: r.Prefix, Timeout: r.Timeout, Pool: r.Pool, Replicas: r.Replicas, Log: log,
	}
}
