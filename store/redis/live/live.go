// Package live is what the nodes of a cluster share of running sessions, in Redis:
// bindings, mailboxes, sessions written down, and who is alive.
//
//	shared, err := live.New(ctx, live.Config{Client: store.Client(), Node: "n1", Log: log})
package live

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// Config is what a [Shared] needs.
type Config struct {
	Client goredis.UniversalClient
	Prefix string        // of every key and channel
	Node   router.NodeID // this node
	URL    string        // where other nodes reach it
	Lease  time.Duration // for how long the node is taken for alive, default 2 s
	Keep   time.Duration // for how long a session nobody writes down is kept, default 1 h
	Room   int           // frames in a mailbox, default 2000
	// Replicas is how many have to have a write before it is answered, within
	// half of Timeout, default 2 s.
	Replicas int
	Timeout  time.Duration
	// Lapsed is called when the lease is held again after it had lapsed, to let
	// go of the sessions that others have taken up. Until it returns nil the
	// node is not sure of any.
	Lapsed func(context.Context) error
	// Wished is told that another node asks for a session of this one; it must
	// not wait. nil grants nothing.
	Wished func(sid router.SID, to Owner)
	// Roster is told that a roster has a new version, and Missed that it may not
	// have been told of some.
	Roster func(owner jid.JID, ver uint64)
	Missed func()
	// News takes what another node tells; it must not wait. nil hears none.
	News func(News)
	Log  *slog.Logger
}

// Shared is what the nodes of a cluster share of running sessions: where each
// resource is bound ([router.Registry]), what was accepted for a session and is
// not confirmed ([router.Mailboxes]), each session written down ([Shared.Commit]),
// and who is alive ([Shared.Run]). A session belongs to one node under that node's
// term; only the owner writes it down, so that a node that was cut off and taken
// over can do no harm.
type Shared struct {
	cfg    Config
	pipe   *pipe
	cache  *cache
	boxes  boxes
	tide   *tide
	echoes echoes
	urls   sync.Map     // Owner → string
	sure   atomic.Int64 // nanoseconds after began up to when the lease is surely held
	since  atomic.Int64 // and since when
	states atomic.Int64 // written down so far
	began  time.Time
	term   uint64
	lease  chan struct{} // full while the lease is renewed, and once it is given up
	given  sync.Once

	closed chan struct{} // closed by Close
}

//go:embed lua/*.lua
var luaFiles embed.FS

var (
	postScript   = script("post")
	commitScript = script("commit")
	adoptScript  = script("adopt")
	dropScript   = script("drop")
	bindScript   = script("bind")
	rebindScript = script("rebind")
	grantScript  = script("grant")
	readScript   = script("read")
	noteScript   = script("note")
	forgetScript = script("forget")
)

func script(name string) *goredis.Script {
	data, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return goredis.NewScript(string(data))
}

var liveScripts = []*goredis.Script{postScript, commitScript, adoptScript, dropScript, bindScript, rebindScript, grantScript, readScript}

