package esl

import (
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
)

const (
	// settle is how long the list of channels may lag behind events: FreeSWITCH reads it from a
	// database that it writes after the event.
	settle   = 5 * time.Second
	remember = time.Minute // for how long a channel that is gone stays gone, whatever a list says
	maxGone  = 100_000
	maxCalls = 100_000 // channels
	maxIdle  = 100_000 // lines without any
	maxName  = 255     // bytes of a line or the name of a channel
)

// channel is one leg of a call, the one between the switch and a telephone.
type channel struct {
	line    string
	state   presence.Line
	created time.Time
	heard   time.Time // the last event of it; zero = only a list has it
}

// book has the channels of a switch and what lines do by them. In go events and lists with
// their times, out come lines that have to be looked at. It has no clock.
type book struct {
	channels map[string]*channel
	lines    map[string]map[string]*channel // by line, those that have a line
	idle     map[string]struct{}            // lines seen before that have none now
	gone     map[string]time.Time           // channels that have ended
}

func newBook() *book {
	return &book{channels: map[string]*channel{}, lines: map[string]map[string]*channel{}, idle: map[string]struct{}{}, gone: map[string]time.Time{}}
}

// state of a line by the state of a channel. A telephone that calls is off the hook from the
// beginning (inbound, for the switch); one that is called rings first.
func state(callState, direction string) presence.Line {
	outbound := strings.EqualFold(direction, "outbound")
	switch strings.ToUpper(callState) {
	case "ACTIVE", "UNHELD":
		return presence.LineInCall
	case "HELD":
		return presence.LineHeld
	case "HANGUP":
		return presence.LineIdle
	case "RINGING", "EARLY", "RING_WAIT":
		if outbound {
			return presence.LineRinging
		}
		return presence.LineInCall
	}
	if outbound { // it does not ring yet
		return presence.LineIdle
	}
	return presence.LineInCall
}

// event takes an event and returns the lines that may do something else now.
func (b *book) event(f fields, now time.Time) (touched []string) {
	id := f["unique-id"]
	if id == "" || len(id) > maxName {
		return nil
	}
	switch f["event-name"] {
	case "CHANNEL_DESTROY", "CHANNEL_HANGUP_COMPLETE":
		return b.end(id, now)
	case "CHANNEL_UUID":
		if old := f["old-unique-id"]; old != "" && old != id {
			touched = b.end(old, now)
		}
	case "CHANNEL_CREATE", "CHANNEL_CALLSTATE":
	default:
		return nil
	}
	if _, over := b.gone[id]; over || strings.EqualFold(f["channel-call-state"], "HANGUP") {
		return append(touched, b.end(id, now)...)
	}
	c := channel{line: f["channel-presence-id"], state: state(f["channel-call-state"], f["call-direction"]), created: micros(f["caller-channel-created-time"]), heard: now}
	return append(touched, b.put(id, c)...)
}

// put notes a channel.
func (b *book) put(id string, c channel) (touched []string) {
	if len(c.line) > maxName {
		c.line = ""
	}
	old := b.channels[id]
	switch {
	case old == nil && len(b.channels) >= maxCalls:
		return nil
	case old == nil:
		old = &channel{}
		b.channels[id] = old
	case c.line == "": // not every event has it
		c.line = old.line
	}
	if c.created.IsZero() {
		c.created = old.created
	}
	if old.line != c.line {
		touched = b.leave(id, old.line)
	}
	*old = c
	if c.line == "" {
		return touched
	}
	if b.lines[c.line] == nil {
		b.lines[c.line] = map[string]*channel{}
		delete(b.idle, c.line)
	}
	b.lines[c.line][id] = old
	return append(touched, c.line)
}

// leave takes a channel from a line.
func (b *book) leave(id, line string) (touched []string) {
	all := b.lines[line]
	if all == nil {
		return nil
	}
	if delete(all, id); len(all) == 0 {
		delete(b.lines, line)
		if len(b.idle) < maxIdle {
			b.idle[line] = struct{}{}
		}
	}
	return []string{line}
}

// end notes that a channel is over.
func (b *book) end(id string, now time.Time) (touched []string) {
	if len(b.gone) < maxGone {
		b.gone[id] = now
	}
	c := b.channels[id]
	if c == nil {
		return nil
	}
	delete(b.channels, id)
	return b.leave(id, c.line)
}

// list takes the list of all channels. What events have told since shortly before it was asked for
// counts more.
func (b *book) list(rows []row, now time.Time) {
	for id, at := range b.gone {
		if now.Sub(at) > remember {
			delete(b.gone, id)
		}
	}
	there := make(map[string]struct{}, len(rows))
	for _, r := range rows {
		there[r.UUID] = struct{}{}
		_, over := b.gone[r.UUID]
		c := b.channels[r.UUID]
		if over || r.UUID == "" || len(r.UUID) > maxName || c != nil && now.Sub(c.heard) < settle {
			continue
		}
		next := channel{line: r.Presence, state: state(r.State, r.Direction), created: seconds(r.Created)}
		if c != nil {
			next.heard = c.heard
		}
		b.put(r.UUID, next)
	}
	for id, c := range b.channels {
		if _, ok := there[id]; !ok && now.Sub(c.heard) >= settle {
			b.end(id, now)
		}
	}
}

// line returns what a line does: what weighs most of its channels, and since when.
func (b *book) line(name string) (presence.Line, time.Time) {
	sum, since := presence.LineUnknown, time.Time{}
	if _, idle := b.idle[name]; idle {
		sum = presence.LineIdle
	}
	for _, c := range b.lines[name] {
		switch {
		case c.state > sum:
			sum, since = c.state, c.created
		case c.state == sum && c.created.Before(since):
			since = c.created
		}
	}
	if sum == presence.LineIdle {
		since = time.Time{}
	}
	return sum, since
}

func micros(text string) time.Time {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		return time.UnixMicro(n).UTC()
	}
	return time.Time{}
}

func seconds(text string) time.Time {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < 1<<40 {
		return time.Unix(n, 0).UTC()
	}
	return time.Time{}
}
