package sip

import (
	"errors"
	"slices"
	"strings"

	"github.com/deskline/deskline/presence"
)

// ErrGap says that documents are missing: the subscription has to be begun anew,
// which brings a full one (RFC 4235 §4.3).
var ErrGap = errors.New("a version is missing")

// maxEnded bounds the ended dialogs that a book remembers.
const maxEnded = 64

// kamailioID begins the ids of dialogs that pua_dialoginfo of Kamailio tells of.
const kamailioID = "padi-"

// Book keeps the dialogs of one line as one subscription or publication tells of
// them. The zero value is empty. It is pure and not safe for concurrent use.
type Book struct {
	dialogs []Dialog
	ended   []string // newest last: dialogs that do not come back
	version uint64
	begun   bool
}

// Apply takes a document of a subscription. Partial ones have to follow each
// other without a gap; an old one changes nothing.
func (b *Book) Apply(doc DialogInfo) error {
	switch {
	case doc.Full:
		// Whatever its version: it came in order, and some PBXes begin to count
		// anew within a subscription.
	case !b.begun:
		return ErrGap
	case doc.Version <= b.version:
		return nil
	case doc.Version != b.version+1:
		b.begun = false
		return ErrGap
	}
	b.begun, b.version = true, doc.Version
	return b.merge(doc)
}

// Publish takes a document of a publication, which SIP-If-Match orders: versions
// of publishers mean nothing (Kamailio sends 0 for ever).
func (b *Book) Publish(doc DialogInfo) error { return b.merge(doc) }

func (b *Book) merge(doc DialogInfo) error {
	old := b.dialogs
	if doc.Full {
		b.dialogs = nil
	}
	for _, d := range doc.Dialogs {
		if err := b.put(d, old); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) put(d Dialog, old []Dialog) error {
	key, unique := identity(d)
	if unique && slices.Contains(b.ended, key) {
		return nil // Kamailio and FreeSWITCH tell of an earlier state after the end
	}
	same := func(o Dialog) bool { return o.ID == d.ID }
	if at := slices.IndexFunc(old, same); unique && at >= 0 && old[at].Phase == Confirmed && d.Phase < Confirmed && old[at].CallID == d.CallID {
		// An answered call cannot ring again: FreeSWITCH says so in place of its end. Kamailio
		// does where its workers overtake each other, and tells the end as such.
		if d.Phase = Terminated; strings.HasPrefix(d.ID, kamailioID) {
			d.Phase = Confirmed
		}
	}
	b.dialogs = slices.DeleteFunc(b.dialogs, same)
	if d.Phase == Terminated {
		if unique {
			b.ended = append(b.ended, key)
			if len(b.ended) > maxEnded {
				b.ended = slices.Delete(b.ended, 0, len(b.ended)-maxEnded)
			}
		}
		return nil
	}
	if len(b.dialogs) >= maxDialogs {
		return ErrTooLarge
	}
	b.dialogs = append(b.dialogs, d)
	return nil
}

// identity names a dialog, and tells whether it can be there only once. Asterisk
// gives all calls of an extension the same id, and no call-id or one that begins with pickup-.
func identity(d Dialog) (key string, unique bool) {
	return d.ID + "\x00" + d.CallID, d.CallID != "" && !strings.HasPrefix(d.CallID, "pickup-")
}

// State is what the line does. A line without dialogs is idle; whether it is
// registered at all, terminated dialogs do not tell.
func (b *Book) State() presence.Line {
	state := presence.LineIdle
	for _, d := range b.dialogs {
		state = max(state, d.line())
	}
	return state
}

func (d Dialog) line() presence.Line {
	switch {
	case d.Phase == Terminated:
		return presence.LineIdle
	case d.Phase == Confirmed && d.Held:
		return presence.LineHeld
	case d.Phase == Confirmed:
		return presence.LineInCall
	case d.Outgoing:
		return presence.LineInCall // who calls is off-hook
	}
	return presence.LineRinging // Asterisk leaves the direction out
}
