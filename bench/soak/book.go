package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/bench/load"
)

// book is the ledger of all streams. Stream i goes from client i to its peer.
type book struct {
	report *report

	mu      sync.Mutex
	streams []load.Stream // guarded by mu
	ledger  load.Ledger   // guarded by mu
	changed chan struct{} // a message arrived; size 1
}

func newBook(n int, r *report) *book {
	b := &book{report: r, streams: make([]load.Stream, n), changed: make(chan struct{}, 1)}
	for i := range b.streams {
		b.streams[i].ID = i
	}
	return b
}

// send books a message of client i and returns its place.
func (b *book) send(i int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger.Sent++
	return b.streams[i].Send(time.Time{})
}

// arrive books a message that client i received and reports its verdict.
func (b *book) arrive(i int, msg []byte) load.Verdict {
	id, place, ok := load.ParseMark(msg)
	b.mu.Lock()
	v := load.Strange
	if ok && id == i^1 {
		v = b.streams[id].Arrive(place)
	}
	b.ledger.Count(v)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return v
}

// settle returns when all that was sent has arrived, at the latest after d.
func (b *book) settle(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		b.mu.Lock()
		done := b.ledger.Delivered >= b.ledger.Sent
		b.mu.Unlock()
		if done {
			return
		}
		select {
		case <-b.changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// close counts the losses.
func (b *book) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.streams {
		b.ledger.Lost += b.streams[i].Lost()
	}
	b.report.ledger = b.ledger
}

// report is the outcome of a run.
type report struct {
	cfg    config
	took   time.Duration
	ledger load.Ledger

	requests, answered atomic.Int64
	harms              [fates]atomic.Int64

	mu         sync.Mutex
	violations int      // guarded by mu: beside those of the ledger
	stories    []string // guarded by mu: what led to the first ones
}

// maxStories bounds what is printed.
const maxStories = 5

// violation books what must not happen, with its story.
func (r *report) violation(story string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations++
	if len(r.stories) < maxStories {
		r.stories = append(r.stories, story)
	}
}

// Clean reports that nothing was violated.
func (r *report) Clean() bool { return r.ledger.Clean() && r.violations == 0 }

// String is the report for people.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "soak: %d sessions, %s, seed %d\n", r.cfg.Sessions, r.took.Round(time.Millisecond), r.cfg.Seed)
	fmt.Fprintf(&b, "requests: %d sent, %d answered (%.0f/s)\n",
		r.requests.Load(), r.answered.Load(), float64(r.answered.Load())/r.took.Seconds())
	b.WriteString("harm:")
	for f := range fates {
		if n := r.harms[f].Load(); n > 0 && f != fateNone {
			fmt.Fprintf(&b, " %s %d", f, n)
		}
	}
	l := r.ledger
	fmt.Fprintf(&b, "\nmessages: %d sent, %d delivered (%.0f/s); lost %d, doubled %d, out of order %d, strange %d\n",
		l.Sent, l.Delivered, float64(l.Delivered)/r.took.Seconds(), l.Lost, l.Doubled, l.OutOfOrder, l.Strange)
	for _, s := range r.stories {
		fmt.Fprintf(&b, "\n%s\n", s)
	}
	if r.Clean() {
		b.WriteString("verdict: clean, each message arrived once and in order\n")
	} else {
		fmt.Fprintf(&b, "verdict: VIOLATED (%d beside the ledger's)\n", r.violations)
	}
	return b.String()
}
