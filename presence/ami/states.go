package ami

import (
	"strconv"

	"github.com/deskline/deskline/presence"
)

// Bits of the state of an extension, as include/asterisk/pbx.h of Asterisk has them.
const (
	extenInUse       = 1 << 0
	extenBusy        = 1 << 1
	extenUnavailable = 1 << 2
	extenRinging     = 1 << 3
	extenOnHold      = 1 << 4
)

// extension reads the Status of ExtensionStatus. What is removed (-2) or deactivated (-1), and
// a device that is not there, is unknown: nobody can say that such a line is idle.
func extension(status string) presence.Line {
	n, err := strconv.Atoi(status)
	switch {
	case err != nil || n < 0:
		return presence.LineUnknown
	case n&(extenInUse|extenBusy) != 0: // one call may be on hold, or another ring
		return presence.LineInCall
	case n&extenOnHold != 0:
		return presence.LineHeld
	case n&extenRinging != 0:
		return presence.LineRinging
	case n == 0:
		return presence.LineIdle
	}
	return presence.LineUnknown // extenUnavailable, and what comes later
}
