package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// book keeps the ledger: the truth about everybody, and what contacts were shown.
type book struct {
	bounds bounds

	mu      sync.Mutex // guards what follows
	weather weather
	people  []*person
	views   []map[int]*view // of each person, by whom they see
	row     *row
	open    []*story // of people who are stuck
	told    []*story // of the row
	sweeps  time.Time
	events  notes // of the cluster
}

// bounds are how long things may take.
type bounds struct {
	spread time.Duration // until all nodes know what one has accepted
	settle time.Duration // after trouble, until they do again
	stuck  time.Duration // until contacts know what all nodes do
	lag    time.Duration // how old what a contact is shown may be
}

// view is what one contact is shown of a person.
type view struct {
	on     bool // the contact is there
	coming bool // and signs in yet
	since  time.Time
	seen   state
	key    string // of all that is shown; "" = nothing was
	at     time.Time
	pos    int    // the segment of the person's time that was shown
	stuck  *story // the view is not the truth for too long
	shown  notes
}

func newBook(people int, sees func(i int) []int, b bounds) *book {
	k := &book{bounds: b, weather: weather{spread: b.spread, settle: b.settle}, row: newRow("")}
	now := time.Now()
	for i := range people {
		k.people = append(k.people, newPerson(&k.weather, now))
		k.views = append(k.views, map[int]*view{})
		for _, j := range sees(i) {
			k.views[i][j] = &view{}
		}
	}
	return k
}

// begin is that of the person, with where the request is sent to.
func (b *book) begin(i int, f fact, value uint8, cause, where string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.people[i].begin(f, value, cause, now)
	b.people[i].notes.add(now, "%s is sent to %s", said(f, value), where)
}

// accept is that of the person. It also takes what happens by itself after that, if anything.
func (b *book) accept(i int, f fact, value uint8, then ...planned) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p := b.people[i]
	p.accept(f, value, now)
	p.notes.add(now, "%s is accepted", said(f, value))
	b.row.Changes++
	b.later(p, then)
}

// later plans pairs of what may have happened and has.
func (b *book) later(p *person, then []planned) {
	for k := 0; k+1 < len(then); k += 2 {
		p.plan(then[k].fact, then[k].value, then[k].cause, then[k].at, then[k+1].at)
		p.notes.add(time.Now(), "%s from %s on", said(then[k].fact, then[k].value), then[k].at.Format(clockLayout))
	}
}

func (b *book) plan(i int, then ...planned) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Changes++
	b.later(b.people[i], then)
}

func (b *book) note(i int, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.people[i].notes.add(time.Now(), format, args...)
}

func (b *book) unsure(i int, f fact, values uint16, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.people[i].unsure(f, values, time.Now(), until)
}

// doubt says whether a request that was not answered may still be carried out.
func (b *book) doubt(i int, f fact, is bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if is {
		b.people[i].notes.add(now, "no answer")
	}
	b.people[i].advance(now)
	b.people[i].inputs[f].doubt = is
}

// spoke says that the client of a person sends presence, so that contacts are told.
func (b *book) spoke(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.people[i].spoke = time.Now()
}

// come says that somebody begins to see others: who is not shown is unavailable.
func (b *book) come(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for j, v := range b.views[i] {
		b.people[j].advance(now)
		v.on, v.coming, v.since, v.seen, v.key, v.at = true, true, now, unavailable, "", now
		v.pos, v.stuck = b.people[j].index(now.Add(-b.bounds.spread)), nil
		v.shown.add(now, "u%d comes", i)
	}
}

// here says that somebody has come, and can be expected to see others from now on.
func (b *book) here(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.views[i] {
		v.coming, v.since = false, time.Now()
	}
}

// leave says that somebody sees nobody any more.
func (b *book) leave(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.views[i] {
		v.on, v.stuck = false, nil
		v.shown.add(time.Now(), "u%d leaves", i)
	}
}

// lost says that a session has ended by itself.
func (b *book) lost(i int, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Logins++
	b.people[i].notes.add(time.Now(), "the session of u%d ended: %s", i, why)
	b.events.add(time.Now(), "the session of u%d ended: %s", i, why)
}

// shown is a presence that a contact got.
type shown struct {
	state state
	show  string // of the standard
	key   string // all of it that is shown
}

// hear books what contact i is shown of person j.
func (b *book) hear(i, j int, s shown) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, now := b.views[i][j], time.Now()
	if v == nil || !v.on {
		return
	}
	p := b.people[j]
	p.advance(now)
	b.row.Told++
	v.shown.add(now, "u%d is shown %s", i, s.key)
	if s.key == v.key && p.spoke.Before(v.at.Add(-b.bounds.lag)) {
		b.row.Doubled++
	}
	k := p.match(s.state, v.pos, b.oldest(now), now)
	switch {
	case s.show != names[s.state].show && !(s.state == available && s.show == "chat"):
		b.wrong(i, j, fmt.Sprintf("%s has the show %q", s.state, s.show))
	case k >= 0:
		b.measure(v, p, s.state, now)
		v.pos = k
	case p.now().set == 1<<dnd && p.now().at.Before(b.oldest(now)):
		b.row.Overridden++
		b.wrong(i, j, fmt.Sprintf("%s is shown, though u%d does not want to be disturbed", s.state, j))
	case p.match(s.state, 0, b.oldest(now), now) >= 0:
		b.wrong(i, j, fmt.Sprintf("%s is shown, which was so before the %s that was shown last, and not since", s.state, v.seen))
	default:
		b.wrong(i, j, fmt.Sprintf("%s is shown, which is not so; it is %s", s.state, p.now().set))
	}
	v.seen, v.key, v.at = s.state, s.key, now
	if sure, _, ok := p.certain(); ok && sure == s.state && v.stuck != nil {
		v.stuck.lines = append(v.stuck.lines, note{now, fmt.Sprintf("u%d is shown %s: not stuck any more", i, s.key)})
		v.stuck = nil
	}
}

