package roster_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// circles are people who are each other's automatic contacts, by group.
type circles map[string][]string

func (c circles) pair(owner, contact jid.JID) (groups []string) {
	for name, members := range c {
		if owner != contact && slices.Contains(members, owner.Local()) && slices.Contains(members, contact.Local()) {
			groups = append(groups, name)
		}
	}
	slices.Sort(groups)
	return groups
}

func (c circles) Contacts(owner jid.JID) iter.Seq[jid.JID] {
	var all []string
	for _, members := range c {
		all = append(all, members...)
	}
	slices.Sort(all)
	return func(yield func(jid.JID) bool) {
		for _, m := range slices.Compact(all) {
			if len(c.pair(owner, who(m))) > 0 && !yield(who(m)) {
				return
			}
		}
	}
}

func (c circles) Has(owner, contact jid.JID) bool { return len(c.pair(owner, contact)) > 0 }

func (c circles) Item(owner, contact jid.JID) (string, []string, bool) {
	groups := c.pair(owner, contact)
	return strings.ToUpper(contact.Local()), groups, groups != nil
}

func (c circles) Version(owner jid.JID) uint64 {
	sum := uint64(0)
	for contact := range c.Contacts(owner) {
		for _, b := range []byte(fmt.Sprint(contact, c.pair(owner, contact))) {
			sum = sum*31 + uint64(b)
		}
	}
	return sum
}

// groups is circles that can be others.
type groups struct{ atomic.Pointer[circles] }

func (g *groups) Picture() roster.Picture { return g.Load() }

func (g *groups) set(c circles) { g.Store(&c) }

func newGroups(c circles) *groups {
	g := &groups{}
	g.set(c)
	return g
}

const (
	getRoster = "<query xmlns='jabber:iq:roster'/>"
	bobIn     = "<item jid='bob@example.com' name='BOB' subscription='both'><group>Agents</group></item>"
)

func setItem(inner string) string { return "<query xmlns='jabber:iq:roster'>" + inner + "</query>" }

func TestAutomatic(t *testing.T) {
	w := newWorld(t, roster.Config{Automatic: newGroups(circles{"Agents": {"alice", "bob"}})})
	alice := w.login("alice@example.com/a", true, true)
	bob := w.login("bob@example.com/b", true, true)
	expect(t, "roster", w.iq(alice, "get", getRoster), "result "+bobIn)
	for _, x := range []string{"alice", "bob"} {
		own, more, err := w.svc.Subscribers(t.Context(), who(x))
		if err != nil || len(own) != 0 || more == nil {
			t.Fatal(own, err)
		}
		if n := len(slices.Collect(more)); n != 1 {
			t.Errorf("%d subscribers of %s", n, x)
		}
	}
	if ok, _ := w.svc.MaySee(t.Context(), alice.full, bob.full); !ok {
		t.Error("bob may not see alice")
	}
	if ok, _ := w.svc.HasSubscription(t.Context(), who("bob"), who("alice")); !ok {
		t.Error("bob is not subscribed to alice")
	}

	expect(t, "removal", w.iq(alice, "set", setItem("<item jid='bob@example.com' subscription='remove'/>")), "error not-allowed")
	w.say(alice, "unsubscribe", "bob@example.com")
	expect(t, "unsubscribe", alice.take(), "error bob@example.com not-allowed")
	w.say(alice, "subscribe", "bob@example.com")
	expect(t, "subscribe", alice.take(), "subscribed bob@example.com")
	expect(t, "bob is not asked", bob.take())
	expect(t, "presence", w.presence.take())

	// As it is: nothing is kept of it.
	expect(t, "nothing new", w.iq(alice, "set", setItem(bobIn)), "set "+bobIn, "result")
	if got := w.state("alice", "bob"); got != "absent" {
		t.Errorf("kept: %s", got)
	}
	renamed := "<item jid='bob@example.com' name='Bobby' subscription='both'><group>Friends</group><group>Agents</group></item>"
	expect(t, "renamed", w.iq(alice, "set", setItem("<item jid='bob@example.com' name='Bobby'><group>Friends</group></item>")), "set "+renamed, "result")
	expect(t, "roster", w.iq(alice, "get", getRoster), "result "+renamed)
	expect(t, "removed by hand", w.iq(alice, "set", setItem("<item jid='bob@example.com' subscription='remove'/>")), "set "+bobIn, "result")
	expect(t, "presence stays", w.presence.take())
	expect(t, "bob hears nothing", bob.take())
}

