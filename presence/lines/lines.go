// Package lines is a source of evidence for presence: what telephone lines do, told
// over HTTP by whatever knows it, such as a CTI server or a script of a switch.
//
//	PUT    /presence/v1/lines/2001   {"state":"in-call"}
//	GET    /presence/v1/lines/2001
//	DELETE /presence/v1/lines/2001
//	POST   /presence/v1/lines        one such object a row, with "line"
//	GET    /presence/v1/lines        the same over WebSocket, each message answered
//
// Each line is of no, one or several users, whom a [Map] knows. What was said of a line
// stays until it is said anew, taken back, or its time is over.
package lines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// Source is the name of the evidence.
const Source = "http"

// Map knows whose a line is. The list is not changed by either side.
type Map interface {
	Users(line string) []jid.JID
}

// Settings may change while running.
type Settings struct {
	Token string        // who knows it may tell; "" = nobody may
	TTL   time.Duration // how long something is believed that comes without a time
}

// Config joins a [Service] to the node.
type Config struct {
	Map     Map
	Observe func(presence.Evidence) error // never waits
	// Ready waits a moment for what is told here to reach the other nodes, and reports whether it will; nil = there are none.
	Ready    func(context.Context) bool
	MaxLines int
	Settings Settings
	Log      *slog.Logger

	// AllowOrigin decides whose pages may connect by WebSocket, and Peer tells who asks; as of
	// web.Edge. Without them no page may, and it is who is connected.
	AllowOrigin func(*http.Request) (origin string, ok bool)
	Peer        func(*http.Request) (remote netip.AddrPort, secure bool)
	Ping        time.Duration // of silence, then a WebSocket is asked for a sign of life, 0 = 30 s
	PingWait    time.Duration // for that sign, 0 = 10 s
}

// Service keeps the lines and answers over HTTP. Safe for concurrent use.
type Service struct {
	cfg      Config
	settings atomic.Pointer[Settings]
	streams  chan struct{} // has room for each bulk feed under way
	moved    chan struct{} // lines may be of others
	done     chan struct{}
	close    sync.Once
	feeds    sync.WaitGroup // one for each of streams
	entry    sync.Mutex     // held when one of feeds is added, and when done is closed

	mu  sync.Mutex // guards all below
	all map[string]*line
}

// line is what was said last.
type line struct {
	id      string
	state   presence.Line
	since   time.Time
	expires time.Time
	seq     uint64
	users   []jid.JID
}

const (
	maxStreams = 16
	maxID      = 255 // bytes
	maxTTL     = 24 * time.Hour
	sweepAfter = time.Minute
)

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Ping <= 0 {
		cfg.Ping = pingAfter
	}
	if cfg.PingWait <= 0 {
		cfg.PingWait = pingWait
	}
	s := &Service{cfg: cfg, streams: make(chan struct{}, maxStreams), moved: make(chan struct{}, 1), done: make(chan struct{}), all: make(map[string]*line)}
	s.settings.Store(&cfg.Settings)
	return s
}

// Settings returns those in force.
func (s *Service) Settings() Settings { return *s.settings.Load() }

// SetSettings puts other settings in force.
func (s *Service) SetSettings(next Settings) { s.settings.Store(&next) }

// Close has the bulk feeds under way end, each with an answer, and lets in no others.
func (s *Service) Close() {
	s.close.Do(func() {
		s.entry.Lock()
		defer s.entry.Unlock()
		close(s.done)
	})
}

// Wait returns when all bulk feeds have ended, some seconds after Close at most.
func (s *Service) Wait() { s.feeds.Wait() }

// Feeds counts the bulk feeds under way.
func (s *Service) Feeds() int { return len(s.streams) }

// Remap has lines looked up again soon, after people or the list of lines have changed.
func (s *Service) Remap() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// Len counts the lines.
func (s *Service) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Run looks lines up again when told to, and forgets those that have expired, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepAfter)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.moved:
			s.remap(ctx)
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

func (s *Service) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.all {
		if !l.expires.After(now) {
			delete(s.all, id)
		}
	}
}

func (s *Service) remap(ctx context.Context) {
	for _, id := range s.ids() {
		users := s.cfg.Map.Users(id)
		s.mu.Lock()
		if l := s.all[id]; l != nil && !sameUsers(l.users, users) {
			s.tell(ctx, l, users)
		}
		s.mu.Unlock()
	}
}

// sameUsers compares in no order.
func sameUsers(a, b []jid.JID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(u jid.JID) bool { return !slices.Contains(b, u) })
}

