package live_test

import (
	"testing"
	"time"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/store/redis/live"
)

// TestNotesInAnyOrder has a node tell late what was so before: what is kept for nodes that
// come is what was told last.
func TestNotesInAnyOrder(t *testing.T) {
	r := redistest.Start(t)
	l := startLive(t, r.Addr(), "n1")
	const busy = uint64(1795301857735818)
	later := time.Now().Add(time.Hour)
	tell := func(name, text string, version uint64, until time.Time) {
		t.Helper()
		must(t, l.Announce(t.Context(), live.News{Set: map[string]live.Note{name: {Text: text, Version: version, Until: until}}}))
	}
	want := func(name, text string) {
		t.Helper()
		all, err := l.Notes(t.Context())
		must(t, err)
		if all[name] != text {
			t.Errorf("%s is %q, want %q", name, all[name], text)
		}
	}
	tell("line", "in a call", busy, later)
	tell("line", "taken back", busy-1, later)
	want("line", "in a call")
	tell("line", "refreshed", busy, later)
	want("line", "refreshed")
	tell("line", "idle", busy+1, later)
	want("line", "idle")

	// A source whose numbers begin anew, after what it said is over.
	tell("short", "before", 7, time.Now().Add(-time.Second))
	tell("short", "anew", 1, later)
	want("short", "anew")

	drop := func(text string) { must(t, l.Announce(t.Context(), live.News{Drop: map[string]string{"line": text}})) }
	drop("refreshed") // it is another by now
	want("line", "idle")
	drop("idle")
	want("line", "")
	tell("line", "again", 1, later)
	want("line", "again")
}
