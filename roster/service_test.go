package roster_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

func query(item string) string { return `<query xmlns='jabber:iq:roster'>` + item + `</query>` }

func TestSetErrors(t *testing.T) {
	long := strings.Repeat("x", 1024)
	tests := []struct{ name, query, want string }{
		{"no item", "", "error bad-request"},
		{"two items", `<item jid='a@b'/><item jid='c@d'/>`, "error bad-request"},
		{"no jid", `<item name='x'/>`, "error bad-request"},
		{"full jid", `<item jid='bob@example.com/x'/>`, "error bad-request"},
		{"malformed jid", `<item jid='@'/>`, "error jid-malformed"},
		{"own jid", `<item jid='alice@example.com'/>`, "error not-allowed"},
		{"long name", `<item jid='bob@example.com' name='` + long + `'/>`, "error not-acceptable"},
		{"empty group", `<item jid='bob@example.com'><group/></item>`, "error not-acceptable"},
		{"long group", `<item jid='bob@example.com'><group>` + long + `</group></item>`, "error not-acceptable"},
		{"same groups", `<item jid='bob@example.com'><group>a</group><group>a</group></item>`, "error bad-request"},
		{"remove a stranger", `<item jid='bob@example.com' subscription='remove'/>`, "error item-not-found"},
		{"one too many", `<item jid='dave@example.com'/>`, "error resource-constraint"},
	}
	w := newWorld(t, roster.Config{MaxContacts: 1})
	alice := w.login("alice@example.com/desk", true, false)
	w.iq(alice, "set", query(`<item jid='carol@example.com'/>`))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { expect(t, "reply", w.iq(alice, "set", query(tt.query)), tt.want) })
	}
	w.say(alice, "subscribe", "bob@example.com")
	expect(t, "subscribe beyond the limit", alice.take(), "error bob@example.com resource-constraint")
	w.svc.SetMaxContacts(2)
	w.iq(alice, "set", query(`<item jid='dave@example.com'/>`))
	expect(t, "limit raised", []string{w.state("alice", "dave")}, "None")
}

func TestRequests(t *testing.T) {
	w := newWorld(t, roster.Config{})
	desk, home := w.login("alice@example.com/desk", true, false), w.login("alice@example.com/home", false, false)
	expect(t, "empty roster", w.iq(desk, "get", query("")), "result")
	if !desk.interest.Roster() || home.interest.Roster() {
		t.Error("a get marks the session that asks, and no other")
	}
	item := `<item jid='bob@example.com' name='B &amp; co' subscription='none'><group>Work</group></item>`
	expect(t, "set", w.iq(desk, "set", query(`<item jid='bob@example.com' name='B &amp; co' subscription='both'><group>Work</group></item>`)),
		"set "+item, "result")
	expect(t, "not interested", home.take())
	expect(t, "get", w.iq(home, "get", query("")), "result "+item)
	expect(t, "known version", w.iq(home, "get", `<query xmlns='jabber:iq:roster' ver='1'/>`), "result")
	expect(t, "old version", w.iq(home, "get", `<query xmlns='jabber:iq:roster' ver='0'/>`), "result "+item)
	w.store.conflicts = 3
	expect(t, "remove", w.iq(desk, "set", query(`<item jid='bob@example.com' subscription='remove'/>`)),
		"set <item jid='bob@example.com' subscription='remove'/>", "result")
	expect(t, "push to the other", home.take(), "set <item jid='bob@example.com' subscription='remove'/>")
	w.store.conflicts = 100
	expect(t, "endless conflict", w.iq(desk, "set", query(`<item jid='bob@example.com'/>`)), "error internal-server-error")
}

