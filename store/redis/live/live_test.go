package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// client is a session that remembers what it got.
type client struct {
	mu      sync.Mutex
	got     []string
	numbers []uint64
}

func (c *client) DeliverNumbered(st *stanza.Stanza, _ []byte, number uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, st.ID)
	c.numbers = append(c.numbers, number)
	return nil
}

func (c *client) ids() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.got, " ")
}

func startLive(t *testing.T, addr string, node router.NodeID) *live.Shared {
	t.Helper()
	return startKeeping(t, addr, node, time.Hour)
}

func startKeeping(t *testing.T, addr string, node router.NodeID, keep time.Duration) *live.Shared {
	t.Helper()
	return startLiveWith(t, &goredis.Options{Addr: addr, Protocol: 2}, node, keep)
}

func startLiveWith(t *testing.T, o *goredis.Options, node router.NodeID, keep time.Duration) *live.Shared {
	t.Helper()
	c := goredis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	l, err := live.New(t.Context(), live.Config{
		Client: c, Prefix: "t:", Node: node, Lease: 400 * time.Millisecond, Keep: keep, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		_ = l.Close(context.Background())
	})
	return l
}

func message(id string) *stanza.Stanza {
	return &stanza.Stanza{Kind: stanza.KindMessage, Type: "chat", ID: id, From: jid.MustParse("bob@localhost/b"), To: jid.MustParse("alice@localhost/a")}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s: waited too long", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPostReachesTheSessionOfAnotherNode(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice := &client{}
	sid := router.NewSID()
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	var want []string
	for i := range 200 {
		id := fmt.Sprint(i)
		want = append(want, id)
		from := []*live.Shared{one, two}[i%2]
		must(t, from.Post(t.Context(), []router.SID{sid}, message(id)))
	}
	eventually(t, "all messages", func() bool { return alice.ids() == strings.Join(want, " ") })
	if err := two.Post(t.Context(), []router.SID{router.NewSID()}, message("x")); !errors.Is(err, router.ErrUndelivered) {
		t.Fatalf("posted to nobody: %v", err)
	}
}

func TestPostTakesARepeatedRequestOnce(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice := &client{}
	sid, sender := router.NewSID(), router.NewSID()
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	// Two messages of request 7 on one node; its owner dies, and 7 and 8 come to
	// the other node.
	for _, step := range []struct {
		node     *live.Shared
		request  uint64
		messages []string
	}{
		{one, 7, []string{"a", "b"}},
		{two, 7, []string{"a", "b", "c"}},
		{two, 8, []string{"d"}},
	} {
		ctx := router.WithOrigin(t.Context(), sender, step.request)
		for _, id := range step.messages {
			must(t, step.node.Post(ctx, []router.SID{sid}, message(id)))
			router.OriginOf(ctx).Next()
		}
	}
	eventually(t, "messages", func() bool { return alice.ids() == "a b c d" })
}

// Several letters of one post to the same session are different ones.
func TestSendTakesEachLetterOnce(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice, bob := &client{}, &client{}
	a, b, sender := router.NewSID(), router.NewSID(), router.NewSID()
	must(t, one.Enter(t.Context(), a, jid.MustParse("alice@localhost/a"), alice))
	must(t, one.Enter(t.Context(), b, jid.MustParse("bob@localhost/b"), bob))
	letter := func(to router.SID, id string) router.Letter {
		st := message(id)
		return router.Letter{To: to, Stanza: st, Frame: st.AppendXML(nil)}
	}
	for _, l := range []*live.Shared{one, two} { // the second time on another node
		ctx := router.WithOrigin(t.Context(), sender, 1)
		must(t, l.Send(ctx, []router.Letter{letter(a, "1"), letter(b, "2"), letter(a, "3"), letter(a, "4"), letter(b, "5")}))
		must(t, l.Send(ctx, []router.Letter{letter(a, "6"), letter(b, "7")}))
	}
	eventually(t, "letters", func() bool { return alice.ids() == "1 3 4 6" && bob.ids() == "2 5 7" })
}