// TestAutomaticBeside has people who are contacts by hand as well.
func TestAutomaticBeside(t *testing.T) {
	g := newGroups(circles{})
	w := newWorld(t, roster.Config{Automatic: g})
	alice := w.login("alice@example.com/a", true, true)
	bob := w.login("bob@example.com/b", true, true)
	w.say(alice, "subscribe", "bob@example.com")
	w.say(bob, "subscribed", "alice@example.com")
	w.say(bob, "subscribe", "alice@example.com")
	w.say(alice, "subscribed", "bob@example.com")
	g.set(circles{"Agents": {"alice", "bob"}})
	alice.take()
	bob.take()
	w.presence.take()
	own, more, _ := w.svc.Subscribers(t.Context(), who("alice"))
	if len(own) != 1 || len(slices.Collect(more)) != 0 {
		t.Errorf("bob is there twice: %v", own)
	}
	expect(t, "the hand-made part goes", w.iq(alice, "set", setItem("<item jid='bob@example.com' subscription='remove'/>")), "set "+bobIn, "result")
	expect(t, "presence stays", w.presence.take())
	aliceIn := "<item jid='alice@example.com' name='ALICE' subscription='both'><group>Agents</group></item>"
	expect(t, "bob's roster shows the same", bob.take(), "set "+aliceIn, "set "+aliceIn)
	if got := w.state("bob", "alice"); got != "None" {
		t.Errorf("beneath it: %s", got)
	}
}

func TestAutomaticVersion(t *testing.T) {
	g := newGroups(circles{})
	w := newWorld(t, roster.Config{Automatic: g})
	alice := w.login("alice@example.com/a", true, true)
	ver := func() string {
		t.Helper()
		w.iqRaw(alice, "get", "<query xmlns='jabber:iq:roster' ver=''/>")
		inner := string(alice.got[len(alice.got)-1].Inner)
		_, inner, _ = strings.Cut(inner, "ver='")
		v, _, _ := strings.Cut(inner, "'")
		alice.take()
		return v
	}
	same := func(v string) bool {
		t.Helper()
		got := w.iq(alice, "get", "<query xmlns='jabber:iq:roster' ver='"+v+"'/>")
		return len(got) == 1 && got[0] == "result"
	}
	plain := ver()
	if plain != "0" || !same(plain) {
		t.Errorf("without groups: %q", plain)
	}
	g.set(circles{"Agents": {"alice", "bob"}})
	one := ver()
	if one == plain || same(plain) || !same(one) {
		t.Errorf("in a group: %q", one)
	}
	g.set(circles{"Agents": {"alice", "bob", "carol"}})
	if same(one) {
		t.Error("one more, and the same version")
	}
}

func TestAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroups(circles{})
		w := newWorld(t, roster.Config{Automatic: g})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.svc.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		alice := w.login("alice@example.com/a", true, true)
		quiet := w.login("alice@example.com/quiet", false, false)
		bob := w.login("bob@example.com/b", true, true)
		step := func(c circles) {
			t.Helper()
			g.set(c)
			w.svc.Stir()
			synctestSleep()
		}
		step(circles{"Agents": {"alice", "bob", "carol"}})
		carolIn := "<item jid='carol@example.com' name='CAROL' subscription='both'><group>Agents</group></item>"
		expect(t, "alice", alice.take(), "set "+bobIn, "set "+carolIn)
		expect(t, "one who did not ask", quiet.take())
		if got := len(bob.take()); got != 2 {
			t.Errorf("bob got %d", got)
		}
		lines := w.presence.take()
		slices.Sort(lines)
		expect(t, "presence", lines, "came alice>bob", "came alice>carol", "came bob>alice", "came bob>carol")

		step(circles{"Agents": {"alice", "bob"}, "Night": {"alice", "bob"}})
		expect(t, "alice", alice.take(), "set <item jid='carol@example.com' subscription='remove'/>",
			"set <item jid='bob@example.com' name='BOB' subscription='both'><group>Agents</group><group>Night</group></item>")
		lines = w.presence.take()
		slices.Sort(lines)
		expect(t, "presence", lines, "left alice>carol", "left bob>carol")
		bob.take()
		step(circles{"Agents": {"alice", "bob"}, "Night": {"alice", "bob"}})
		expect(t, "nothing new", append(alice.take(), bob.take()...))
	})
}

// TestAnnounceCrowd has a group of 300 appear at once for 40 who are there.
func TestAnnounceCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroups(circles{})
		w := newWorld(t, roster.Config{Automatic: g})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.svc.Run(ctx) }()
		synctest.Wait()
		var all []string
		var desks []*fakeSession
		for i := range 300 {
			all = append(all, fmt.Sprintf("p%03d", i))
			if i < 40 {
				desks = append(desks, w.login(all[i]+"@example.com/x", true, true))
			}
		}
		g.set(circles{"All": all})
		w.svc.Stir()
		most, total := 0, 0
		for range 40 * 300 {
			n := 0
			synctestTick()
			for _, d := range desks {
				got := len(d.take())
				n += got
				if got > 100 {
					t.Fatalf("%d at once for one session", got)
				}
			}
			most, total = max(most, n), total+n
			if total == 40*299 {
				break
			}
		}
		if total != 40*299 || most > 1100 {
			t.Errorf("%d pushes, up to %d in a tick", total, most)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
