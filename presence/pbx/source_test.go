package pbx_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/xmpp/jid"
)

// owners is a map of lines that a test changes.
type owners struct {
	mu sync.Mutex
	of map[string][]string
}

func (o *owners) Users(line string) []jid.JID {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []jid.JID
	for _, name := range o.of[line] {
		all = append(all, jid.MustParse(name+"@example.com"))
	}
	return all
}

func (o *owners) set(line string, names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[line] = names
}

// stage runs a source on a synthetic clock.
type stage struct {
	t       *testing.T
	owners  *owners
	boards  chan *pbx.Board // of connections that were made
	over    chan error      // ends one
	book    map[string]presence.Evidence
	pieces  int
	source  *pbx.Source
	mu      sync.Mutex
	log     strings.Builder
	connect int
}

func newStage(t *testing.T, change func(*pbx.Config)) *stage {
	t.Helper()
	s := &stage{t: t, owners: &owners{of: map[string][]string{}}, boards: make(chan *pbx.Board), over: make(chan error), book: map[string]presence.Evidence{}}
	cfg := pbx.Config{
		Name: "test:a", Lines: s.owners, Expires: time.Minute, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Talk: func(ctx context.Context, b *pbx.Board) error {
			s.mu.Lock()
			s.connect++
			s.mu.Unlock()
			select {
			case s.boards <- b:
			case err := <-s.over:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case err := <-s.over:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	if change != nil {
		change(&cfg)
	}
	s.source = pbx.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chan presence.Evidence), make(chan error, 1)
	go func() { done <- s.source.Run(ctx, out); close(out) }()
	go func() {
		for e := range out {
			s.mu.Lock()
			s.put(e)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	return s
}

func (s *stage) put(e presence.Evidence) {
	key := e.User.Local() + " " + e.Item
	if s.pieces++; e.Expires.IsZero() {
		delete(s.book, key)
		return
	}
	if e.Seq < s.book[key].Seq {
		s.t.Errorf("%s: %d after %d", key, e.Seq, s.book[key].Seq)
	}
	s.book[key] = e
}

// want compares what is believed now: user, line and state.
func (s *stage) want(all ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := []string{}
	for key, e := range s.book {
		if e.Expires.After(time.Now()) {
			got = append(got, key+" "+e.Line.String())
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, all) {
		s.t.Errorf("got %q, want %q", got, all)
	}
}

func picture(b *pbx.Board, lines map[string]presence.Line) {
	b.Begin()
	for name, state := range lines {
		_ = b.Set(name, state, time.Time{})
	}
	b.End()
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		s.owners.set("2001", "alice", "bob")
		s.owners.set("2002", "bob")
		b := <-s.boards
		b.Begin()
		_ = b.Set("2001", presence.LineInCall, time.Time{})
		s.want() // before the picture is whole
		_ = b.Set("2002", presence.LineIdle, time.Time{})
		_ = b.Set("2003", presence.LineInCall, time.Time{}) // nobody's
		b.End()
		s.want("alice 2001 in-call", "bob 2001 in-call", "bob 2002 idle")

		// Signs of life keep it, a change is told, lines may change hands.
		for range 30 {
			time.Sleep(10 * time.Second)
			b.Alive()
		}
		s.want("alice 2001 in-call", "bob 2001 in-call", "bob 2002 idle")
		s.owners.set("2001", "bob", "carol")
		s.source.Refresh()
		s.want("bob 2001 in-call", "bob 2002 idle", "carol 2001 in-call")
		_ = b.Set("2002", presence.LineRinging, time.Time{})
		_ = b.Set("2001", presence.LineUnknown, time.Time{})
		s.want("bob 2002 ringing")

		// Without them it is over, though the connection stands.
		time.Sleep(61 * time.Second)
		s.want()
		b.Alive()
		time.Sleep(10 * time.Second)
		s.want("bob 2002 ringing")

		// The connection breaks: what was told stays until it expires.
		s.over <- errors.New("broken")
		s.want("bob 2002 ringing")
		if st := s.source.Status(); st.Up || !st.Mine || st.Err != "broken" {
			t.Errorf("%+v", st)
		}
		b = <-s.boards
		picture(b, map[string]presence.Line{"2001": presence.LineHeld})
		s.want("bob 2001 held", "carol 2001 held")
		if st := s.source.Status(); !st.Up || st.Err != "" || st.Lines != 1 {
			t.Errorf("%+v", st)
		}
		s.over <- nil
		time.Sleep(2 * time.Minute)
		s.want()
	})
}

// TestRenewal holds that idle lines are told seldom.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		s.owners.set("2001", "alice")
		s.owners.set("2002", "bob")
		b := <-s.boards
		picture(b, map[string]presence.Line{"2001": presence.LineInCall, "2002": presence.LineIdle})
		for range 360 {
			time.Sleep(10 * time.Second)
			b.Alive()
			s.want("alice 2001 in-call", "bob 2002 idle")
		}
		if s.pieces > 300 {
			t.Errorf("%d pieces of evidence in an hour", s.pieces)
		}
	})
}

