package live_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
)

// With redis.replicas nothing is accepted that only the master has.
func TestWaitsForReplicas(t *testing.T) {
	r := redistest.Start(t)
	replica := redistest.StartReplica(t, r)
	c := goredis.NewClient(&goredis.Options{Addr: r.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	l, err := live.New(t.Context(), live.Config{
		Client: c, Prefix: "t:", Node: "n1", Replicas: 1, Timeout: 400 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		replica.Thaw()
		stop()
		<-ended
		_ = l.Close(context.Background())
	})
	alice, sid := &client{}, router.NewSID()
	must(t, l.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	r.Do("SCRIPT", "FLUSH") // the next goes another way
	must(t, l.Post(t.Context(), []router.SID{sid}, message("a")))
	replica.Freeze()
	if err := l.Post(t.Context(), []router.SID{sid}, message("b")); !errors.Is(err, router.ErrAway) {
		t.Fatalf("accepted: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Post(router.WithOrigin(t.Context(), "bob", 1), []router.SID{sid}, message("c")) }()
	pause(t, 300*time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	replica.Thaw()
	must(t, <-done)
	eventually(t, "messages", func() bool { return alice.ids() == "a c" || alice.ids() == "a b c" })
}
