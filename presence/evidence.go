package presence

import (
	"context"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// Line is what a telephone line does.
type Line uint8

// A line is Unknown when nobody tells; the others are in the order of their weight.
const (
	LineUnknown Line = iota
	LineIdle
	LineRinging
	LineHeld
	LineInCall
)

// Slot is what a calendar says of a time.
type Slot uint8

// Slots in the order of their weight; times without one are free.
const (
	SlotFree Slot = iota
	SlotTentative
	SlotOutOfOffice
	SlotBusy
)

// Period is a part of a calendar, From included and Until not. What it is about
// is never kept.
type Period struct {
	From, Until time.Time
	Slot        Slot
}

// Evidence is what one source says of one user. It stands in place of what the same
// source has said under the same Item before, if its Seq is not lower; only
// the source's own Seqs are compared.
type Evidence struct {
	User   jid.JID // bare
	Source string  // such as sip, or caldav and the name it has in the configuration
	Item   string  // the line or calendar, of which a user may have several

	Line    Line     // of telephones; LineUnknown for calendars
	Periods []Period // of calendars, in the order of From; nil for telephones

	Seq     uint64
	Since   time.Time // when the source says that it began; zero = when it was received
	Expires time.Time // nothing is known any more from then on; zero = the evidence is taken back
	Heard   time.Time // when a node took it, set by Service.Observe
}

// Source tells what it knows of users.
type Source interface {
	// Run sends the full picture first, then changes, until ctx ends. It goes on by
	// itself after a failure; what it said stays until it expires.
	Run(ctx context.Context, out chan<- Evidence) error
}
