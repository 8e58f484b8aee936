package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
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

// OpenStore opens the store that the configuration names.
func OpenStore(ctx context.Context, cfg configs.Config, log *slog.Logger) (Store, error) {
	return openStore(ctx, cfg, log, func(string) func(time.Duration, error) { return nil })
}

// openStore has told note how long each kind of operation takes.
func openStore(ctx context.Context, cfg configs.Config, log *slog.Logger, note func(operation string) func(time.Duration, error)) (Store, error) {
	if cfg.Store.Kind == "redis" {
		c := redisConfig(cfg, log)
		c.OnRead, c.OnCommit = note("read"), note("commit")
		s, err := redis.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: cfg.StorePath(), OnRead: note("read"), OnCommit: note("commit"), Log: log})
	if err != nil {
		return nil, err
	}
	return s, nil
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
