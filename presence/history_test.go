package presence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// ledger keeps changes in memory.
type ledger struct {
	mu      sync.Mutex // guards all below
	all     []presence.Change
	away    bool
	largest int // batch
}

func (l *ledger) SaveChanges(_ context.Context, changes []presence.Change, _ int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errors.New("away")
	}
	l.largest = max(l.largest, len(changes))
	l.all = append(l.all, changes...)
	slices.SortStableFunc(l.all, func(a, b presence.Change) int { return a.At.Compare(b.At) })
	return nil
}

func (l *ledger) Changes(_ context.Context, user jid.JID, from, until time.Time, max int) (list []presence.Change, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		switch {
		case c.User != user || !c.At.Before(until):
		case c.At.Before(from):
			list = []presence.Change{c}
		case len(list) <= max:
			list = append(list, c)
		}
	}
	return list, nil
}

func (l *ledger) SweepChanges(_ context.Context, before time.Time, last bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = slices.DeleteFunc(l.all, func(c presence.Change) bool { return last && c.At.Before(before) })
	return nil
}

func (l *ledger) LastChanges(_ context.Context, visit func([]presence.Change) error) error {
	l.mu.Lock()
	last := map[jid.JID]presence.Change{}
	for _, c := range l.all {
		last[c.User] = c
	}
	l.mu.Unlock()
	return visit(slices.Collect(maps.Values(last)))
}

func (l *ledger) set(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

// histories runs a world with a history, of a user whose line is told of.
func histories(t *testing.T, play func(t *testing.T, w *world, l *ledger, pass func(time.Duration), tell func(presence.Line))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := newWorldWith(t, func(c *presence.Config) { c.Histories, c.Keep = l, 24*time.Hour })
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = w.p.Run(ctx) })
		running.Go(func() { _ = w.p.RunHistory(ctx) })
		pass := func(d time.Duration) {
			time.Sleep(d) //nolint:forbidigo // time is synthetic
			synctest.Wait()
		}
		var seq uint64
		play(t, w, l, pass, func(line presence.Line) {
			seq++
			err := w.p.Observe(presence.Evidence{
				User: person("alice"), Source: "http", Item: "2001", Seq: seq, Line: line, Since: time.Now(), Expires: time.Now().Add(time.Hour),
			})
			if err != nil {
				t.Fatal(err)
			}
		})
		stop()
		running.Wait()
	})
}

// story writes a history from its beginning on.
func story(h presence.History) string {
	parts := []string{string(h.State)}
	for _, c := range h.Changes {
		parts = append(parts, string(c.State)+" "+c.Why)
	}
	return strings.Join(parts, ", ")
}

// TestHistory follows a user through a day: with a line and without one, by one resource and two.
func TestHistory(t *testing.T) {
	histories(t, func(t *testing.T, w *world, l *ledger, pass func(time.Duration), tell func(presence.Line)) {
		begin := time.Now()
		w.bind("alice/desk", "alice/home", "bob/desk")
		pass(time.Second)
		w.says("alice/desk", "<presence/>")
		pass(10 * time.Second)
		w.says("alice/desk", "<presence><status>A secret</status></presence>") // no other state
		pass(10 * time.Second)
		tell(presence.LineInCall)
		pass(30 * time.Second)
		w.says("alice/home", "<presence><show>away</show></presence>") // on the phone all the same
		pass(10 * time.Second)
		tell(presence.LineIdle)
		pass(40 * time.Second)
		w.leave("alice/home") // at the same time
		w.leave("alice/desk")
		pass(time.Minute)
		h, err := w.p.History(t.Context(), person("alice"), begin, begin.Add(time.Hour), 100)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := story(h), ", available resource, on-the-phone http, away resource, unavailable resource"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		want := map[presence.Name]float64{presence.Available: 20, presence.OnThePhone: 40, presence.Away: 40, presence.Unavailable: 60}
		if fmt.Sprint(h.Seconds) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", h.Seconds, want)
		}
		if strings.Contains(fmt.Sprint(l.all), "secret") {
			t.Error("a text is kept")
		}

		// A part of it, a row a page: each goes on where the one before ended.
		from, sum, pages := begin.Add(15*time.Second), 0.0, 0
		for next := &from; next != nil; pages++ {
			if h, err = w.p.History(t.Context(), person("alice"), *next, begin.Add(150*time.Second), 1); err != nil {
				t.Fatal(err)
			}
			if next = h.Next; h.State == "" || len(h.Changes) > 1 {
				t.Errorf("page %+v", h)
			}
			for _, s := range h.Seconds {
				sum += s
			}
		}
		if pages != 4 || sum != 135 {
			t.Errorf("%d pages, %v s", pages, sum)
		}
		if _, err := w.p.History(t.Context(), person("alice"), begin, begin, 1); !errors.Is(err, presence.ErrWindow) {
			t.Errorf("no window: %v", err)
		}

		// What is older is not told any more, but for what was so since.
		pass(24 * time.Hour)
		h, err = w.p.History(t.Context(), person("alice"), begin, time.Now(), 100)
		if err != nil || story(h) != "unavailable" || len(h.Seconds) != 1 || h.Seconds[presence.Unavailable] != 86400 {
			t.Errorf("%+v, %v", h, err)
		}
		w.p.SetHistory(0)
		pass(time.Second)
		if _, err := w.p.History(t.Context(), person("alice"), begin, time.Now(), 1); !errors.Is(err, presence.ErrNoHistory) || len(l.all) != 0 {
			t.Errorf("%v, kept %v", err, l.all)
		}
	})
}

