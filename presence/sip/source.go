package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// name is the Source of the evidence.
const name = "sip"

// Lines tells whose a line is.
type Lines interface {
	// Users returns the bare addresses of those who have a line, such as
	// sip:2001@pbx.example.com or tel:+4930123456. It answers from memory.
	Users(line string) []jid.JID
}

// Config is what a Source needs. Listen or TLSListen are needed, and Lines.
type Config struct {
	Listen    string // for UDP and TCP; "" = neither
	UDP, TCP  bool
	TLSListen string // "" = none
	TLS       *tls.Config
	TLSClient *tls.Config // towards servers that are subscribed to; nil = the system's roots

	Domains []string // of Request-URIs; empty = any
	Trusted []netip.Prefix
	Realm   string
	Users   Users // who may publish from elsewhere, over TCP or TLS

	MinExpires, MaxExpires time.Duration
	MaxPublications        int
	Rate                   int // messages a second of one address

	Subscribe []Subscription
	// Mine, if not nil, tells whether this node is to subscribe at a server, which others
	// may do in its place. It is asked again and again, and answers from memory.
	Mine  func(server string) bool
	Lines Lines
	Log   *slog.Logger
}

// Source is a presence.Source.
type Source struct {
	cfg   Config                 // for what does not change: Mine, Lines, Log
	now   atomic.Pointer[Config] // in force
	log   *slog.Logger
	guard *guard
	gate  *gate

	ua         *sipgo.UserAgent
	client     *sipgo.Client
	subscriber *subscriber

	ports  atomic.Pointer[ports]
	moved  chan struct{} // there are other ports
	portMu sync.Mutex    // held while ports are changed; guards ended
	ended  bool

	mu    sync.Mutex // guards board and pubs
	board *board
	pubs  *publications
	wake  chan struct{}

	told map[string]word // of Run alone
}

// word is what was told of a line.
type word struct {
	sum
	users []jid.JID
}

// New returns a Source that listens to nothing yet.
func New(cfg Config) (*Source, error) {
	if cfg.Lines == nil || cfg.Log == nil {
		return nil, errors.New("a SIP source needs lines and a log")
	}
	setDefaults(&cfg)
	s := &Source{
		cfg: cfg, log: cfg.Log, board: newBoard(), wake: make(chan struct{}, 1), told: map[string]word{}, moved: make(chan struct{}, 1),
		guard: newGuard(cfg.Trusted, len(cfg.Users) > 0, cfg.Rate), gate: newGate(cfg.Realm, cfg.Users),
	}
	s.now.Store(&cfg)
	s.ports.Store(&ports{})
	s.pubs = &publications{
		limit: cfg.MaxPublications, life: lifetimes{cfg.MinExpires, cfg.MaxExpires},
		byTag: map[string]*publication{}, board: s.board,
	}
	silence()
	var err error
	if s.ua, err = sipgo.NewUA(sipgo.WithUserAgent("deskline"), sipgo.WithUserAgenTLSConfig(cfg.TLSClient), sipgo.WithUserAgentParser(s.parser())); err != nil {
		return nil, fmt.Errorf("start SIP: %w", err)
	}
	if s.client, err = sipgo.NewClient(s.ua); err != nil {
		return nil, fmt.Errorf("start SIP: %w", err)
	}
	s.subscriber, err = newSubscriber(s, cfg.Subscribe)
	return s, err
}

func setDefaults(cfg *Config) {
	if cfg.MinExpires <= 0 {
		cfg.MinExpires = time.Minute
	}
	if cfg.MaxExpires <= 0 {
		cfg.MaxExpires = time.Hour
	}
	if cfg.MaxPublications <= 0 {
		cfg.MaxPublications = 100_000
	}
	if cfg.Realm == "" {
		cfg.Realm = "deskline"
	}
}

// Config returns what is in force.
func (s *Source) Config() *Config { return s.now.Load() }

// silence keeps the library from logging messages that it cannot read, with all
// that is in them.
var silence = sync.OnceFunc(func() { sip.SetDefaultLogger(slog.New(slog.DiscardHandler)) })

// choose takes the entity of a document for the line if it is somebody's, or if
// the Request-URI is nobody's either.
func (s *Source) choose(entity, resource string) string {
	line, err := Normalise(entity)
	if err != nil {
		return resource
	}
	if len(s.cfg.Lines.Users(line)) == 0 && len(s.cfg.Lines.Users(resource)) > 0 {
		return resource
	}
	return line
}