func TestAdoptedSessionHasAllThatWasNotWrittenDown(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice, again := &client{}, &client{}
	sid := router.NewSID()
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	for _, id := range []string{"a", "b", "c"} {
		must(t, two.Post(t.Context(), []router.SID{sid}, message(id)))
	}
	eventually(t, "messages", func() bool { return alice.ids() == "a b c" })
	must(t, commit(one, sid, "state of a b", 2))

	owner, ok, err := two.OwnerOf(t.Context(), sid)
	if err != nil || !ok || owner != one.Me() {
		t.Fatalf("owner %v %v %v", owner, ok, err)
	}
	taken, ok, err := two.Adopt(t.Context(), sid, owner)
	if err != nil || !ok || string(taken.State) != "state of a b" || len(taken.Box) != 1 || taken.First != 3 {
		t.Fatalf("adopted %+v %v %v", taken, ok, err)
	}
	if _, ok, err := one.Adopt(t.Context(), sid, owner); ok || err != nil {
		t.Fatalf("adopted twice: %v", err)
	}
	must(t, one.Post(t.Context(), []router.SID{sid}, message("d")))
	two.Attach(t.Context(), sid, taken, again)
	must(t, one.Post(t.Context(), []router.SID{sid}, message("e")))
	eventually(t, "messages after", func() bool { return again.ids() == "c d e" })
	if err := commit(one, sid, "too late", 3); !errors.Is(err, live.ErrFenced) {
		t.Fatalf("the former owner writes: %v", err)
	}
	must(t, commit(two, sid, "state of all", 5))
	must(t, two.Drop(t.Context(), sid))
	if _, ok, _ := two.OwnerOf(t.Context(), sid); ok {
		t.Fatal("dropped and still there")
	}
}

// A state may reach Redis after a later one, over a connection that was given up.
func TestLateStateChangesNothing(t *testing.T) {
	r := redistest.Start(t)
	l := startLive(t, r.Addr(), "n1")
	sid := router.NewSID()
	must(t, l.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), &client{}))
	for _, id := range []string{"a", "b"} {
		must(t, l.Post(t.Context(), []router.SID{sid}, message(id)))
	}
	must(t, commit(l, sid, "with a", 1))
	number := r.Do("HGET", "t:s:{"+string(sid)+"}", "at")
	must(t, commit(l, sid, "with a and b", 2))
	script, err := os.ReadFile("lua/commit.lua")
	must(t, err)
	tag := "{" + string(sid) + "}"
	r.Do("EVAL", string(script), "3", "t:s:"+tag, "t:b:"+tag, "t:o:"+tag, l.Me().String(), "with a", "1", "60000", strings.TrimSpace(number))
	taken, ok, err := l.Adopt(t.Context(), sid, l.Me())
	if err != nil || !ok || string(taken.State) != "with a and b" {
		t.Fatalf("adopted %q %v %v", taken.State, ok, err)
	}
}

func commit(l *live.Shared, sid router.SID, state string, upto uint64) error {
	done := make(chan error, 1)
	l.Commit(sid, []byte(state), upto, func(err error) { done <- err })
	return <-done
}