// TestBackOff counts connections to a switch that does not answer, or refuses.
func TestBackOff(t *testing.T) {
	for name, tt := range map[string]struct {
		err          error
		least, atAll int
	}{
		"away":    {errors.New("away"), 60, 150},
		"refused": {errors.Join(pbx.ErrRefused, errors.New("wrong secret")), 25, 61},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, nil)
				end := time.After(time.Hour)
				for over := false; !over; {
					select {
					case s.over <- tt.err:
					case <-end:
						over = true
					}
				}
				if s.connect < tt.least || s.connect > tt.atAll {
					t.Errorf("%d connections in an hour", s.connect)
				}
				if n := strings.Count(s.log.String(), "away"); n > 4 {
					t.Errorf("%d rows in the log", n)
				}
			})
		})
	}
}

// TestTakeOver has the source run where its turn is, and take back what another node told that is so no more.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		mine := false
		ahead := uint64(time.Now().Add(time.Hour).UnixMicro()) //nolint:gosec // of another node, whose clock is wrong
		var s *stage
		s = newStage(t, func(c *pbx.Config) {
			c.Turn = func() bool { mu.Lock(); defer mu.Unlock(); return mine }
			c.Prefix, c.Domain = "+4930", "pbx"
			c.Known = func() []presence.Evidence {
				s.mu.Lock()
				defer s.mu.Unlock()
				var all []presence.Evidence
				for _, e := range s.book {
					all = append(all, e)
				}
				return all
			}
		})
		s.owners.set("+49302001@pbx", "alice")
		s.owners.set("+49302002@pbx", "bob")
		s.mu.Lock()
		for user, line := range map[string]string{"alice": "+49302001@pbx", "bob": "+49302002@pbx", "carol": "+49302001@pbx"} {
			s.put(presence.Evidence{User: jid.MustParse(user + "@example.com"), Item: line, Source: "test:a", Line: presence.LineInCall, Seq: ahead, Expires: time.Now().Add(time.Minute)})
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		if s.connect != 0 || s.source.Status().Mine {
			t.Error("it is not its turn")
		}
		mu.Lock()
		mine = true
		mu.Unlock()
		b := <-s.boards
		s.want("alice +49302001@pbx in-call", "bob +49302002@pbx in-call", "carol +49302001@pbx in-call")
		picture(b, map[string]presence.Line{"2001": presence.LineIdle})
		s.want("alice +49302001@pbx idle")
		mu.Lock()
		mine = false
		mu.Unlock()
		time.Sleep(time.Second)
		s.want("alice +49302001@pbx idle") // for the one who goes on
		if st := s.source.Status(); st.Mine || st.Up || st.Lines != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestBoardLimits(t *testing.T) {
	b := pbx.NewBoard(2)
	for _, tt := range []struct {
		name string
		want error
	}{{"a", nil}, {"b", nil}, {"c", pbx.ErrFull}, {"a", nil}, {"", pbx.ErrLine}, {strings.Repeat("x", 256), pbx.ErrLine}} {
		if err := b.Set(tt.name, presence.LineIdle, time.Time{}); !errors.Is(err, tt.want) {
			t.Errorf("%q: %v, want %v", tt.name, err, tt.want)
		}
	}
}
