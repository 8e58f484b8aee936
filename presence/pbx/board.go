package pbx

import (
	"errors"
	"sync"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// maxLine bounds the name of a line in bytes.
const maxLine = 255

// Why a board does not take a line.
var (
	ErrFull = errors.New("the switch has more lines than presence knows: max_lines")
	ErrLine = errors.New("no name of a line")
)

// Board has what the lines of a switch do. Safe for concurrent use.
type Board struct {
	limit int
	wake  chan struct{}

	mu    sync.Mutex // guards all below
	lines map[string]*line
	dirty map[string]struct{}
	round uint64    // of full pictures
	whole bool      // a full picture has come since the connection was made
	count uint64    // full pictures that have come
	alive time.Time // the last sign of life
}

// line is what one line does, and what was told of it.
type line struct {
	state presence.Line
	since time.Time // zero = the switch does not say
	round uint64
	told  []jid.JID
	until time.Time // of what was told
}

// NewBoard returns an empty board for so many lines.
func NewBoard(limit int) *Board {
	return &Board{limit: limit, wake: make(chan struct{}, 1), lines: map[string]*line{}, dirty: map[string]struct{}{}}
}

// Begin says that a full picture begins: lines that are not set before End are gone.
func (b *Board) Begin() {
	b.mu.Lock()
	b.round++
	b.mu.Unlock()
}

// Set says what a line does; LineUnknown is for one of which the switch knows nothing, such
// as one without a telephone. since may be zero.
func (b *Board) Set(name string, state presence.Line, since time.Time) error {
	if name == "" || len(name) > maxLine {
		return ErrLine
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[name]
	if l == nil {
		if state == presence.LineUnknown {
			return nil
		}
		if len(b.lines) >= b.limit {
			return ErrFull
		}
		l = &line{}
		b.lines[name] = l
	}
	l.round = b.round
	if l.state == state && l.since.Equal(since) {
		return nil
	}
	l.state, l.since = state, since
	b.stain(name)
	return nil
}

// stain has a line told. It is called with the lock held.
func (b *Board) stain(name string) {
	b.dirty[name] = struct{}{}
	b.ring()
}

func (b *Board) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// End says that the full picture is there, which is a sign of life, too.
func (b *Board) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, l := range b.lines {
		if l.round != b.round {
			l.state = presence.LineUnknown
		}
		b.dirty[name] = struct{}{}
	}
	b.whole, b.alive = true, time.Now()
	b.count++
	b.ring()
}

// Alive says that the switch has given a sign of life.
func (b *Board) Alive() {
	b.mu.Lock()
	b.alive = time.Now()
	b.mu.Unlock()
}

// begin forgets that there was a full picture, for a new connection.
func (b *Board) begin() {
	b.mu.Lock()
	b.whole = false
	b.ring()
	b.mu.Unlock()
}

// clear forgets all lines and what was told of them.
func (b *Board) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.lines)
	clear(b.dirty)
	b.whole, b.alive = false, time.Time{}
}

// moved has lines told again of which differs says that they are of others than were told.
func (b *Board) moved(differs func(name string, told []jid.JID) bool) {
	b.mu.Lock()
	all := make(map[string][]jid.JID, len(b.lines))
	for name, l := range b.lines {
		all[name] = l.told
	}
	b.mu.Unlock()
	for name, told := range all {
		if !differs(name, told) {
			continue
		}
		b.mu.Lock()
		if b.lines[name] != nil {
			b.stain(name)
		}
		b.mu.Unlock()
	}
}

// status counts the lines, reports whether there has been a full picture of the
// connection, and counts those of all connections.
func (b *Board) status() (lines int, whole bool, pictures uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lines), b.whole, b.count
}

// idleFor is how many times longer an idle line is believed, since it makes nobody busy
// and most are idle.
const idleFor = 10

// life is until when what a line does is believed, and when that is to be said again.
func (l *line) life(alive time.Time, expires time.Duration) (until, again time.Time) {
	if l.state == presence.LineIdle {
		expires *= idleFor
	}
	return alive.Add(expires), l.until.Add(-expires * 2 / 3)
}

// renew has told again what would not be believed much longer, if there were signs of life since.
func (b *Board) renew(now time.Time, expires time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole {
		return
	}
	for name, l := range b.lines {
		if until, again := l.life(b.alive, expires); !again.After(now) && until.After(l.until) {
			b.stain(name)
		}
	}
}

// news is a line that is to be told.
type news struct {
	name  string
	state presence.Line
	since time.Time
	until time.Time
	told  []jid.JID // who was told last
}

// take returns what is to be told. What changed several times meanwhile is there once. Before the
// first full picture of a connection there is nothing: a part of it would say of the rest that it is gone.
func (b *Board) take(expires time.Duration) []news {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole {
		return nil
	}
	all := make([]news, 0, len(b.dirty))
	for name := range b.dirty {
		l := b.lines[name]
		if l == nil {
			continue
		}
		l.until, _ = l.life(b.alive, expires)
		all = append(all, news{name, l.state, l.since, l.until, l.told})
		if l.state == presence.LineUnknown {
			delete(b.lines, name)
		}
	}
	clear(b.dirty)
	return all
}

// tellers notes who was told of a line.
func (b *Board) tellers(name string, users []jid.JID) {
	b.mu.Lock()
	if l := b.lines[name]; l != nil {
		l.told = users
	}
	b.mu.Unlock()
}

// names returns the lines of which something is known.
func (b *Board) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]string, 0, len(b.lines))
	for name, l := range b.lines {
		if l.state != presence.LineUnknown {
			all = append(all, name)
		}
	}
	return all
}
