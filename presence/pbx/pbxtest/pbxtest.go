// Package pbxtest runs sources of evidence at telephone switches for tests, and waits for
// what they tell.
package pbxtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// patience is how long something may take on a machine that has much else to do.
const patience = 60 * time.Second

// Everyone is a map of lines: user 2001@example.com has line 2001, with any domain.
type Everyone struct{}

// Users implements pbx.Lines.
func (Everyone) Users(line string) []jid.JID {
	line, _, _ = strings.Cut(line, "@")
	if j, err := jid.New(line, "example.com", ""); err == nil && line != "" {
		return []jid.JID{j}
	}
	return nil
}

// Watch has what a source has told.
type Watch struct {
	t testing.TB

	mu    sync.Mutex // guards all below
	lines map[string]presence.Evidence
	first map[string]presence.Evidence
	seq   uint64
	news  chan struct{} // closed with each piece of evidence
}

// Run runs a source until the test ends, or the function is called.
func Run(t testing.TB, source presence.Source) (w *Watch, stop func()) {
	t.Helper()
	w = &Watch{t: t, lines: map[string]presence.Evidence{}, first: map[string]presence.Evidence{}, news: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	out, done := make(chan presence.Evidence), make(chan error, 1)
	go func() {
		defer close(out)
		done <- source.Run(ctx, out)
	}()
	go func() {
		for e := range out {
			w.put(e)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the source ends with %v", err)
			}
		case <-time.After(patience):
			t.Error("the source does not end")
		}
	})
	t.Cleanup(stop)
	return w, stop
}

func (w *Watch) put(e presence.Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Seq <= w.seq {
		w.t.Errorf("%s: number %d is not above %d", e.Item, e.Seq, w.seq)
	}
	w.seq = e.Seq
	if key := e.Item + " " + e.User.Local(); e.Expires.IsZero() {
		delete(w.lines, key)
	} else {
		w.lines[key] = e
		if _, there := w.first[key]; !there {
			w.first[key] = e
		}
	}
	close(w.news)
	w.news = make(chan struct{})
}

// Get returns what is believed of a line, as presence would. It is unknown when it has
// expired or was taken back.
func (w *Watch) Get(item string) presence.Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	user, _, _ := strings.Cut(item, "@")
	if e := w.lines[item+" "+user]; e.Expires.After(time.Now()) {
		return e
	}
	return presence.Evidence{}
}

// Await waits until a line does something.
func (w *Watch) Await(item string, state presence.Line) presence.Evidence {
	w.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond) // for what expires
	defer tick.Stop()
	for {
		w.mu.Lock()
		news := w.news
		w.mu.Unlock()
		if e := w.Get(item); e.Line == state {
			return e
		}
		select {
		case <-news:
		case <-tick.C:
		case <-limit:
			w.t.Fatalf("%s is not %v but %v; all: %s", item, state, w.Get(item).Line, w)
		}
	}
}

// First waits until something is told of a line, and returns what was told first.
func (w *Watch) First(item string) presence.Evidence {
	w.t.Helper()
	user, _, _ := strings.Cut(item, "@")
	limit := time.After(patience)
	for {
		w.mu.Lock()
		news := w.news
		e, there := w.first[item+" "+user]
		w.mu.Unlock()
		if there {
			return e
		}
		select {
		case <-news:
		case <-limit:
			w.t.Fatalf("nothing is told of %s", item)
		}
	}
}

// Renewed waits until what was told is believed for longer than it said.
func (w *Watch) Renewed(e presence.Evidence) {
	w.t.Helper()
	limit := time.After(patience)
	for {
		user, _, _ := strings.Cut(e.Item, "@")
		w.mu.Lock()
		news := w.news
		now := w.lines[e.Item+" "+user]
		w.mu.Unlock()
		if now.Line == e.Line && now.Expires.After(e.Expires) {
			return
		}
		select {
		case <-news:
		case <-limit:
			w.t.Fatalf("%s is not renewed", e.Item)
		}
	}
}

// String lists what is believed.
func (w *Watch) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, key := range slices.Sorted(maps.Keys(w.lines)) {
		all = append(all, fmt.Sprintf("%s=%v", key, w.lines[key].Line))
	}
	return strings.Join(all, ", ")
}
