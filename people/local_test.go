package people_test

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

	"github.com/deskline/deskline/people"
)

// accounts are a store of people.
type accounts struct {
	mu    sync.Mutex
	all   []people.Person // in order
	mark  string
	err   error
	reads int // first pages
}

func (a *accounts) set(mark string, err error, all []people.Person) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mark, a.err, a.all = mark, err, all
}

func (a *accounts) page(_ context.Context, _, after string, most int) ([]people.Person, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if after == "" {
		a.reads++
	}
	at, _ := slices.BinarySearchFunc(a.all, after, func(p people.Person, after string) int {
		if p.JID.Local() <= after {
			return -1
		}
		return 1
	})
	return slices.Clone(a.all[at:min(at+most, len(a.all))]), a.err
}

func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := made(1200, domain)
		slices.SortFunc(all, func(a, b people.Person) int { return strings.Compare(a.JID.Local(), b.JID.Local()) })
		store := &accounts{}
		store.set("1", errors.New("away"), all[:1100])
		l := people.NewLocal(people.LocalConfig{
			Domains: []string{domain}, Page: store.page, Log: slog.New(slog.DiscardHandler),
			Mark: func(context.Context) ([]byte, error) {
				store.mu.Lock()
				defer store.mu.Unlock()
				return []byte(store.mark), nil
			},
		})
		x := people.NewIndex()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx, x.Sink("local")) }()
		step := func(wait time.Duration, people, reads int) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			store.mu.Lock()
			defer store.mu.Unlock()
			if x.Size().People != people || store.reads != reads {
				t.Fatalf("%d people, %d reads, want %d and %d", x.Size().People, store.reads, people, reads)
			}
		}
		step(0, 0, 1)
		store.set("1", nil, all[:1100])
		step(7*time.Second, 1100, 2)
		step(time.Minute, 1100, 2) // nothing has changed
		store.set("2", nil, all)
		step(7*time.Second, 1200, 3)
		store.set("2", nil, all[1:])
		l.Kick()
		l.Kick()
		step(time.Second, 1199, 4)
		store.set("2", nil, all[2:]) // past the mark
		step(73*time.Minute, 1198, 5)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
