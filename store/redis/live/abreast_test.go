package live_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// lateEar is a connection of which all that is heard over a subscription comes late.
type lateEar struct {
	net.Conn

	by       *atomic.Int64
	listener atomic.Bool
}

func (c *lateEar) Write(p []byte) (int, error) {
	if bytes.Contains(bytes.ToLower(p), []byte("\r\nsubscribe\r\n")) {
		c.listener.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lateEar) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if by := time.Duration(c.by.Load()); by > 0 && c.listener.Load() {
		<-time.After(by)
	}
	return n, err
}

// bound enters an available resource.
func bound(t *testing.T, l *live.Shared, node router.NodeID, full string) router.Binding {
	t.Helper()
	b := router.Binding{Full: jid.MustParse(full), SID: router.NewSID(), Node: node}
	gen, _, err := l.Bind(t.Context(), b)
	must(t, err)
	b.Gen = gen
	return b
}

// TestWhoComesSeesWhoCame has users come at two nodes at the same time, of which each holds what the other user was
// before: at least one of the nodes must see both, or nobody ever tells them of each other.
func TestWhoComesSeesWhoCame(t *testing.T) {
	r := redistest.Start(t)
	var late atomic.Int64
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &lateEar{Conn: c, by: &late}, err
	}
	one := startLive(t, r.Addr(), "n1")
	two := startLiveWith(t, &goredis.Options{Addr: r.Addr(), Protocol: 2, Dialer: dial}, "n2", time.Hour)
	alice, bob := bound(t, one, "n1", "alice@localhost/a"), bound(t, two, "n2", "bob@localhost/b")
	there := func(who router.Binding) bool {
		t.Helper()
		list, err := two.Lookup(t.Context(), who.Full.Bare())
		must(t, err)
		return len(list) == 1 && list[0].Available()
	}
	for _, wait := range []time.Duration{30 * time.Millisecond, 2 * time.Second} { // the second is longer than anybody waits
		for _, b := range []*router.Binding{&alice, &bob} {
			b.Presence = nil
		}
		must(t, one.Update(t.Context(), alice))
		must(t, two.Update(t.Context(), bob))
		eventually(t, "gone", func() bool { return !there(alice) && !there(bob) })
		for _, b := range []*router.Binding{&alice, &bob} {
			b.Presence = &stanza.Stanza{Kind: stanza.KindPresence, From: b.Full}
		}
		late.Store(int64(wait))
		must(t, one.Update(t.Context(), alice))
		must(t, two.Update(t.Context(), bob))
		if !there(alice) {
			t.Errorf("heard %s late: who came before is not seen", wait)
		}
		late.Store(0)
	}
	if err := one.Update(t.Context(), router.Binding{Full: alice.Full, Gen: alice.Gen + 1}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("of another generation: %v", err)
	}
}
