package asterisk_test

import (
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

func TestDevice(t *testing.T) {
	for state, want := range map[string]presence.Line{
		"NOT_INUSE": presence.LineIdle, "INUSE": presence.LineInCall, "BUSY": presence.LineInCall, "RINGINUSE": presence.LineInCall, "RINGING": presence.LineRinging,
		"ONHOLD": presence.LineHeld, "UNAVAILABLE": presence.LineUnknown, "INVALID": presence.LineUnknown, "UNKNOWN": presence.LineUnknown, "": presence.LineUnknown,
		"inuse": presence.LineInCall,
	} {
		if got := asterisk.Device(state); got != want {
			t.Errorf("%q: %v, want %v", state, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for device, want := range map[string][2]string{
		"PJSIP/2001": {"PJSIP", "2001"}, "Custom:2001": {"Custom", "2001"}, "Local/2001@phones": {"Local", "2001@phones"}, "alone": {}, "": {}, "/": {}, "a/b:c": {"a", "b:c"},
	} {
		if technology, line := asterisk.Split(device); technology != want[0] || line != want[1] {
			t.Errorf("%q: %q %q, want %q", device, technology, line, want)
		}
	}
}
