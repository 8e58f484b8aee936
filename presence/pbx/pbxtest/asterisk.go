package pbxtest

import (
	"github.com/deskline/deskline/internal/asterisktest"
	"github.com/deskline/deskline/presence"
)

// Before sets what lines of an Asterisk do before a source asks for them.
func Before(p *asterisktest.PBX) {
	p.Device("2002", "NOT_INUSE")
	p.Device("2003", "ONHOLD")
	p.Device("2004", "UNAVAILABLE")
}

// Life has an Asterisk tell of calls, die, come back and hang. Line 2001 is told under the name called, evidence
// expires within a second or two, and Before was called.
func (w *Watch) Life(p *asterisktest.PBX, called string) {
	w.t.Helper()
	w.Await("2003", presence.LineHeld) // the full picture
	w.Await("2002", presence.LineIdle)
	w.Await("2004", presence.LineUnknown) // a telephone that is not there

	p.Call("2001")
	w.Await(called, presence.LineInCall)
	p.Device("2002", "RINGING")
	w.Await("2002", presence.LineRinging)
	p.Device("2002", "RINGINUSE")
	w.Await("2002", presence.LineInCall)
	p.Device("2003", "UNAVAILABLE")
	w.Await("2003", presence.LineUnknown)
	p.Hangup()
	w.Await(called, presence.LineIdle)
	p.Call("2001")
	w.Renewed(w.Await(called, presence.LineInCall)) // for as long as Asterisk lives

	p.Kill()
	w.Await(called, presence.LineUnknown)
	p.Start()
	p.Device("2003", "INUSE")
	w.Await("2003", presence.LineInCall)
	p.Call("2001")
	w.Await(called, presence.LineInCall)

	p.Freeze()
	w.Await(called, presence.LineUnknown)
	p.Thaw()
	w.Await(called, presence.LineInCall)
	p.Hangup()
	w.Await(called, presence.LineIdle)
}