// Run implements presence.Source. It listens if Listen was not called.
func (s *Source) Run(ctx context.Context, out chan<- presence.Evidence) error {
	if *s.ports.Load() == (ports{}) {
		if err := s.Listen(ctx); err != nil {
			return err
		}
	}
	server, err := s.server()
	if err != nil {
		s.close()
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serve(ctx, g, server) })
	g.Go(func() error { return s.subscriber.run(ctx) })
	g.Go(func() error { return s.tell(ctx, out) })
	g.Go(func() error {
		<-ctx.Done()
		<-s.subscriber.done // which says good-bye over the sockets
		s.close()
		_ = s.ua.Close() // the others may have gone first
		return nil
	})
	return g.Wait()
}

// Status is what an operator wants to know of a source.
type Status struct {
	Lines         int                   // of which something is known
	Publications  int                   // in force
	Subscriptions int                   // in force, of this node
	Away          map[string]string     // servers that do not answer: server and event, and why
	Lists         map[string]ListStatus // by server, event and list
}

// Status returns how the source is doing.
func (s *Source) Status() Status {
	s.mu.Lock()
	status := Status{Lines: len(s.board.lines), Publications: len(s.pubs.byTag), Away: map[string]string{}}
	s.mu.Unlock()
	status.Subscriptions = s.subscriber.inForce(time.Now())
	status.Lists = s.subscriber.lists()
	for _, t := range s.subscriber.list() {
		if why := t.away.Load(); why != nil {
			status.Away[t.server.String()+" "+t.event] = *why
		}
	}
	return status
}

// Refresh tells everything again, to those whose the lines are by now.
func (s *Source) Refresh() {
	s.mu.Lock()
	s.board.all()
	s.mu.Unlock()
	s.ring()
}

func (s *Source) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tell sends what changes. What changes several times while it waits is sent once.
func (s *Source) tell(ctx context.Context, out chan<- presence.Evidence) error {
	s.Refresh()
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-sweep.C:
			now := time.Now()
			s.mu.Lock()
			s.pubs.expire(now)
			s.board.expire(now)
			s.mu.Unlock()
		}
		for _, e := range s.changes() {
			select {
			case out <- e:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// sum is what is to be told of a line.
type sum struct {
	line           string
	state          presence.Line
	since, expires time.Time
	heard          uint64
}

// changes empties what is to be told.
func (s *Source) changes() []presence.Evidence {
	s.mu.Lock()
	sums := make([]sum, 0, len(s.board.dirty))
	for line, heard := range s.board.dirty {
		one := sum{line: line, heard: heard}
		one.state, one.since, one.expires = s.board.sum(line)
		sums = append(sums, one)
	}
	clear(s.board.dirty)
	s.mu.Unlock()
	all := make([]presence.Evidence, 0, len(sums))
	for _, one := range sums {
		all = s.changed(all, one)
	}
	return all
}

func (s *Source) changed(all []presence.Evidence, now sum) []presence.Evidence {
	line := now.line
	var users []jid.JID
	if now.state != presence.LineUnknown {
		users = s.cfg.Lines.Users(line)
	}
	old := s.told[line]
	if old.sum == now && len(old.users) == len(users) && !slices.ContainsFunc(users, func(u jid.JID) bool { return !slices.Contains(old.users, u) }) {
		return all // people have changed, but not for this line
	}
	for _, u := range old.users {
		if !slices.Contains(users, u) {
			all = append(all, presence.Evidence{User: u, Source: name, Item: line, Seq: now.heard})
		}
	}
	for _, u := range users {
		all = append(all, presence.Evidence{User: u, Source: name, Item: line, Line: now.state, Seq: now.heard, Since: now.since, Expires: now.expires})
	}
	if len(users) == 0 {
		delete(s.told, line)
	} else {
		s.told[line] = word{now, users}
	}
	return all
}

// Told is what a source that has ended has told last.
func (s *Source) Told() []presence.Evidence {
	var all []presence.Evidence
	for line, w := range s.told {
		for _, u := range w.users {
			all = append(all, presence.Evidence{User: u, Source: name, Item: line, Line: w.state, Seq: w.heard, Since: w.since, Expires: w.expires})
		}
	}
	return all
}
