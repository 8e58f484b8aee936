// Package asterisk is what the interfaces of an Asterisk have in common: the names and
// states of its devices (docs.asterisk.org, Device State), and lines that it tells of in
// several places.
package asterisk

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
)

// Device says what a line does by the state of its device.
func Device(state string) presence.Line {
	switch strings.ToUpper(state) {
	case "INUSE", "BUSY", "RINGINUSE":
		return presence.LineInCall
	case "ONHOLD":
		return presence.LineHeld
	case "RINGING":
		return presence.LineRinging
	case "NOT_INUSE":
		return presence.LineIdle
	}
	return presence.LineUnknown // UNKNOWN, INVALID, UNAVAILABLE
}

// Split takes a device apart: PJSIP/2001, Custom:2001.
func Split(device string) (technology, line string) {
	at := strings.IndexAny(device, "/:")
	if at < 0 {
		return "", ""
	}
	return device[:at], device[at+1:]
}

// maxPlaces bounds in how many places one line counts.
const maxPlaces = 64

// Lines has what lines do in each place that tells of them, such as contexts or
// technologies. A line does what weighs most.
type Lines struct {
	board *pbx.Board
	name  string // of the switch, for the log
	log   *slog.Logger
	parts map[string]map[string]presence.Line // by line and place
	over  bool                                // the board is full, which has been told
}

// NewLines returns none, for the board of a switch.
func NewLines(board *pbx.Board, name string, log *slog.Logger) *Lines {
	return &Lines{board: board, name: name, log: log, parts: map[string]map[string]presence.Line{}}
}

// Begin begins a full picture: places that are not set before End are gone.
func (l *Lines) Begin() {
	l.parts = map[string]map[string]presence.Line{}
	l.board.Begin()
}

// End says that the full picture is there.
func (l *Lines) End() { l.board.End() }

// Set notes what a line does in one place.
func (l *Lines) Set(line, place string, state presence.Line) {
	all := l.parts[line]
	if all == nil {
		if state == presence.LineUnknown {
			return
		}
		all = map[string]presence.Line{}
		l.parts[line] = all
	}
	if state == presence.LineUnknown {
		delete(all, place)
	} else if _, there := all[place]; there || len(all) < maxPlaces {
		all[place] = state
	}
	sum := presence.LineUnknown
	for _, s := range all {
		sum = max(sum, s)
	}
	if len(all) == 0 {
		delete(l.parts, line)
	}
	err := l.board.Set(line, sum, time.Time{})
	if err != nil {
		delete(l.parts, line) // there are no more than the board has
	}
	if errors.Is(err, pbx.ErrFull) && !l.over {
		l.over = true
		l.log.Warn("lines of a telephone switch are left out", "switch", l.name, "err", err)
	}
}
