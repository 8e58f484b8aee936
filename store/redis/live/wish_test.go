package live_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
)

// A node that lives is an owner, whatever others thought of it.
func TestForgottenOwner(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	must(t, one.Forget(t.Context(), two.Me()))
	eventually(t, "the owner is back", func() bool {
		all, err := one.Owners(t.Context())
		return err == nil && slices.Contains(all, two.Me())
	})
}

func TestWish(t *testing.T) {
	r := redistest.Start(t)
	type wish struct {
		sid router.SID
		to  live.Owner
	}
	wishes := make(chan wish, 1)
	c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	one, err := live.New(t.Context(), live.Config{
		Client: c, Prefix: "t:", Node: "n1", Lease: 400 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Wished: func(sid router.SID, to live.Owner) { wishes <- wish{sid, to} },
	})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- one.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		_ = one.Close(context.Background())
	})
	two := startLive(t, r.Addr(), "n2")

	sid := router.NewSID().BornAt("n1")
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), &client{}))
	must(t, commit(one, sid, "state", 0))
	var got wish
	eventually(t, "the wish", func() bool { // it is lost while n1 does not listen yet
		must(t, two.Wish(t.Context(), sid, one.Me()))
		select {
		case got = <-wishes:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	if got.sid != sid || got.to != two.Me() {
		t.Fatalf("wish %+v", got)
	}
	for i, want := range []bool{true, false} {
		if ok, err := one.Grant(t.Context(), sid, two.Me()); ok != want || err != nil {
			t.Fatalf("grant %d: %t %v", i, ok, err)
		}
	}
	if o, ok, err := two.OwnerOf(t.Context(), sid); !ok || err != nil || o != two.Me() {
		t.Fatalf("owner %v %t %v", o, ok, err)
	}
	taken, ok, err := two.Adopt(t.Context(), sid, two.Me())
	if !ok || err != nil || string(taken.State) != "state" {
		t.Fatalf("%+v %t %v", taken, ok, err)
	}
	for owner, want := range map[live.Owner]int{one.Me(): 0, two.Me(): 1} {
		if sids, err := two.SessionsOf(t.Context(), owner); err != nil || len(sids) != want {
			t.Errorf("%s has %v %v", owner, sids, err)
		}
	}
}
