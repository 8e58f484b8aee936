package ami

import (
	"strings"
	"testing"

	"github.com/deskline/deskline/presence"
)

// FuzzPacket reads what a peer sends, and takes it as events.
func FuzzPacket(f *testing.F) {
	f.Add("Asterisk Call Manager/5.0.2\r\nEvent: ExtensionStatus\r\nExten: 2001\r\nContext: a\r\nStatus: 1\r\n\r\n")
	f.Add("Asterisk Call Manager/5\nEvent: DeviceStateChange\nDevice: PJSIP/2001\nState: INUSE\n\n")
	f.Add("Asterisk Call Manager/\n\n\n: \nEvent:\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader(strings.NewReader(text))
		for _, devices := range []bool{false, true} {
			k := newTalk(100)
			k.cfg = Config{Devices: devices, Technologies: []string{"PJSIP"}}
			for n := 0; ; n++ {
				p, err := r.next()
				if err != nil {
					break
				}
				if n > len(text) || len(p) > len(kept) {
					t.Fatalf("packet %d: %v", n, p)
				}
				k.event(p)
			}
		}
	})
}

func TestStates(t *testing.T) {
	for status, want := range map[string]presence.Line{
		"-2": presence.LineUnknown, "-1": presence.LineUnknown, "0": presence.LineIdle, "1": presence.LineInCall, "2": presence.LineInCall,
		"4": presence.LineUnknown, "8": presence.LineRinging, "9": presence.LineInCall, "16": presence.LineHeld, "17": presence.LineInCall,
		"": presence.LineUnknown, "x": presence.LineUnknown, "32": presence.LineUnknown,
	} {
		if got := extension(status); got != want {
			t.Errorf("%q: %v, want %v", status, got, want)
		}
	}
}