// oldest is the time before which what is shown now may not have ended.
func (b *book) oldest(now time.Time) time.Time {
	if b.weather.rough(now) {
		now = b.weather.since
	}
	return now.Add(-b.bounds.lag)
}

// measure books how long a change took to be shown.
func (b *book) measure(v *view, p *person, s state, now time.Time) {
	if s == v.seen {
		return
	}
	if c := p.latest; c.ok && c.to == s && v.since.Before(c.at) {
		b.row.took(c.cause, b.weather.rough(now) || b.weather.rough(c.at), now.Sub(c.at))
	}
}

// sweep looks for contacts whose view is not the truth, and reports whether all see it.
func (b *book) sweep() (same bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if gap := now.Sub(b.sweeps); !b.sweeps.IsZero() && gap > time.Second && !b.weather.trouble {
		// The machine stood still, and the servers with it.
		b.weather.since, b.weather.until = b.sweeps, now
		b.events.add(now, "the machine stood still for %s", gap.Round(time.Millisecond))
	}
	b.sweeps, same = now, true
	for j, p := range b.people {
		p.advance(now)
		is, since, ok := p.certain()
		if !ok {
			same = false
			continue
		}
		for i := range b.views {
			if v := b.views[i][j]; v != nil && v.on && v.seen != is {
				same = false
				b.late(i, j, is, since, now)
			}
		}
	}
	return same
}

// late books a contact who is stuck, once.
func (b *book) late(i, j int, is state, since, now time.Time) {
	v := b.views[i][j]
	for _, t := range []time.Time{v.since, b.weather.until.Add(b.weather.settle)} {
		if t.After(since) {
			since = t
		}
	}
	if v.stuck != nil || v.coming || b.weather.trouble || now.Sub(since) < b.bounds.stuck {
		return
	}
	b.row.Stuck++
	if v.stuck = b.tell(i, j, "STUCK", fmt.Sprintf("%s, and it is %s", v.seen, is)); v.stuck.also == 0 {
		b.open = append(b.open, v.stuck)
	}
}

func (b *book) wrong(i, j int, what string) {
	b.row.Wrong++
	b.tell(i, j, "WRONG", what)
}

// story is what led to a violation.
type story struct {
	title string
	of    int // the person
	lines []note
	nodes []string // what the nodes say
	at    time.Time
	kind  string
	also  int // contacts that the same happened to
}

const (
	clockLayout = "15:04:05.000"
	maxStories  = 12
)

// tell keeps what led to a violation; once for all contacts that it happens to.
func (b *book) tell(i, j int, kind, what string) *story {
	now := time.Now()
	for _, s := range b.told {
		if s.of == j && s.kind == kind && now.Sub(s.at) < time.Second {
			s.also++
			return s
		}
	}
	s := &story{title: fmt.Sprintf("%s: u%d sees u%d: %s", kind, i, j, what), of: j, kind: kind, at: now}
	s.lines = slices.Concat(b.people[j].notes.last(16), b.views[i][j].shown.last(10), b.events.last(4))
	if len(b.told) < maxStories {
		b.told = append(b.told, s)
	}
	return s
}

// print writes a story in the order of time.
func (s *story) print(out *strings.Builder) {
	fmt.Fprintf(out, "  %s %s", s.at.Format(clockLayout), s.title)
	if s.also > 0 {
		fmt.Fprintf(out, " (and %d other contacts)", s.also)
	}
	fmt.Fprintln(out)
	slices.SortStableFunc(s.lines, func(a, b note) int { return a.at.Compare(b.at) })
	for _, l := range s.lines {
		fmt.Fprintf(out, "    %s %s\n", l.at.Format(clockLayout), l.text)
	}
	for _, text := range s.nodes {
		fmt.Fprintf(out, "    %s\n", strings.TrimSpace(text))
	}
}

// trouble begins or ends what the cluster suffers.
func (b *book) trouble(is, apart bool, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, p := range b.people {
		p.advance(now)
	}
	if b.events.add(now, "%s", what); is {
		b.weather.trouble, b.weather.apart, b.weather.since = true, apart, now
	} else {
		b.weather.trouble, b.weather.until = false, now
	}
}

// rough reports whether there is trouble, or was a short time ago.
func (b *book) rough() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.weather.rough(time.Now())
}