func TestSubscription(t *testing.T) {
	w := newWorld(t, roster.Config{})
	alice, bob := w.login("alice@example.com/a", true, true), w.login("bob@example.com/b", true, true)

	w.say(alice, "subscribe", "bob@example.com/ignored")
	expect(t, "asker", alice.take(), "set <item jid='bob@example.com' subscription='none' ask='subscribe'/>")
	expect(t, "asked", bob.take(), "subscribe alice@example.com")
	expect(t, "a request is no contact", w.iq(bob, "get", query("")), "result")
	w.say(alice, "subscribe", "bob@example.com")
	expect(t, "asked again", append(alice.take(), bob.take()...))

	w.say(bob, "subscribed", "alice@example.com")
	expect(t, "approver", bob.take(), "set <item jid='alice@example.com' subscription='from'/>")
	expect(t, "approved", alice.take(), "subscribed bob@example.com", "set <item jid='bob@example.com' subscription='to'/>")
	expect(t, "presence", w.presence.take(), "current bob>alice")

	w.say(alice, "subscribed", "bob@example.com")
	expect(t, "pre-approval", alice.take(), "set <item jid='bob@example.com' subscription='to' approved='true'/>")
	expect(t, "is not told", bob.take())
	w.say(bob, "subscribe", "alice@example.com")
	expect(t, "approves at once", alice.take(), "set <item jid='bob@example.com' subscription='both'/>")
	expect(t, "asker approved", bob.take(), "set <item jid='alice@example.com' subscription='from' ask='subscribe'/>",
		"subscribed alice@example.com", "set <item jid='alice@example.com' subscription='both'/>")
	expect(t, "presence", w.presence.take(), "current alice>bob")
	for _, pair := range [][2]string{{"alice", "bob"}, {"bob", "alice"}} {
		if ok, err := w.svc.MaySee(t.Context(), who(pair[0]), who(pair[1])); !ok || err != nil {
			t.Errorf("MaySee(%s, %s) = %v, %v", pair[0], pair[1], ok, err)
		}
	}

	w.say(bob, "unsubscribed", "alice@example.com")
	expect(t, "canceller", bob.take(), "set <item jid='alice@example.com' subscription='to'/>")
	expect(t, "cancelled", alice.take(), "unsubscribed bob@example.com", "set <item jid='bob@example.com' subscription='from'/>")
	expect(t, "presence", w.presence.take(), "unavailable bob>alice")
	w.say(bob, "unsubscribe", "alice@example.com")
	expect(t, "presence", w.presence.take(), "unavailable alice>bob")
	if a, b := w.state("alice", "bob"), w.state("bob", "alice"); a != "None" || b != "None" {
		t.Errorf("states %s, %s", a, b)
	}
}

func TestRedeliver(t *testing.T) {
	w := newWorld(t, roster.Config{})
	alice := w.login("alice@example.com/a", true, true)
	w.say(alice, "subscribe", "bob@example.com")
	bob := w.login("bob@example.com/b", false, true)
	for range 2 {
		if err := w.svc.Redeliver(t.Context(), bob.full); err != nil {
			t.Fatal(err)
		}
		if len(bob.got) != 1 || bob.got[0].ChildText("jabber:client", "status") != "please" {
			t.Fatalf("got %d stanzas, or without the sender's words", len(bob.got))
		}
		expect(t, "request", bob.take(), "subscribe alice@example.com")
	}
	// The owner lists the asker: the item shows and outlives the refusal.
	expect(t, "listed", w.iq(bob, "set", query(`<item jid='alice@example.com'/>`)),
		"set <item jid='alice@example.com' subscription='none'/>", "result")
	expect(t, "shown", w.iq(bob, "get", query("")), "result <item jid='alice@example.com' subscription='none'/>")
	_ = w.svc.Redeliver(t.Context(), bob.full)
	expect(t, "still asked", bob.take(), "subscribe alice@example.com")
	w.say(bob, "unsubscribed", "alice@example.com")
	if got := w.state("bob", "alice"); got != "None" {
		t.Errorf("listed asker after refusal: %s", got)
	}
	// A mere request leaves nothing.
	w.say(alice, "subscribe", "carol@example.com")
	w.say(alice, "unsubscribe", "carol@example.com")
	if got := w.state("carol", "alice"); got != "absent" {
		t.Errorf("withdrawn request: %s", got)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, typ, to, want string }{
		{"other server", "subscribe", "x@example.org", "error x@example.org remote-server-not-found"},
		{"the server itself", "subscribe", "example.com", "error example.com service-unavailable"},
		{"oneself", "subscribe", "alice@example.com", "error alice@example.com not-allowed"},
		{"no subscription", "probe", "bob@example.com", "error bob@example.com bad-request"},
	}
	w := newWorld(t, roster.Config{})
	alice := w.login("alice@example.com/a", true, true)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.say(alice, tt.typ, tt.to)
			expect(t, "reply", alice.take(), tt.want)
		})
	}
	w.say(alice, "subscribe", "nobody@example.com")
	expect(t, "unknown account", alice.take(), "set <item jid='nobody@example.com' subscription='none' ask='subscribe'/>")
}

