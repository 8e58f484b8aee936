package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/sqlite"
)

// errInUse says that a node uses a store, or a copy does.
var errInUse = errors.New("the store is in use, stop the nodes first")

// CopyOptions tell what is copied where. A store is named sqlite or redis, as the
// configuration has it, or sqlite:FILE, redis://…, rediss://… with all else from
// the configuration.
type CopyOptions struct {
	From, To string
	Replace  bool // removes the accounts the target has
	Force    bool // although nodes may be using the stores
	Progress func(done, total int, verify bool)
}

// CopyStore moves an installation from one store to another, see [store.Copy].
func CopyStore(ctx context.Context, cfg configs.Config, o CopyOptions) (sums []store.Sum, err error) {
	from, err := choose(cfg, o.From)
	if err != nil {
		return nil, err
	}
	to, err := choose(cfg, o.To)
	if err != nil {
		return nil, err
	}
	if from.name() == to.name() {
		return nil, fmt.Errorf("source and target are the same, %s", from.name())
	}
	if from.file != "" {
		if _, err := os.Stat(from.file); err != nil {
			return nil, fmt.Errorf("there is no store to copy: %w", err)
		}
	}
	source, closeSource, err := from.open(ctx, o.Force)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSource()) }()
	if err := store.Unfinished(ctx, source); err != nil {
		return nil, fmt.Errorf("source %s: %w", from.name(), err)
	}
	target, closeTarget, err := to.open(ctx, o.Force)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeTarget()) }()
	return store.Copy(ctx, source, target, store.Options{From: from.name(), Replace: o.Replace, Progress: o.Progress})
}

// place is a store to copy from or to.
type place struct {
	file  string // of SQLite; "" = Redis
	redis redis.Config
}

func choose(cfg configs.Config, name string) (place, error) {
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case name == "sqlite":
		return fileAt(cfg.StorePath())
	case kind == "sqlite" && rest != "":
		return fileAt(rest)
	case name == "redis":
	case kind == "redis" || kind == "rediss":
		cfg.Redis.URL, cfg.Redis.Sentinel, cfg.Redis.Cluster = name, configs.Sentinel{}, configs.RedisCluster{}
		if err := cfg.Validate(); err != nil {
			return place{}, err
		}
	default:
		return place{}, fmt.Errorf("%q is no store, write sqlite, sqlite:FILE, redis or redis://HOST:PORT/DB", name)
	}
	return place{redis: redisConfig(cfg, discard())}, nil
}

func fileAt(path string) (place, error) {
	path, err := filepath.Abs(path)
	return place{file: path}, err
}

func (p place) name() string {
	if p.file != "" {
		return "sqlite:" + p.file
	}
	return p.redis.Where() + " " + p.redis.Prefix
}

func (p place) open(ctx context.Context, force bool) (store.Target, func() error, error) {
	if p.file != "" {
		return openFile(ctx, p.file, force)
	}
	s, err := redis.Open(ctx, p.redis)
	if err != nil {
		return nil, nil, err
	}
	if used, err := s.InUse(ctx); used && err == nil && !force {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", p.name(), errInUse), s.Close())
	}
	return s, s.Close, nil
}

func openFile(ctx context.Context, path string, force bool) (store.Target, func() error, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	release, err := lockStore(path, true)
	if errors.Is(err, errInUse) && force {
		release, err = func() error { return nil }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	return s, func() error { return errors.Join(s.Close(), release()) }, nil
}
