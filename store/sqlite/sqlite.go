// Package sqlite keeps accounts, rosters, offline messages, private XML,
// vCards, last activity, sessions written down at a stop, and the server's own
// secrets in one SQLite file: what a node needs that stands alone.
//
// All writes go through one goroutine. Those that arrive while a commit is under
// way go into the next transaction together, each behind its own savepoint, so
// that one disk flush serves many callers and a write that fails does not fail
// its neighbours. A write has returned nil only when it is on the disk (WAL,
// synchronous=FULL). Reads use a small pool of connections of their own and never
// wait for a writer. Nothing is cached above SQLite, so that a second process
// may open the same file at any time; its changes are seen at once.
//
//	s, err := sqlite.Open(ctx, sqlite.Config{Path: "/var/lib/deskline/deskline.db", Log: log})
//	defer s.Close()
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/vcard"
)

// Memory is the path of a store that is kept in memory and ends with Close.
const Memory = ":memory:"

var (
	// ErrUnavailable says that the store cannot serve for now: the disk is full
	// or broken, or another process holds the file. Nothing of the write that
	// got it was kept; later ones succeed once the cause is gone.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNewer says that the file was written by a newer version.
	ErrNewer = errors.New("store was written by a newer version")
	// ErrForeign says that the file is no store of this server.
	ErrForeign = errors.New("file is not a deskline store")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store closed")
)

// Config says where the store is and how it works. Zero fields take the
// defaults.
type Config struct {
	Path        string        // the file, or Memory
	BusyTimeout time.Duration // how long to wait for another process's write, 5 s
	Readers     int           // connections for reading, 4
	Queue       int           // writes waiting for the next transaction, 1024; more wait in their callers
	Batch       int           // writes in one transaction at most, 256
	Tombstones  int           // removed contacts an owner's roster history remembers, 200
	// OnRead and OnCommit are told how long each read and each transaction of
	// writes took; the error is set if the machine failed. Nil are not told.
	OnRead, OnCommit func(d time.Duration, err error)

	Log *slog.Logger
}

func (c *Config) setDefaults() {
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	if c.Queue <= 0 {
		c.Queue = 1024
	}
	if c.Batch <= 0 {
		c.Batch = 256
	}
	if c.Tombstones <= 0 {
		c.Tombstones = 200
	}
	if c.OnRead == nil {
		c.OnRead = func(time.Duration, error) {}
	}
	if c.OnCommit == nil {
		c.OnCommit = func(time.Duration, error) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	cfg    Config
	reads  *pool
	writes *writer
}

var (
	_ auth.Store    = (*Store)(nil)
	_ roster.Store  = (*Store)(nil)
	_ offline.Store = (*Store)(nil)
	_ private.Store = (*Store)(nil)
	_ vcard.Store   = (*Store)(nil)
	_ info.Store    = (*Store)(nil)
)

// Open opens the store, creating its directory and file (modes 0700 and 0600)
// or bringing an older one up to date. A file of a newer version (ErrNewer) or
// of another program (ErrForeign) is left as it is.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	if cfg.Path == "" {
		return nil, errors.New("open store: no path")
	}
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", cfg.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Store, error) {
	f := file{path: cfg.Path, busy: cfg.BusyTimeout}
	created, err := f.prepare(ctx, cfg.Log)
	if err != nil {
		return nil, err
	}
	h, err := f.connect(ctx, false)
	if err != nil {
		return nil, err
	}
	if err := f.setUp(ctx, h, cfg.Log); err != nil {
		return nil, errors.Join(err, h.close())
	}
	if created {
		if err := syncDir(f.path); err != nil {
			return nil, errors.Join(err, h.close())
		}
	}
	if f.memory() {
		// The data live and die with the one connection, so readers and the
		// writer take turns with it.
		p := newPool(1, h, nil)
		return &Store{cfg: cfg, reads: p, writes: startWriter(ctx, cfg, p)}, nil
	}
	w := newPool(1, h, f.connectWriter)
	r := newPool(cfg.Readers, nil, func(ctx context.Context) (*handle, error) { return f.connect(ctx, true) })
	return &Store{cfg: cfg, reads: r, writes: startWriter(ctx, cfg, w)}, nil
}

// Close commits the writes that are under way, waits for them, and closes the
// file. Later calls of any method return ErrClosed.
func (s *Store) Close() error {
	s.writes.stop()
	err := s.reads.close()
	if s.writes.conns != s.reads {
		err = errors.Join(err, s.writes.conns.close())
	}
	if err != nil {
		return fmt.Errorf("close store %s: %w", s.cfg.Path, err)
	}
	return nil
}

// Ping reports whether the store can be read, for health checks.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context, h *handle) error {
		var v int
		return h.row(ctx, "PRAGMA user_version").Scan(&v)
	})
}
