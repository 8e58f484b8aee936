package calendar_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// world is a server of calendars that tests break.
type world struct {
	atOnce, most, asked atomic.Int64
	down                atomic.Bool
	took                time.Duration
	busy                []presence.Period
}

func (w *world) fetch(ctx context.Context, ask calendar.Ask) (calendar.Answer, error) {
	w.asked.Add(1)
	n := w.atOnce.Add(1)
	defer w.atOnce.Add(-1)
	for most := w.most.Load(); n > most && !w.most.CompareAndSwap(most, n); most = w.most.Load() {
		continue
	}
	select {
	case <-time.After(w.took):
	case <-ctx.Done():
		return calendar.Answer{}, ctx.Err()
	}
	switch {
	case w.down.Load():
		return calendar.Answer{}, errors.New("refused")
	case ask.User.Local() == "odd":
		return calendar.Answer{}, &calendar.Failure{Err: errors.New("not there"), Own: true}
	case ask.Tag == "v1":
		return calendar.Answer{Same: true}, nil
	}
	return calendar.Answer{Tag: "v1", Periods: w.busy}, nil
}

// start polls until the test ends; what is said goes into a map.
func start(t *testing.T, w *world, users func() []jid.JID) (*calendar.Poller, func() map[jid.JID]presence.Evidence) {
	t.Helper()
	p := calendar.New(calendar.Config{
		Name: "cal", Users: users, Fetch: w.fetch, Refresh: 5 * time.Minute, Window: 48 * time.Hour, Keep: 20 * time.Minute,
		Timeout: 10 * time.Second, AtOnce: 8, Log: slog.New(slog.DiscardHandler),
	})
	return p, run(t, p)
}

func run(t *testing.T, p *calendar.Poller) func() map[jid.JID]presence.Evidence {
	t.Helper()
	out := make(chan presence.Evidence)
	var mu sync.Mutex
	said := map[jid.JID]presence.Evidence{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	go func() { _ = p.Run(ctx, out); done <- struct{}{} }()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			select {
			case e := <-out:
				mu.Lock()
				if e.Seq <= said[e.User].Seq {
					t.Errorf("%s goes back to %d", e.User, e.Seq)
				}
				said[e.User] = e
				mu.Unlock()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done; <-done })
	return func() map[jid.JID]presence.Evidence {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(said)
	}
}

func people(n int) []jid.JID {
	list := make([]jid.JID, n)
	for i := range list {
		list[i] = jid.MustParse(fmt.Sprintf("u%d@example.com", i))
	}
	return list
}

func TestPollThousands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		w := &world{took: 50 * time.Millisecond, busy: []presence.Period{
			{From: now.Add(-2 * time.Hour), Until: now.Add(-time.Hour), Slot: presence.SlotBusy},
			{From: now.Add(30 * time.Minute), Until: now.Add(45 * time.Minute), Slot: presence.SlotBusy},
			{From: now.Add(48*time.Hour + 30*time.Minute), Until: now.Add(50 * time.Hour), Slot: presence.SlotBusy},
		}}
		all := append(people(1000), jid.MustParse("odd@example.com"))
		p, said := start(t, w, func() []jid.JID { return all })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(said()) != 1000 || w.most.Load() > 8 {
			t.Fatalf("%d known after a minute, %d at once", len(said()), w.most.Load())
		}
		for u, e := range said() {
			if len(e.Periods) != 1 {
				t.Fatalf("%s: %+v", u, e)
			}
		}
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		for u, e := range said() { // renewed in time, and what has come into the window is there
			if !e.Expires.After(time.Now()) || len(e.Periods) != 1 || !e.Periods[0].From.Equal(now.Add(48*time.Hour+30*time.Minute)) {
				t.Fatalf("%s: %+v", u, e)
			}
		}
		if s := p.Stats(); s.Fetched != 1000 || s.Down {
			t.Errorf("%+v", s)
		}
	})
}

func TestPollServerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{took: 10 * time.Millisecond}
		all := people(500)
		p, said := start(t, w, func() []jid.JID { return all })
		time.Sleep(time.Minute)
		w.down.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		before := w.asked.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := w.asked.Load() - before; n < 20 || n > 60 || !p.Stats().Down {
			t.Errorf("a dead server is asked %d times in an hour: %+v", n, p.Stats())
		}
		for u, e := range said() {
			if e.Expires.IsZero() || e.Expires.After(time.Now()) {
				t.Fatalf("%s: %+v", u, e)
			}
		}
		w.down.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for u, e := range said() {
			if !e.Expires.After(time.Now()) {
				t.Fatalf("%s is not known again: %+v", u, e)
			}
		}
	})
}

func TestPollUsersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		n.Store(3)
		_, said := start(t, &world{}, func() []jid.JID { return people(int(n.Load())) })
		time.Sleep(time.Minute)
		n.Store(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if u := people(3); said()[u[0]].Expires.IsZero() || !said()[u[1]].Expires.IsZero() || !said()[u[2]].Expires.IsZero() {
			t.Errorf("%+v", said())
		}
	})
}

func TestPollBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sizes []int
		overcharged := false
		all := append(people(1000), jid.MustParse("odd@example.com"))
		p := calendar.New(calendar.Config{
			Name: "cal", Users: func() []jid.JID { return all }, Refresh: 5 * time.Minute, Window: 48 * time.Hour, Keep: 20 * time.Minute,
			Timeout: 10 * time.Second, AtOnce: 2, Batch: 100, Log: slog.New(slog.DiscardHandler),
			FetchAll: func(ctx context.Context, asks []calendar.Ask) ([]calendar.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				sizes = append(sizes, len(asks))
				if overcharged && len(asks) > 30 {
					return nil, context.DeadlineExceeded
				}
				results := make([]calendar.Result, len(asks))
				for i, ask := range asks {
					if ask.User.Local() == "odd" {
						results[i].Err = &calendar.Failure{Err: errors.New("no mailbox"), Own: true}
					}
				}
				return results, nil
			},
		})
		take := func() []int {
			mu.Lock()
			defer mu.Unlock()
			list := sizes
			sizes = nil
			return list
		}
		said := run(t, p)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := take(); len(said()) != 1000 || len(n) != 11 {
			t.Fatalf("%d known, asked for %v", len(said()), n)
		}
		// They stay together for hours, whatever the jitter.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := take(); len(n) < 24*10 || len(n) > 32*13 {
			t.Errorf("%d requests in 24 to 32 rounds: %v", len(n), n)
		}
		mu.Lock()
		overcharged = true
		mu.Unlock()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		for u, e := range said() {
			if !e.Expires.After(time.Now()) {
				t.Fatalf("%s is lost when batches are too large: %+v", u, e)
			}
		}
	})
}

func TestPollTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{took: 100 * time.Millisecond}
		all := people(50)
		p, _ := start(t, w, func() []jid.JID { return all })
		time.Sleep(time.Minute)
		synctest.Wait()
		w.asked.Store(0)
		for range 20 {
			p.Touch(all[7])
		}
		p.Touch(jid.MustParse("else@example.com"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := w.asked.Load(); n != 1 {
			t.Errorf("asked %d times in the seconds after a change", n)
		}
		for range 100 { // one that changes all the time
			p.Touch(all[7])
			time.Sleep(50 * time.Millisecond)
		}
		p.Touch(all[7])
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := w.asked.Load(); n < 2 || n > 3 {
			t.Errorf("asked %d times", n)
		}
	})
}
