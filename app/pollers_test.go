package app

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

func init() {
	probes["presence.calendars"] = func(n *node) any {
		n.composing.calendars.mu.Lock()
		defer n.composing.calendars.mu.Unlock()
		all := []string{}
		for _, w := range n.composing.calendars.wanted {
			all = append(all, w.cfg.Name)
		}
		return all
	}
}

// running counts the goroutines that are in a function. The test must not be parallel.
func goroutinesIn(function string) int {
	buf := make([]byte, 16<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), function)
}

func ends(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatal(what)
		}
	}
}

// TestPollersEnd changes calendars while they are begun and ended, and leaves none behind.
func TestPollersEnd(t *testing.T) {
	r, base := newReloading(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.composing.calendars.run(ctx) }()
	dir := t.TempDir()
	for i := range 50 {
		next := base
		for k := range i % 4 {
			next.Presence.Calendars = append(next.Presence.Calendars, calendarIn(t, fmt.Sprint("c", k), filepath.Join(dir, fmt.Sprint(i%3))))
		}
		r.composing.calendars.set(must(r.composing.calendars.prepare(next))(t))
	}
	ends(t, "one calendar is left", func() bool {
		list := r.composing.calendars.list() // of 49, which has one
		return len(list) == 1 && list[0].Name == "c0" && goroutinesIn("(*pollers).begin.func") == 1
	})
	r.composing.calendars.set(nil)
	ends(t, "none is left", func() bool { return goroutinesIn("(*pollers).begin.func") == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func calendarIn(t *testing.T, name, dir string) configs.Calendar {
	t.Helper()
	cfg, err := configs.Parse([]byte("presence: {calendars: [{name: " + name + ", kind: ics, file: '" + dir + "/{user}.ics'}]}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Presence.Calendars[0]
}
