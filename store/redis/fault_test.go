package redis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/store/redis"
)

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// until tries fn until it succeeds.
func until(t *testing.T, fn func() error) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		err := fn()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, redis.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
}

// TestAway stops Redis under a store: calls fail within the timeout, then at
// once, and succeed when it is back.
func TestAway(t *testing.T) {
	const timeout = 500 * time.Millisecond
	for _, tc := range []struct {
		name        string
		away, comes func(r *redistest.Server)
	}{
		{"killed", (*redistest.Server).Kill, (*redistest.Server).Start},
		{"frozen", (*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log safeBuffer
			r := redistest.Start(t)
			t.Cleanup(r.Thaw)
			s := open(t, redis.Config{URL: r.URL(), Timeout: timeout, Log: slog.New(slog.NewTextHandler(&log, nil))})
			must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
			must(t, s.Ping(t.Context()))
			tc.away(r)
			began := time.Now()
			_, err := s.Account(t.Context(), alice)
			wantUnavailable(t, err)
			if d := time.Since(began); d > 4*timeout {
				t.Errorf("told after %v", d)
			}
			wantUnavailable(t, s.Append(t.Context(), alice, 10, offline.Message{XML: []byte("lost")}))
			wantUnavailable(t, s.Ping(t.Context()))
			until(t, func() error { // known to be away: no waiting
				began = time.Now()
				_, err := s.Account(t.Context(), alice)
				wantUnavailable(t, err)
				if d := time.Since(began); d > timeout/5 {
					return fmt.Errorf("told after %v", d)
				}
				return nil
			})
			tc.comes(r)
			until(t, func() error { return s.Append(t.Context(), alice, 10, offline.Message{XML: []byte("kept")}) })
			must(t, s.Ping(t.Context()))
			for _, text := range []string{"redis is away", "redis is back"} {
				until(t, func() error {
					if n := strings.Count(log.String(), text); n != 1 {
						return fmt.Errorf("%d times %q in %s", n, text, log.String())
					}
					return nil
				})
			}
		})
	}
}

// TestBridged restarts Redis so quickly that nobody notices, and without its
// scripts.
func TestBridged(t *testing.T) {
	r := redistest.Start(t)
	s, _ := begin(t, r)
	for i := range 3 {
		r.Stop()
		done := make(chan error, 2)
		go func() { _, err := s.Account(t.Context(), alice); done <- err }()
		go func() { done <- s.SetVCard(t.Context(), alice, []byte("x")) }()
		r.Start()
		must(t, errors.Join(<-done, <-done))
		must(t, s.Append(t.Context(), alice, 10, offline.Message{XML: fmt.Append(nil, i)}))
		r.Do("SCRIPT", "FLUSH")
		must(t, s.Append(t.Context(), alice, 10, offline.Message{XML: fmt.Append(nil, i)}))
	}
	if n, err := s.Count(t.Context(), alice); err != nil || n != 6 {
		t.Fatalf("%d messages, %v", n, err)
	}
}

// TestKill kills Redis again and again under writers: what was acknowledged is
// there once, in order, and what was refused is there at most once.
func TestKill(t *testing.T) {
	const writers, rounds, each = 16, 4, 100
	r := redistest.Start(t)
	s, cfg := begin(t, r)
	must(t, s.CreateAccounts(t.Context(), people(writers), nil))
	acknowledged := make([][]string, writers)
	tried := make([]int, writers)
	for range rounds {
		var wg sync.WaitGroup
		var begun sync.WaitGroup
		begun.Add(writers)
		for w, owner := range people(writers) {
			wg.Go(func() {
				for i := range each {
					if i == each/4 {
						begun.Done()
					}
					tried[w]++
					id := fmt.Sprint(tried[w])
					if s.Append(context.WithoutCancel(t.Context()), owner.JID, 1<<20, offline.Message{XML: []byte(id)}) == nil {
						acknowledged[w] = append(acknowledged[w], id)
					}
				}
			})
		}
		begun.Wait()
		r.Kill()
		r.Start()
		wg.Wait()
	}
	must(t, s.Close())
	s = open(t, cfg)
	for w, owner := range people(writers) {
		kept, err := s.Messages(t.Context(), owner.JID, 1<<20)
		must(t, err)
		rest := acknowledged[w]
		seen := map[string]bool{}
		for _, m := range kept {
			id := string(m.XML)
			if seen[id] {
				t.Errorf("%s has %s twice", owner.JID, id)
			}
			seen[id] = true
			if len(rest) > 0 && rest[0] == id {
				rest = rest[1:]
			}
		}
		if len(rest) > 0 {
			t.Errorf("%s: of %d acknowledged, from %s on %d are lost or out of order", owner.JID, len(acknowledged[w]), rest[0], len(rest))
		}
	}
}

// TestFull has Redis refuse writes for want of memory, then not any more.
func TestFull(t *testing.T) {
	r := redistest.Start(t)
	s, _ := begin(t, r)
	r.Do("CONFIG", "SET", "maxmemory", "1mb")
	wantUnavailable(t, s.Append(t.Context(), alice, 10, offline.Message{XML: []byte("x")}))
	_, err := s.Account(t.Context(), alice)
	must(t, err)
	r.Do("CONFIG", "SET", "maxmemory", "0")
	must(t, s.Append(t.Context(), alice, 10, offline.Message{XML: []byte("x")}))
}

// TestWithdrawn ends a caller's context while Redis does not answer.
func TestWithdrawn(t *testing.T) {
	r := redistest.Start(t)
	s := open(t, redis.Config{URL: r.URL(), Flights: 1})
	must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
	r.Freeze()
	first := make(chan error, 2) // one is on its way by itself, one in the only flight
	for i := range cap(first) {
		go func() { _, err := s.Account(t.Context(), alice); first <- err }()
		until(t, func() error {
			if s.Stats().Flying <= i {
				return errors.New("not on its way")
			}
			return nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- s.SetVCard(ctx, alice, []byte("never")) }()
	until(t, func() error {
		if s.Stats().Queued == 0 {
			return errors.New("does not wait")
		}
		return nil
	})
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.Thaw()
	must(t, errors.Join(<-first, <-first))
	if v, err := s.VCard(t.Context(), alice); err != nil || v != nil {
		t.Fatalf("a write withdrawn was carried out: %q, %v", v, err)
	}
}

func TestClosed(t *testing.T) {
	r := redistest.Start(t)
	s, _ := begin(t, r)
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Account(t.Context(), alice); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := s.SetMeta(t.Context(), "k", nil); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("ping: %v", err)
	}
}
