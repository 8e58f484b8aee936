package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/esl/esltest"
)

// withFreeSWITCH has a node speak with a FreeSWITCH, whose line 2001 is alice's.
func withFreeSWITCH(t *testing.T, p *esltest.Switch, change func(*configs.FreeSWITCH)) func(*configs.Config) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(clueCon+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse([]byte("presence: {freeswitch: [{name: main, address: '" + p.Addr() + "', password_file: " + secret + "}]}"))
	if err != nil {
		t.Fatal(err)
	}
	one := cfg.Presence.FreeSWITCH[0]
	if change != nil {
		change(&one)
	}
	return func(c *configs.Config) {
		c.Presence.Lines = []string{"2001=alice"}
		c.Presence.FreeSWITCH = []configs.FreeSWITCH{one}
	}
}

const clueCon = "ClueCon" // the password

// sees waits until the last presence of alice that a client was told has a text or, with
// a ! in front, has not.
func (c *client) sees(what string) {
	c.s.t.Helper()
	text, not := strings.CutPrefix(what, "!")
	eventually(c.s.t, "presence with "+what, func() bool {
		got := c.ask("")
		at := strings.LastIndex(got, "<presence")
		return at >= 0 && strings.Contains(got[at:], "alice@localhost/desk") && strings.Contains(got[at:], text) != not
	})
}

// watching signs alice in and bob, who sees her.
func (s *server) watching() (alice, bob *client) {
	s.t.Helper()
	alice, bob = s.login("alice"), s.login("bob")
	alice.ask("<presence xmlns='jabber:client'/>")
	bob.ask("<presence xmlns='jabber:client'/><presence xmlns='jabber:client' type='subscribe' to='alice@localhost'/>")
	alice.ask("<presence xmlns='jabber:client' type='subscribed' to='bob@localhost'/>")
	bob.sees("from='alice@localhost/desk'")
	return alice, bob
}

const (
	onThePhone = "state='on-the-phone'"
	free       = "!" + onThePhone
)

// told waits until the last presence of somebody that a client was told has a text or, with a ! in front, has not.
func (c *client) told(of, what string) {
	c.s.t.Helper()
	text, not := strings.CutPrefix(what, "!")
	eventually(c.s.t, of+" with "+what, func() bool {
		last := ""
		for part := range strings.SplitSeq(c.ask(""), "<presence") {
			if strings.Contains(part, "from='"+of+"@example.com/desk'") {
				last = part
			}
		}
		return last != "" && strings.Contains(last, text) != not
	})
}