func TestRemoveAndLeave(t *testing.T) {
	w := newWorld(t, roster.Config{})
	people := []roster.Friend{{JID: who("alice"), Name: "Alice"}, {JID: who("bob"), Name: "Bob", Groups: []string{"Team"}}, {JID: who("carol")}}
	if err := roster.Befriend(t.Context(), w.store, people); err != nil {
		t.Fatal(err)
	}
	alice, bob := w.login("alice@example.com/a", true, true), w.login("bob@example.com/b", true, true)
	expect(t, "remove", w.iq(alice, "set", query(`<item jid='bob@example.com' subscription='remove'/>`)),
		"set <item jid='bob@example.com' subscription='remove'/>", "result")
	expect(t, "removed", bob.take(),
		"unsubscribe alice@example.com", "set <item jid='alice@example.com' name='Alice' subscription='to'/>",
		"unsubscribed alice@example.com", "set <item jid='alice@example.com' name='Alice' subscription='none'/>")
	expect(t, "presence", w.presence.take(), "unavailable bob>alice", "unavailable alice>bob")

	if err := w.svc.Leave(t.Context(), who("carol")); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"alice", "bob"} {
		if got := w.state(n, "carol"); got != "None" {
			t.Errorf("%s and carol after she left: %s", n, got)
		}
		if list, _, err := w.svc.Subscribers(t.Context(), who(n)); err != nil || len(list) != 0 {
			t.Errorf("subscribers of %s: %v, %v", n, list, err)
		}
	}
}

// TestCrowd has many people ask one at the same time.
func TestCrowd(t *testing.T) {
	w := newWorld(t, roster.Config{})
	bob := w.login("bob@example.com/b", true, true)
	var wg sync.WaitGroup
	for i := range 50 {
		f := w.login(fmt.Sprintf("user%d@example.com/x", i), true, true)
		wg.Go(func() { w.say(f, "subscribe", "bob@example.com") })
	}
	wg.Wait()
	if got := len(bob.take()); got != 50 {
		t.Errorf("%d requests arrived", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t, roster.Config{CacheSize: 16})
	for i := range 1000 {
		if _, _, err := w.svc.Subscribers(t.Context(), who(fmt.Sprint("u", i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.svc.Cached(); n > 16 {
		t.Errorf("%d snapshots are held", n)
	}
}

func BenchmarkSubscribers(b *testing.B) {
	w := newWorld(&testing.T{}, roster.Config{})
	people := make([]roster.Friend, 200)
	for i := range people {
		people[i].JID = who(fmt.Sprint("u", i))
	}
	if err := roster.Befriend(b.Context(), w.store, people); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var list []jid.JID
	for b.Loop() {
		list, _, _ = w.svc.Subscribers(b.Context(), people[0].JID)
		_, _ = w.svc.MaySee(b.Context(), people[0].JID, people[100].JID)
	}
	if len(list) != 199 {
		b.Fatal(len(list))
	}
}
