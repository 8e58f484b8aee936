package pbx

import (
	"context"
	"errors"
	"log/slog"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// ErrRefused is for a switch that does not let us in, which trying again soon will not change.
var ErrRefused = errors.New("the switch refuses the sign-in")

// Lines tells whose a line is.
type Lines interface {
	// Users returns the bare addresses of those who have a line. It answers from memory,
	// and the list is not changed by either side.
	Users(line string) []jid.JID
}

// Talk speaks with a switch over a connection of its own, from sign-in until it fails or ctx ends.
type Talk func(ctx context.Context, b *Board) error

// Config is what a Source needs.
type Config struct {
	Name    string // of the evidence
	Talk    Talk
	Lines   Lines
	Prefix  string        // in front of lines that are digits only, such as +4930123
	Domain  string        // of lines, so that 2001 is 2001@pbx.example.com; "" = as the switch has it
	Expires time.Duration // how long something is believed after the last sign of life
	Retry   time.Duration // the least wait before another connection; 0 = half a second
	Limit   int           // of lines
	// Known returns what presence knows of this source already, told by another node or
	// before; nil = nothing ever.
	Known func() []presence.Evidence
	// Turn reports whether this node is the one that speaks with the switch; nil = it is.
	Turn func() bool
	Log  *slog.Logger
}

// Times of a Source.
const (
	look     = 500 * time.Millisecond // how often Turn is asked
	first    = 500 * time.Millisecond // Retry
	most     = 30 * time.Second       // the longest wait before another connection
	refused  = time.Minute            // the least wait after ErrRefused
	goodFor  = 10                     // a connection that lasted so many times Retry was a good one
	defaults = 60 * time.Second
)

var errClosed = errors.New("the switch has closed the connection")

// Source is a presence.Source.
type Source struct {
	cfg   Config
	board *Board
	moved chan struct{} // lines may be of others
	seq   uint64        // of the loop that tells alone

	mu     sync.Mutex // guards status
	status Status
}

// Status is what an operator wants to know of a source.
type Status struct {
	Mine  bool      // this node speaks with the switch
	Up    bool      // and has the full picture
	Since time.Time // of Up
	Lines int
	Err   string // why it is not up
}

// New returns a Source that does nothing yet.
func New(cfg Config) *Source {
	if cfg.Expires <= 0 {
		cfg.Expires = defaults
	}
	if cfg.Retry <= 0 {
		cfg.Retry = first
	}
	if cfg.Limit <= 0 {
		cfg.Limit = 100_000
	}
	return &Source{cfg: cfg, board: NewBoard(cfg.Limit), moved: make(chan struct{}, 1)}
}

// Name is that of the evidence.
func (s *Source) Name() string { return s.cfg.Name }

// Status returns how the source is doing.
func (s *Source) Status() Status {
	lines, whole, _ := s.board.status()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if st.Lines, st.Up = lines, st.Mine && whole; st.Up {
		st.Err = ""
	}
	return st
}

// Refresh has lines told to those whose they are by now, soon. It does not wait.
func (s *Source) Refresh() {
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// Run implements presence.Source.
func (s *Source) Run(ctx context.Context, out chan<- presence.Evidence) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		pprof.Do(ctx, pprof.Labels("loop", "pbx", "source", s.cfg.Name), s.take)
		return nil
	})
	g.Go(func() error { return s.tell(ctx, out) })
	return g.Wait()
}