func TestRegistryIsOneForAllNodes(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	full := jid.MustParse("alice@localhost/a")
	bare := full.Bare()
	lookup := func(l *live.Shared) []router.Binding {
		list, err := l.Lookup(t.Context(), bare)
		must(t, err)
		return list
	}
	gen, replaced, err := one.Bind(t.Context(), router.Binding{Full: full, SID: "s1", Node: "n1", Since: time.Now()})
	if err != nil || replaced != nil {
		t.Fatal(replaced, err)
	}
	eventually(t, "binding", func() bool { return len(lookup(two)) == 1 })
	pres := stanza.New(stanza.KindPresence, "", []byte("<show>away</show>"))
	pres.From = full
	must(t, one.Update(t.Context(), router.Binding{Full: full, SID: "s1", Node: "n1", Gen: gen, Priority: -5, Presence: pres, Since: time.Now()}))
	eventually(t, "presence", func() bool {
		list := lookup(two)
		return len(list) == 1 && list[0].Available() && list[0].Priority == -5 && list[0].SID == "s1" && list[0].Node == "n1" &&
			list[0].Presence.ChildText(stanza.NSClient, "show") == "away"
	})
	later, replaced, err := two.Bind(t.Context(), router.Binding{Full: full, SID: "s2", Node: "n2", Since: time.Now()})
	if err != nil || later <= gen || replaced == nil || replaced.SID != "s1" {
		t.Fatal(later, replaced, err)
	}
	// The older generation changes nothing any more.
	must(t, one.Update(t.Context(), router.Binding{Full: full, SID: "s1", Node: "n1", Gen: gen, Since: time.Now()}))
	must(t, one.Unbind(t.Context(), full, gen))
	eventually(t, "the later one", func() bool { list := lookup(one); return len(list) == 1 && list[0].SID == "s2" })
	must(t, two.Unbind(t.Context(), full, later))
	eventually(t, "none", func() bool { return len(lookup(one)) == 0 })
}

func TestLeaseLapses(t *testing.T) {
	r := redistest.Start(t)
	two := startLive(t, r.Addr(), "n2")
	c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	dead, err := live.New(t.Context(), live.Config{Client: c, Prefix: "t:", Node: "n1", Lease: 2 * time.Second, Log: slog.New(slog.DiscardHandler)})
	must(t, err) // nobody renews it
	alive := func(o live.Owner) bool {
		lease, err := two.LeaseOf(t.Context(), o)
		must(t, err)
		return lease.Held
	}
	if !alive(dead.Me()) {
		t.Fatal("lapsed at once")
	}
	eventually(t, "lapse", func() bool { return !alive(dead.Me()) })
	eventually(t, "renewal", func() bool { return alive(two.Me()) }) // late where the machine is loaded
}

func TestGoesOnAfterRedisWasAway(t *testing.T) {
	r := redistest.Start(t, "--appendfsync", "always")
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice := &client{}
	sid := router.NewSID()
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	must(t, two.Post(t.Context(), []router.SID{sid}, message("a")))
	r.Kill()
	if err := two.Post(t.Context(), []router.SID{sid}, message("lost")); err == nil {
		t.Fatal("accepted without Redis")
	}
	r.Start()
	eventually(t, "the second", func() bool { return two.Post(t.Context(), []router.SID{sid}, message("b")) == nil })
	eventually(t, "both", func() bool { return alice.ids() == "a b" })
}

// A session whose client says nothing is kept for as long as its node lives, and
// nothing is for longer.
func TestKeepsSilentSessions(t *testing.T) {
	r := redistest.Start(t)
	l, two := startKeeping(t, r.Addr(), "n1", time.Second), startKeeping(t, r.Addr(), "n2", time.Second)
	alice, full, sid := &client{}, jid.MustParse("alice@localhost/a"), router.NewSID()
	must(t, l.Enter(t.Context(), sid, full, alice))
	_, _, err := l.Bind(t.Context(), router.Binding{Full: full, SID: sid, Node: "n1", Since: time.Now()})
	must(t, err)
	pause(t, 2500*time.Millisecond)
	must(t, two.Post(t.Context(), []router.SID{sid}, message("late")))
	if list, err := two.Lookup(t.Context(), full.Bare()); err != nil || len(list) != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	l.Leave(sid) // as if the node had died
	eventually(t, "nothing is left", func() bool {
		return r.Do("EXISTS", "t:s:{"+string(sid)+"}", "t:b:{"+string(sid)+"}", "t:r:{alice@localhost}") == "0"
	})
}