// tell gives what a line does to those whose it is, and takes it back from those whose it
// was. It is called with the lock held, so that what is said of a line stays in order;
// Observe does not wait.
func (s *Service) tell(ctx context.Context, l *line, users []jid.JID) {
	e := presence.Evidence{Source: Source, Item: l.id, Line: l.state, Seq: l.seq, Since: l.since, Expires: l.expires}
	for _, u := range users {
		e.User = u
		s.observe(ctx, e)
	}
	e.Expires = time.Time{}
	for _, u := range l.users {
		if !slices.Contains(users, u) {
			e.User = u
			s.observe(ctx, e)
		}
	}
	l.users = users
}

func (s *Service) observe(ctx context.Context, e presence.Evidence) {
	if err := s.cfg.Observe(e); err != nil {
		s.cfg.Log.WarnContext(ctx, "line", "jid", e.User.String(), "line", e.Item, "err", err)
	}
}

// report is what is put, one object.
type report struct {
	Line  *string    `json:"line"`
	State string     `json:"state"`
	Since *time.Time `json:"since"`
	TTL   *int64     `json:"ttl"` // seconds
	Seq   *uint64    `json:"seq"`
}

// What a report can be refused with, beside being wrong in itself.
var (
	errStale = errors.New("seq is lower than the one known")
	errLong  = errors.New("the row is too long")
	errFull  = errors.New("too many lines: presence.http.max_lines")
	errAlone = errors.New("this node is cut off from the others: tell another one, or this one again")
)

func badID(id string) error {
	switch {
	case id == "":
		return errors.New("line is missing")
	case len(id) > maxID:
		return fmt.Errorf("line is longer than %d bytes", maxID)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff }):
		return errors.New("line has a sign that no line has")
	}
	return nil
}

var states = map[string]presence.Line{
	"idle": presence.LineIdle, "ringing": presence.LineRinging, "in-call": presence.LineInCall, "held": presence.LineHeld,
}

// put takes a report of a line.
func (s *Service) put(ctx context.Context, id string, r *report, now time.Time) (view, error) {
	if err := badID(id); err != nil {
		return view{}, err
	}
	now = now.UTC()
	state, ok := states[r.State]
	if !ok {
		return view{}, errors.New("state is none of idle, ringing, in-call, held")
	}
	ttl := s.settings.Load().TTL
	if r.TTL != nil {
		if *r.TTL < 1 || *r.TTL > int64(maxTTL/time.Second) {
			return view{}, fmt.Errorf("ttl is not from 1 to %d, in seconds", int64(maxTTL/time.Second))
		}
		ttl = time.Duration(*r.TTL) * time.Second
	}
	if !s.ready(ctx) {
		return view{}, errAlone
	}
	users := s.cfg.Map.Users(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.all[id]
	if l != nil && !l.expires.After(now) {
		delete(s.all, id)
		l = nil
	}
	if l == nil {
		if len(s.all) >= s.cfg.MaxLines {
			return view{}, errFull
		}
		l = &line{id: id}
		s.all[id] = l
	}
	if r.Seq != nil {
		if *r.Seq < l.seq {
			return l.view(), errStale
		}
		l.seq = *r.Seq
	} else { // so that what came last counts, whichever node of a cluster it came to
		l.seq = max(l.seq+1, uint64(now.UnixMicro())) //nolint:gosec // after 1970
	}
	if r.Since != nil {
		l.since = *r.Since
	} else if l.state != state && !(busy(l.state) && busy(state)) { // a call that is held goes on
		l.since = now
	}
	l.state, l.expires = state, now.Add(ttl)
	s.tell(ctx, l, users)
	return l.view(), nil
}

func (s *Service) ready(ctx context.Context) bool { return s.cfg.Ready == nil || s.cfg.Ready(ctx) }

func busy(l presence.Line) bool { return l == presence.LineHeld || l == presence.LineInCall }

// get returns what is known of a line.
func (s *Service) get(id string, now time.Time) (view, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.all[id]
	if l == nil || !l.expires.After(now) {
		return view{}, false
	}
	return l.view(), true
}

// ids names the lines, in their order.
func (s *Service) ids() []string {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.all))
	s.mu.Unlock()
	slices.Sort(all)
	return all
}

// remove takes back what was said of a line.
func (s *Service) remove(ctx context.Context, id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.all[id]
	if l == nil {
		return false
	}
	delete(s.all, id)
	s.tell(ctx, l, nil)
	return l.expires.After(now)
}

// view is a line as it is answered.
type view struct {
	Line    string    `json:"line"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
	Seq     uint64    `json:"seq"`
	Users   []jid.JID `json:"users"`
}

func (l *line) view() view {
	users := l.users
	if users == nil {
		users = []jid.JID{}
	}
	return view{l.id, l.state.String(), l.since, l.expires, l.seq, users}
}
