package esl

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func call(name, id, line, direction, state string) fields {
	return fields{"event-name": name, "unique-id": id, "channel-presence-id": line, "call-direction": direction, "channel-call-state": state, "caller-channel-created-time": "1772452800000000"}
}

func (b *book) want(t *testing.T, line string, want presence.Line) {
	t.Helper()
	if got, _ := b.line(line); got != want {
		t.Errorf("%s is %v, want %v", line, got, want)
	}
}

func TestStates(t *testing.T) {
	for _, tt := range []struct {
		state, direction string
		want             presence.Line
	}{
		{"DOWN", "inbound", presence.LineInCall},
		{"RINGING", "inbound", presence.LineInCall},
		{"EARLY", "inbound", presence.LineInCall},
		{"RING_WAIT", "inbound", presence.LineInCall},
		{"ACTIVE", "inbound", presence.LineInCall},
		{"HELD", "inbound", presence.LineHeld},
		{"UNHELD", "inbound", presence.LineInCall},
		{"HANGUP", "inbound", presence.LineIdle},
		{"DOWN", "outbound", presence.LineIdle},
		{"DIAL" + "ING", "outbound", presence.LineIdle},
		{"RINGING", "outbound", presence.LineRinging},
		{"EARLY", "outbound", presence.LineRinging},
		{"ACTIVE", "outbound", presence.LineInCall},
		{"HELD", "outbound", presence.LineHeld},
	} {
		if got := state(tt.state, tt.direction); got != tt.want {
			t.Errorf("%s %s: %v, want %v", tt.state, tt.direction, got, tt.want)
		}
	}
}

func TestBook(t *testing.T) {
	b := newBook()
	b.event(call("CHANNEL_CREATE", "a", "", "inbound", "DOWN"), noon) // nobody's yet
	b.event(call("CHANNEL_CALLSTATE", "a", "1001@pbx", "inbound", "RINGING"), noon)
	b.want(t, "1001@pbx", presence.LineInCall)
	if _, since := b.line("1001@pbx"); !since.Equal(noon) {
		t.Errorf("since %v", since)
	}
	b.event(call("CHANNEL_CALLSTATE", "a", "", "inbound", "HELD"), noon) // without a name, as before
	b.want(t, "1001@pbx", presence.LineHeld)
	b.event(call("CHANNEL_CALLSTATE", "a", "1002@pbx", "inbound", "ACTIVE"), noon) // transferred
	b.want(t, "1001@pbx", presence.LineIdle)
	b.want(t, "1002@pbx", presence.LineInCall)
	b.event(fields{"event-name": "CHANNEL_UUID", "unique-id": "b", "old-unique-id": "a", "channel-presence-id": "1002@pbx", "channel-call-state": "ACTIVE"}, noon)
	if len(b.channels) != 1 || b.channels["b"] == nil {
		t.Errorf("%v", b.channels)
	}
	b.event(call("CHANNEL_CALLSTATE", "b", "1002@pbx", "inbound", "HANGUP"), noon)
	b.want(t, "1002@pbx", presence.LineIdle)
	b.event(call("CHANNEL_CALLSTATE", "b", "1002@pbx", "inbound", "ACTIVE"), noon) // it is over
	b.want(t, "1002@pbx", presence.LineIdle)
	b.want(t, "1009@pbx", presence.LineUnknown)
	for _, f := range []fields{{}, {"event-name": "CHANNEL_CREATE"}, call("CHANNEL_CREATE", strings.Repeat("x", 300), "1", "", ""), call("OTHER", "z", "1", "", "")} {
		if touched := b.event(f, noon); touched != nil {
			t.Errorf("%v touched %v", f, touched)
		}
	}
}

// TestList holds what counts of a list that lags behind the events.
func TestList(t *testing.T) {
	b := newBook()
	rows := []row{
		{UUID: "known", Direction: "inbound", State: "RINGING", Presence: "1@pbx"},
		{UUID: "gone", Direction: "inbound", State: "ACTIVE", Presence: "2@pbx"},
		{UUID: "new", Direction: "outbound", State: "ACTIVE", Presence: "3@pbx", Created: "1772452800"},
		{UUID: "", Presence: "4@pbx"},
		{UUID: "nobody", State: "ACTIVE"},
	}
	b.event(call("CHANNEL_CALLSTATE", "known", "1@pbx", "inbound", "HELD"), noon)
	b.event(call("CHANNEL_CREATE", "gone", "2@pbx", "inbound", "ACTIVE"), noon)
	b.event(call("CHANNEL_DESTROY", "gone", "2@pbx", "inbound", "HANGUP"), noon)
	b.event(call("CHANNEL_CREATE", "fresh", "5@pbx", "inbound", "ACTIVE"), noon)
	b.list(rows, noon.Add(time.Second))
	b.want(t, "1@pbx", presence.LineHeld)
	b.want(t, "2@pbx", presence.LineIdle)
	b.want(t, "3@pbx", presence.LineInCall)
	b.want(t, "4@pbx", presence.LineUnknown)
	b.want(t, "5@pbx", presence.LineInCall) // not in the list yet
	b.list(rows[:1], noon.Add(time.Minute+time.Second))
	b.want(t, "1@pbx", presence.LineInCall)
	b.want(t, "3@pbx", presence.LineIdle)
	b.want(t, "5@pbx", presence.LineIdle)
	if len(b.channels) != 1 || len(b.gone) > 3 {
		t.Errorf("%d channels, %d gone", len(b.channels), len(b.gone))
	}
}

// FuzzMessage reads what a peer sends, and keeps the book by it: each line does what its
// channels do, whatever came.
func FuzzMessage(f *testing.F) {
	f.Add("Content-Type: auth/request\n\nContent-Length: 99\nContent-Type: text/event-plain\n\nEvent-Name: CHANNEL_CREATE\nUnique-ID: a%20b\nCall-Direction: inbound\nChannel-Presence-ID: 1%40pbx\n\n")
	f.Add("Content-Type: api/response\nContent-Length: 66\n\n{\"row_count\":1,\"rows\":[{\"uuid\":\"a\",\"presence_id\":\"1@pbx\"}]}......")
	f.Add("Content-Length: 5\nContent-Type: text/disconnect-notice\n\nhello")
	f.Fuzz(func(t *testing.T, text string) {
		r, b := newReader(strings.NewReader(text)), newBook()
		for now := noon; ; now = now.Add(3 * time.Second) {
			m, err := r.next()
			if err != nil {
				break
			}
			b.event(m.event, now)
			if m.isRow {
				b.list(m.list, now)
			}
		}
		n := 0
		for line, all := range b.lines {
			if n += len(all); line == "" || len(all) == 0 {
				t.Errorf("%q has %d channels", line, len(all))
			}
			if _, both := b.idle[line]; both {
				t.Errorf("%q is idle, too", line)
			}
		}
		for id, c := range b.channels {
			if c.line != "" && b.lines[c.line][id] != c {
				t.Errorf("%q is not at %q", id, c.line)
			}
			if c.line == "" {
				n++
			}
		}
		if n != len(b.channels) {
			t.Errorf("%d channels at lines, %d in all", n, len(b.channels))
		}
	})
}
