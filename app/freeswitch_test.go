package app_test

import (
	"os"
	"path/filepath"
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
	p := esltest.Start(t, "ClueCon")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("ClueCon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse([]byte("presence: {freeswitch: [{address: '" + p.Addr() + "', password_file: " + secret + "}]}"))
	if err != nil {
		t.Fatal(err)
	}
	one := cfg.Presence.FreeSWITCH
	one[0].Expires, one[0].Ping = 2*time.Second, 500*time.Millisecond
	s := start(t, func(c *configs.Config) { c.Presence.FreeSWITCH, c.Presence.RingingIsBusy = one, true })
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
	if strings.Contains(s.log.String(), "ClueCon") {
		t.Error("the log has the password")
	}
}
