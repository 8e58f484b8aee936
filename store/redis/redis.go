// Package redis keeps what [sqlite] keeps in Redis, for nodes that share it:
// accounts, rosters, offline messages, private XML, vCards, last activity,
// sessions written down at a stop, and the server's own secrets. It works with a
// single server, with Sentinel and with Redis Cluster, from Redis 6.2 on.
//
// Commands of all callers go through a few workers. What arrives while a round
// trip is under way goes with the next in one pipeline, so that one system call
// serves many. Whatever has to be atomic is a script (lua/*.lua) that touches the
// keys of one account, which share a hash tag and so a slot of a cluster. An
// answered write is in Redis's append-only file with appendfsync always (everysec,
// Redis's default, may write it up to two seconds later), and with
// Config.Replicas on so many replicas.
//
// While Redis is away, calls wait for it up to Config.Timeout and then return
// [ErrUnavailable]; once it has been away for so long, they return at once until
// it is back. What the server surely did not carry out is tried again in that
// time, and so is whatever may be done twice; of all else with a cut connection
// between, such as a message to be kept, the outcome is unknown: ErrUnavailable.
//
// # Keys
//
// All have the prefix; {…} is the hash tag. None has a lifetime unless said.
//
//	{alice@example.com}:account   hash: id, keys, name, email, groups, disabled, created, changed,
//	                              mid (last message id), batch (while being created with others)
//	{alice@example.com}:roster    hash: contact → item; "" → version and floor of the history
//	{alice@example.com}:removed   sorted set: removed contacts by roster version
//	{alice@example.com}:offline   stream of messages
//	{alice@example.com}:private   hash: name → XML
//	{alice@example.com}:vcard     XML
//	{alice@example.com}:seen      time and status of the last activity
//	{alice@example.com}:history   sorted set: time, state and why of each change of presence, by time
//	users:{example.com}           sorted set: local part, NUL, id
//	domains                       set
//	ids                           counter: ids of accounts are not used twice
//	batch:{token}                 an import's fate: pending (a minute), committed (until its accounts are settled)
//	sessions:{all}:order, :data   sessions written down at a stop (a day)
//	cluster:{all}:epoch           counter of changes that clients have to know
//	cluster:{all}:assigned        hash: user → home, by an administrator's word
//	cluster:{all}:changes         sorted set: users by the epoch of that word
//	cluster:{all}:records         hash: key → version and value, which the nodes share
//	meta                          hash: the server's own values
//	schema                        the version of all this
//
// # Crashes
//
// An account is entered in users before it is made, and taken out after it is
// deleted, so a crash in between leaves an entry without an account of that id,
// which readers skip: every account is listed, and nothing else is.
//
// Accounts made together are written one by one with the token of their batch,
// then the batch's key turns from pending to committed, which makes all of them
// visible at once, then the tokens are taken off. Whoever comes upon a token
// looks its batch up: committed, the account is there and the token goes;
// expired, for the importer has died, the account is none and goes, or makes
// room for the next of its name.
//
// [sqlite]: https://pkg.go.dev/github.com/deskline/deskline/store/sqlite
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/vcard"
)

// Config says where Redis is and how the store works. Zero fields take the
// defaults.
type Config struct {
	// URL is redis://host:6379/0, or rediss:// with TLS, of a single server. With
	// Sentinel or Cluster it is empty.
	URL      string
	Sentinel Sentinel
	Cluster  []string // addresses of some servers of a cluster

	Username, Password string
	DB                 int // with Sentinel; a URL has its own
	TLS                TLS

	Node       bool          // a node that serves clients, which InUse tells of
	Prefix     string        // of every key, "deskline:"
	Timeout    time.Duration // longest wait for an answer, 2 s
	Pool       int           // connections to each server, 16
	Replicas   int           // that must have a write before it is answered, 0; not with Cluster
	Queue      int           // calls waiting for the next round trip, 4096; more wait in their callers
	Batch      int           // commands in one pipeline as a rule, 256
	Flights    int           // pipelines under way at a time, 2
	Tombstones int           // removed contacts an owner's roster history remembers, 200
	// OnRead and OnCommit are told how long each round trip took that only read,
	// or that wrote; the error is set if Redis did not serve. Nil are not told.
	OnRead, OnCommit func(d time.Duration, err error)

	Log *slog.Logger
}

