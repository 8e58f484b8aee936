package app_test

import (
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
)

const ping = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"

// A node that is stopped and started goes on with its BOSH sessions: the same
// ids, what waited for their clients, the presence their contacts see, and the
// responses kept for repeats.
func TestRestartKeepsSessions(t *testing.T) {
	dir := t.TempDir()
	same := func(c *configs.Config) { c.DataDir = dir }
	var alice, bob *client
	var last string
	t.Run("before", func(t *testing.T) {
		s := start(t, same)
		alice, bob = s.login("alice"), s.login("bob")
		alice.send("<presence xmlns='jabber:client'/>")
		bob.send("<presence xmlns='jabber:client'><priority>5</priority></presence>")
		last = alice.send("<message xmlns='jabber:client' to='bob@localhost' type='chat' id='m1'/>" + ping)
		want(t, "ping", last, "type='result'")
	})
	t.Run("after", func(t *testing.T) {
		s := start(t, same)
		alice.s, bob.s = s, s
		alice.rid--
		if again := alice.send("<message xmlns='jabber:client' to='bob@localhost' type='chat' id='m1'/>" + ping); again != last {
			t.Errorf("the repeat got %s in place of %s", again, last)
		}
		want(t, "ping", alice.send("<message xmlns='jabber:client' to='bob@localhost' type='chat' id='m2'/>"+ping), "type='result'")
		got := bob.send("") + bob.send(ping)
		if strings.Count(got, "id='m1'") != 1 || strings.Count(got, "id='m2'") != 1 || strings.Index(got, "id='m1'") > strings.Index(got, "id='m2'") || strings.Contains(got, "<delay") {
			t.Errorf("bob got %s", got)
		}
		want(t, "unavailable", alice.body("type='terminate'", "<presence xmlns='jabber:client' type='unavailable'/>"), "type='terminate'")
	})
}