// TestHistoryIdle has a client become idle, of which nobody says anything after that.
func TestHistoryIdle(t *testing.T) {
	histories(t, func(t *testing.T, w *world, _ *ledger, pass func(time.Duration), _ func(presence.Line)) {
		w.p.SetSettings(presence.Settings{Policy: presence.Policy{IdleAfter: 5 * time.Minute}})
		begin := time.Now()
		w.bind("alice/desk", "bob/desk")
		w.says("alice/desk", "<presence><idle xmlns='urn:xmpp:idle:1' since='"+begin.UTC().Format(time.RFC3339)+"'/></presence>")
		w.says("bob/desk", "<presence><idle xmlns='urn:xmpp:idle:1' since='"+begin.UTC().Format(time.RFC3339)+"'/></presence>")
		pass(2 * time.Minute)
		w.says("bob/desk", "<presence/>")
		pass(8 * time.Minute)
		for name, want := range map[string]string{"alice": ", available resource, away resource", "bob": ", available resource"} {
			h, err := w.p.History(t.Context(), person(name), begin, begin.Add(10*time.Minute), 100)
			if err != nil || story(h) != want {
				t.Errorf("%s: %s, %v", name, story(h), err)
			}
			if name == "alice" && h.Seconds[presence.Away] != 300 {
				t.Errorf("%v", h.Seconds)
			}
		}
	})
}

// TestHistoryOutage has the store be away: what fits is written when it is back, and what does not is counted.
func TestHistoryOutage(t *testing.T) {
	histories(t, func(t *testing.T, w *world, l *ledger, pass func(time.Duration), tell func(presence.Line)) {
		begin := time.Now()
		l.set(true)
		w.bind("alice/desk")
		pass(time.Second)
		w.says("alice/desk", "<presence/>")
		pass(time.Minute)
		tell(presence.LineInCall)
		pass(time.Minute)
		l.set(false)
		pass(2 * time.Second)
		h, err := w.p.History(t.Context(), person("alice"), begin, time.Now(), 100)
		if err != nil || story(h) != ", available resource, on-the-phone http" || h.Seconds[presence.Available] != 60 {
			t.Errorf("%+v, %v", h, err)
		}
		l.set(true)
		const more = 700
		for i := range presence.MaxUnsaved + more {
			w.p.Mark(jid.MustParse(fmt.Sprintf("u%d@example.com", i)))
		}
		pass(time.Minute)
		if got := w.p.Stats().HistoryDropped; got != more {
			t.Errorf("%d dropped, want %d", got, more)
		}
		l.set(false)
		pass(2 * time.Second)
		if len(l.all) != 2+presence.MaxUnsaved || l.largest > 500 {
			t.Errorf("%d changes kept, %d at once", len(l.all), l.largest)
		}
	})
}

// TestHistoryAfterCrash finds who was there when the node before ended, and is not any more.
func TestHistoryAfterCrash(t *testing.T) {
	histories(t, func(t *testing.T, w *world, l *ledger, pass func(time.Duration), _ func(presence.Line)) {
		begin := time.Now()
		w.bind("bob/desk")
		w.says("bob/desk", "<presence/>")
		pass(time.Minute)
		l.mu.Lock()
		l.all = append(l.all, presence.Change{User: person("alice"), At: begin, State: presence.OnThePhone, Why: "http"})
		l.mu.Unlock()
		pass(2 * time.Hour)
		h, err := w.p.History(t.Context(), person("alice"), begin.Add(time.Minute), time.Now(), 100)
		if err != nil || story(h) != "on-the-phone, unavailable resource" {
			t.Errorf("%s, %v", story(h), err)
		}
		h, err = w.p.History(t.Context(), person("bob"), begin.Add(time.Minute), time.Now(), 100)
		if err != nil || story(h) != "available" || len(l.all) != 3 {
			t.Errorf("%s, %v; %v", story(h), err, l.all)
		}
	})
}