// Sentinel finds the server among several by a name.
type Sentinel struct {
	Master             string // the name; "" = no Sentinel
	Addrs              []string
	Username, Password string // of the Sentinels themselves
}

// TLS is how connections are encrypted; a rediss:// URL turns it on.
type TLS struct {
	Enabled           bool
	CAFile            string // PEM; "" = the system's
	CertFile, KeyFile string // PEM, of this client
	ServerName        string // "" = that of the address
}

func (c *Config) setDefaults() {
	if c.Prefix == "" {
		c.Prefix = "deskline:"
	}
	if c.Timeout <= 0 {
		c.Timeout = 2 * time.Second
	}
	for _, d := range []struct {
		value *int
		or    int
	}{{&c.Pool, 16}, {&c.Queue, 4096}, {&c.Batch, 256}, {&c.Flights, 2}, {&c.Tombstones, 200}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
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
	keys   keys
	client goredis.UniversalClient
	pipes  *batcher
}

var (
	_ auth.Store    = (*Store)(nil)
	_ roster.Store  = (*Store)(nil)
	_ offline.Store = (*Store)(nil)
	_ private.Store = (*Store)(nil)
	_ vcard.Store   = (*Store)(nil)
	_ info.Store    = (*Store)(nil)
)

// schema is the version of the keys' form.
const schema = "1"

// Open connects to Redis, which has to answer within the timeout, and checks
// that it is fit: ErrUnfit for one that evicts keys or is too old, ErrNewer for
// data of a newer version.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	s, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", cfg.Where(), err)
	}
	return s, nil
}

func open(ctx context.Context, cfg Config) (*Store, error) {
	if strings.ContainsAny(cfg.Prefix, "{}") {
		return nil, errors.New("the prefix has a brace")
	}
	client, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, keys: keys{cfg.Prefix}, client: client, pipes: startBatcher(ctx, cfg, client)}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare checks the server and its data, and gives it the scripts.
func (s *Store) prepare(ctx context.Context) error {
	report, err := s.Inspect(ctx)
	if err != nil {
		return err
	}
	if report.Warning != "" {
		s.cfg.Log.Warn("redis may lose data", "why", report.Warning)
	}
	found, err := s.pipes.one(ctx, &call{cmds: []command{
		plain("SET", s.keys.schema(), schema, "NX"),
		plain("GET", s.keys.schema()),
	}, write: true})
	if err != nil {
		return err
	}
	if v := text(found); v != schema {
		return fmt.Errorf("%w: its version is %s, this program knows %s", ErrNewer, v, schema)
	}
	return s.load(ctx)
}

// Client is the connection to Redis, for what nodes share beside the store. It
// ends with the store.
func (s *Store) Client() goredis.UniversalClient { return s.client }

// Close carries out the calls that are under way, waits for them, and closes
// the connections. Later calls of any method return ErrClosed.
func (s *Store) Close() error {
	if !s.pipes.stop() {
		return nil
	}
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.cfg.Where(), err)
	}
	return nil
}

// Ping reports whether Redis answers and takes writes, for health checks. Of a
// cluster each server has to.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := s.each(ctx, func(ctx context.Context, c *goredis.Client) error {
		// Not Ping alone: a server that lost its disk or its master answers that.
		pipe := c.Pipeline()
		pipe.Ping(ctx)
		role := pipe.Do(ctx, "ROLE")
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		if list, _ := role.Slice(); len(list) > 0 && text(list[0]) != "master" {
			return fmt.Errorf("%s is a %s", c.Options().Addr, text(list[0]))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ping redis: %w", classify(err))
	}
	s.pipes.health.set(nil) // callers need not wait to find out
	return nil
}
