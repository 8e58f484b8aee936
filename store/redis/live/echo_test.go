package live_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// A subscription may end up at a server that was the master and takes it all
// the same, where nobody rings.
func TestSubscriptionAtAnOldMaster(t *testing.T) {
	r, old := redistest.Start(t), redistest.Start(t)
	var astray atomic.Bool
	one := startLiveWith(t, &goredis.Options{Addr: r.Addr(), Protocol: 2, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if astray.Load() {
			addr = old.Addr()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}, "n1", time.Hour)
	two := startLive(t, r.Addr(), "n2")
	sid, c := router.NewSID(), &client{}
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), c))
	post := func(id string) { must(t, two.Post(t.Context(), []router.SID{sid}, message(id))) }
	post("m1")
	eventually(t, "m1", func() bool { return c.ids() == "m1" })

	subscribed := func(s *redistest.Server) bool { return strings.Contains(s.Do("PUBSUB", "CHANNELS"), "t:bell:n1") }
	astray.Store(true)
	r.Do("CLIENT", "KILL", "TYPE", "pubsub")
	eventually(t, "astray", func() bool { return subscribed(old) })
	astray.Store(false)
	post("m2")
	eventually(t, "m2", func() bool { return c.ids() == "m1 m2" })
	eventually(t, "back", func() bool { return subscribed(r) && !subscribed(old) })
}
