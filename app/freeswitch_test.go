package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/esl/esltest"
)

// TestFreeSWITCH has a contact see calls at a peer that speaks as FreeSWITCH does. The line is found by the name
// in front of the @.
func TestFreeSWITCH(t *testing.T) {
	t.Parallel()
	p := esltest.Start(t, clueCon)
	s := start(t, func(c *configs.Config) {
		withFreeSWITCH(t, p, func(f *configs.FreeSWITCH) { f.Expires, f.Ping = 2*time.Second, 500*time.Millisecond })(c)
		c.Presence.Lines, c.Presence.RingingIsBusy = nil, true
	})
	_, bob := s.watching()
	eventually(t, "the list of channels is asked for", func() bool { return slices.Contains(p.Asked(), "api show channels as json") })
	p.Call("u1", "alice@pbx.example.com", "outbound", "RINGING")
	bob.sees(onThePhone)
	p.Hangup("u1")
	bob.sees(free)
	p.Call("u2", "alice@pbx.example.com", "inbound", "RINGING")
	bob.sees(onThePhone)
	p.Freeze()
	bob.sees(free)
	p.Thaw()
	bob.sees(onThePhone)
	p.Kill()
	bob.sees(free)
	if strings.Contains(s.log.String(), clueCon) {
		t.Error("the log has the password")
	}
}