// take speaks with the switch whenever it is this node's turn, until ctx ends.
func (s *Source) take(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil {
		if s.turn() {
			s.mine(true)
			s.hold(ctx, tick.C)
			s.mine(false)
			// What was told stays, for who speaks with the switch now to go on with.
			s.board.clear()
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (s *Source) turn() bool { return s.cfg.Turn == nil || s.cfg.Turn() }

func (s *Source) mine(mine bool) {
	s.mu.Lock()
	s.status = Status{Mine: mine, Since: time.Now()}
	s.mu.Unlock()
}

// hold keeps up a connection until it is another node's turn.
func (s *Source) hold(ctx context.Context, tick <-chan time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.connect(ctx)
	}()
	for over := false; !over; {
		select {
		case <-tick:
			over = !s.turn()
		case <-ctx.Done():
			over = true
		}
	}
	cancel()
	<-done
}

// tell sends what changes, and what is not believed much longer though the switch lives.
func (s *Source) tell(ctx context.Context, out chan<- presence.Evidence) error {
	renew := time.NewTicker(max(s.cfg.Expires/12, 10*time.Millisecond))
	defer renew.Stop()
	up, seen := false, uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.board.wake:
		case <-s.moved:
			s.board.moved(func(name string, told []jid.JID) bool { return !same(told, s.cfg.Lines.Users(s.item(name))) })
		case now := <-renew.C:
			s.board.renew(now, s.cfg.Expires)
		}
		lines, whole, pictures := s.board.status()
		if whole && !up {
			s.came(ctx, lines)
		}
		up = whole
		var known []presence.Evidence
		if seen != pictures && s.cfg.Known != nil {
			known = s.cfg.Known()
			for i := range known { // another node's clock may be ahead
				s.seq = max(s.seq, known[i].Seq)
			}
		}
		seen = pictures
		for _, n := range s.board.take(s.cfg.Expires) {
			if !s.send(ctx, out, n) {
				return nil
			}
		}
		if !s.retract(ctx, out, known) {
			return nil
		}
	}
}

func (s *Source) came(ctx context.Context, lines int) {
	s.mu.Lock()
	s.status.Since = time.Now()
	s.mu.Unlock()
	s.cfg.Log.InfoContext(ctx, "telephone switch there", "source", s.cfg.Name, "lines", lines)
}

// send tells a line to those whose it is, and takes it back from those whose it was.
func (s *Source) send(ctx context.Context, out chan<- presence.Evidence, n news) bool {
	item := s.item(n.name)
	var users []jid.JID
	if n.state != presence.LineUnknown {
		users = s.cfg.Lines.Users(item)
	}
	e := presence.Evidence{Source: s.cfg.Name, Item: item}
	for _, u := range n.told {
		if e.User = u; !slices.Contains(users, u) && !s.put(ctx, out, e) {
			return false
		}
	}
	e.Line, e.Since, e.Expires = n.state, n.since, n.until
	for _, u := range users {
		if e.User = u; !s.put(ctx, out, e) {
			return false
		}
	}
	s.board.tellers(n.name, users)
	return true
}

// put sends a piece of evidence, numbered above all that were, on this node and, as
// far as clocks agree, on others.
func (s *Source) put(ctx context.Context, out chan<- presence.Evidence, e presence.Evidence) bool {
	s.seq = max(s.seq+1, uint64(time.Now().UnixMicro())) //nolint:gosec // after 1970
	e.Seq = s.seq
	select {
	case out <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// retract takes back of what was known what is not so any more.
func (s *Source) retract(ctx context.Context, out chan<- presence.Evidence, known []presence.Evidence) bool {
	if len(known) == 0 {
		return true
	}
	here := map[string]struct{}{}
	for _, name := range s.board.names() {
		here[s.item(name)] = struct{}{}
	}
	for _, e := range known {
		if _, ok := here[e.Item]; ok && slices.Contains(s.cfg.Lines.Users(e.Item), e.User) {
			continue
		}
		if !s.put(ctx, out, presence.Evidence{User: e.User, Source: s.cfg.Name, Item: e.Item}) {
			return false
		}
	}
	return true
}

// same compares two lists without order.
func same(a, b []jid.JID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(j jid.JID) bool { return !slices.Contains(b, j) })
}

// item is a line as it is looked up and told.
func (s *Source) item(name string) string {
	user, host, found := strings.Cut(name, "@")
	if s.cfg.Prefix != "" && user != "" && strings.Trim(user, "0123456789") == "" {
		user = s.cfg.Prefix + user
	}
	switch {
	case s.cfg.Domain != "":
		return user + "@" + s.cfg.Domain
	case found:
		return user + "@" + host
	}
	return user
}
