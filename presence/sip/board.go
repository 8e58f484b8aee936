package sip

import (
	"time"

	"github.com/deskline/deskline/presence"
)

// board keeps what each origin, a publication or a subscription, says of a line:
// a shared line has one for each telephone. The heaviest state counts. It is pure
// and not safe for concurrent use.
type board struct {
	lines map[string]*line
	dirty map[string]uint64 // lines of which something else is to be told, and when they were heard of
	seq   uint64            // of what was heard last, of any line
}

type line struct {
	origins map[string]said
	state   presence.Line
	since   time.Time
	heard   uint64 // when an origin spoke last, as a number that rises
}

type said struct {
	state   presence.Line
	expires time.Time
}

func newBoard() *board {
	return &board{lines: map[string]*line{}, dirty: map[string]uint64{}}
}

// put notes what an origin says; LineUnknown takes back what it has said.
func (b *board) put(name, origin string, state presence.Line, expires, now time.Time) {
	if state == presence.LineUnknown || !expires.After(now) {
		b.drop(name, origin, now)
		return
	}
	l := b.lines[name]
	if l == nil {
		l = &line{origins: map[string]said{}}
		b.lines[name] = l
	}
	l.origins[origin] = said{state, expires}
	l.heard = b.tick(now)
	b.settle(name, l, now)
}

// drop takes back what an origin has said, by its own word.
func (b *board) drop(name, origin string, now time.Time) {
	if l := b.lines[name]; l != nil {
		l.heard = b.tick(now)
	}
	b.lapse(name, origin, now)
}

// tick numbers what is heard by the time, so that it is above what was heard before a
// restart, and above what another node of a cluster has heard before.
func (b *board) tick(now time.Time) uint64 {
	b.seq = max(b.seq+1, uint64(now.UnixMicro())) //nolint:gosec // after 1970
	return b.seq
}

// lapse forgets what an origin has said and not said again. That is no news by which
// another node that has heard more would be wrong.
func (b *board) lapse(name, origin string, now time.Time) {
	l := b.lines[name]
	if l == nil {
		return
	}
	if _, ok := l.origins[origin]; !ok {
		return
	}
	delete(l.origins, origin)
	b.settle(name, l, now)
}

func (b *board) settle(name string, l *line, now time.Time) {
	state := presence.LineUnknown
	for _, s := range l.origins {
		state = max(state, s.state)
	}
	if state != l.state {
		l.state, l.since = state, now
	}
	if len(l.origins) == 0 {
		delete(b.lines, name)
	}
	b.dirty[name] = l.heard
}

// expire forgets what is over.
func (b *board) expire(now time.Time) {
	for name, l := range b.lines {
		for origin, s := range l.origins {
			if !s.expires.After(now) {
				b.lapse(name, origin, now)
			}
		}
	}
}

// sum is what all origins together say of a line, LineUnknown if none does.
func (b *board) sum(name string) (state presence.Line, since, expires time.Time) {
	l := b.lines[name]
	if l == nil {
		return presence.LineUnknown, time.Time{}, time.Time{}
	}
	for _, s := range l.origins {
		if s.state == l.state && s.expires.After(expires) {
			expires = s.expires
		}
	}
	return l.state, l.since, expires
}

// all marks every line, so that the full picture is told.
func (b *board) all() {
	for name, l := range b.lines {
		b.dirty[name] = l.heard
	}
}