// New draws a new term for the node and takes its lease.
func New(ctx context.Context, cfg Config) (*Shared, error) {
	if cfg.Lease <= 0 {
		cfg.Lease = 2 * time.Second
	}
	if cfg.Keep <= 0 {
		cfg.Keep = time.Hour
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Replicas > 0 {
		cfg.Client = copies{cfg.Client, cfg.Replicas, cfg.Timeout / 2}
	}
	if cfg.Room <= 0 {
		cfg.Room = 2000
	}
	if cfg.Roster == nil {
		cfg.Roster = func(jid.JID, uint64) {}
	}
	if cfg.Missed == nil {
		cfg.Missed = func() {}
	}
	l := &Shared{began: time.Now(), cfg: cfg, cache: newCache(), boxes: boxes{m: make(map[router.SID]*box)}, lease: make(chan struct{}, 1), tide: newTide(), closed: make(chan struct{})}
	for _, s := range liveScripts {
		if err := s.Load(ctx, cfg.Client).Err(); err != nil {
			return nil, fmt.Errorf("load scripts: %w", err)
		}
	}
	term, err := cfg.Client.Incr(ctx, cfg.Prefix+"term").Uint64()
	if err != nil {
		return nil, fmt.Errorf("draw a term: %w", err)
	}
	l.term = term
	if err := l.renew(ctx); err != nil {
		return nil, err
	}
	l.pipe = newPipe(cfg.Client)
	return l, nil
}

// Owner is a node under one of its terms, as it owns sessions.
type Owner struct {
	Node router.NodeID
	Term uint64
}

func (o Owner) String() string { return string(o.Node) + " " + strconv.FormatUint(o.Term, 10) }

// ParseOwner is the inverse of String.
func ParseOwner(s string) (Owner, error) {
	var o Owner
	if _, err := fmt.Sscanf(s, "%s %d", &o.Node, &o.Term); err != nil {
		return o, fmt.Errorf("owner %q: %w", s, err)
	}
	return o, nil
}

// Me returns this node under its present term.
func (l *Shared) Me() Owner { return Owner{l.cfg.Node, l.term} }

// Each key has its hash tag, so that a script finds all its keys in one slot.

func (l *Shared) sessionKeys(sid router.SID) []string {
	tag := "{" + string(sid) + "}"
	return []string{l.cfg.Prefix + "s:" + tag, l.cfg.Prefix + "b:" + tag, l.cfg.Prefix + "o:" + tag}
}

func (l *Shared) bindingsKey(bare jid.JID) string { return l.cfg.Prefix + "r:{" + tag(bare) + "}" }

// braces would end a hash tag too soon.
var braces = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

func tag(bare jid.JID) string { return braces.Replace(bare.String()) }

// replacedKey is where it is kept for a while whom a binding replaced.
func (l *Shared) replacedKey(bare jid.JID) string { return l.cfg.Prefix + "x:{" + tag(bare) + "}" }

func (l *Shared) leaseKey(node router.NodeID) string { return l.cfg.Prefix + "n:" + string(node) }

func (l *Shared) ownedKey(o Owner) string { return l.cfg.Prefix + "ns:" + o.String() }

func (l *Shared) bellPrefix() string { return l.cfg.Prefix + "bell:" }

// bell is where this node is told what is for it alone.
func (l *Shared) bell() string { return l.bellPrefix() + string(l.cfg.Node) }

func (l *Shared) boundChannel() string { return l.cfg.Prefix + "bound" }

func (l *Shared) rosterChannel() string { return l.cfg.Prefix + "roster" }

func (l *Shared) keep() int64 { return l.cfg.Keep.Milliseconds() }

// Owners lists everybody who may have sessions, the dead included.
func (l *Shared) Owners(ctx context.Context) ([]Owner, error) {
	all, err := l.cfg.Client.SMembers(ctx, l.cfg.Prefix+"owners").Result()
	if err != nil {
		return nil, fmt.Errorf("owners: %w", err)
	}
	list := make([]Owner, 0, len(all))
	for _, s := range all {
		o, err := ParseOwner(s)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// Forget removes an owner that has no sessions left.
func (l *Shared) Forget(ctx context.Context, o Owner) error {
	l.urls.Delete(o)
	if err := l.cfg.Client.SRem(ctx, l.cfg.Prefix+"owners", o.String()).Err(); err != nil {
		return fmt.Errorf("forget owner: %w", err)
	}
	return nil
}

// Secret returns a secret that all nodes have and nobody else.
func (l *Shared) Secret(ctx context.Context) (string, error) {
	key := l.cfg.Prefix + "secret"
	if err := l.cfg.Client.SetNX(ctx, key, rand.Text(), 0).Err(); err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	secret, err := l.cfg.Client.Get(ctx, key).Result()
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	return secret, nil
}

// Run renews the lease and listens for what other nodes post, until ctx ends.
// Then the lease is given up.
func (l *Shared) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			l.listen(ctx)
		}
	})
	wg.Go(func() { l.refreshing(ctx) })
	wg.Go(func() {
		l.tide.run(ctx, func(ctx context.Context) error { return l.cfg.Client.Ping(ctx).Err() })
	})
	defer wg.Wait()
	tick := time.NewTicker(l.cfg.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			select {
			case l.lease <- struct{}{}:
			default:
				continue // it was given up
			}
			err := l.renew(ctx)
			if err == nil {
				err = l.echo(ctx)
			}
			if passing(err) {
				l.tide.ebb(err)
			}
			if err != nil && ctx.Err() == nil {
				l.cfg.Log.WarnContext(ctx, "cluster lease", "err", err)
			}
			<-l.lease
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends the pipeline and gives up the lease, so that others need not wait
// for its end; Run does not renew it any more.
func (l *Shared) Close(ctx context.Context) error {
	l.pipe.close()
	l.given.Do(func() {
		close(l.closed)
		l.lease <- struct{}{} // a renewal ends with the client's timeouts
	})
	// Term 0 is nobody's.
	if err := l.cfg.Client.Set(ctx, l.leaseKey(l.cfg.Node), "0 ", l.cfg.Keep).Err(); err != nil {
		return fmt.Errorf("give up lease: %w", err)
	}
	return nil
}
