package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/innovaphone/innovaphonetest"
)

// TestInnovaphone has a contact see calls at a peer that speaks as a PBX of innovaphone does.
func TestInnovaphone(t *testing.T) {
	t.Parallel()
	p := innovaphonetest.Start(t, "deskline", "very secret", "alice")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("very secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse([]byte("presence: {innovaphone: [{url: '" + p.URL() + "', password_file: " + secret + ", lines: [alice]}]}"))
	if err != nil {
		t.Fatal(err)
	}
	one := cfg.Presence.Innovaphone
	one[0].Expires, one[0].Ping = 2*time.Second, 500*time.Millisecond
	s := start(t, func(c *configs.Config) { c.Presence.Innovaphone = one })
	_, bob := s.watching()
	call, registered := innovaphonetest.Item{Contact: "tel:", Status: "open", Activity: "on-the-phone"}, innovaphonetest.Item{Contact: "tel:", Status: "open"}
	p.Set("alice", call)
	bob.sees(onThePhone)
	p.Set("alice", registered)
	bob.sees(free)
	p.Set("alice", call)
	bob.sees(onThePhone)
	p.Freeze()
	bob.sees(free)
	p.Thaw()
	bob.sees(onThePhone)
	if strings.Contains(s.log.String(), "very secret") {
		t.Error("the log has the password")
	}
}
