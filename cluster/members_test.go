package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// peer is a running member.
type peer struct {
	*cluster.Members
	t    *testing.T
	id   router.NodeID
	stop func() // ends Run
	cut  *cut
}

// start runs a member on a free port of the loopback.
func start(t *testing.T, id string, change func(*cluster.Config)) *peer {
	t.Helper()
	p := &peer{t: t, id: router.NodeID(id), cut: &cut{}}
	cfg := cluster.Config{
		Node: p.id, Listen: "127.0.0.1:0", Proof: cluster.Refused(), Log: quiet(),
		Meta:    cluster.Meta{PublicURL: "https://" + id + ".example.com:5280", BOSH: "/http-bind", Version: "1", Healthy: true},
		Probing: cluster.Probing{Interval: 100 * time.Millisecond, Rejoin: 300 * time.Millisecond},
		Transport: func(inner memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			p.cut.NodeAwareTransport = inner
			return p.cut
		},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := cluster.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Members = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(p.kill)
	return p
}

// kill ends the member without a word; its port refuses from then on.
func (p *peer) kill() {
	p.stop()
	if err := p.Close(); err != nil {
		p.t.Error(err)
	}
}

// sees waits until p knows the others so: "n2 alive", and nobody else.
func (p *peer) sees(want ...string) {
	p.t.Helper()
	want = append(want, string(p.id)+" alive")
	slices.Sort(want)
	eventually(p.t, func() (string, bool) {
		var got []string
		for _, m := range p.View().Members {
			got = append(got, fmt.Sprint(m.ID, " ", m.State))
		}
		return fmt.Sprintf("%s sees %q, want %q", p.id, got, want), slices.Equal(got, want)
	})
}

// eventually polls until ok, for a time that a loaded machine does not need.
func eventually(t *testing.T, ok func() (string, bool)) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		text, done := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(text)
		}
	}
}

// seeded makes the others the seeds.
func seeded(others ...*peer) func(*cluster.Config) {
	return func(c *cluster.Config) {
		for _, o := range others {
			c.Seeds = append(c.Seeds, o.Addr())
		}
	}
}

// cut is a transport that loses what goes to some addresses.
type cut struct {
	memberlist.NodeAwareTransport

	mu   sync.Mutex // guards lost
	lost map[string]bool
}

var errCut = errors.New("cut off")

func (c *cut) lose(addrs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = map[string]bool{}
	for _, a := range addrs {
		c.lost[a] = true
	}
}

func (c *cut) off(addr string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost[addr]
}

func (c *cut) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if c.off(a.Addr) {
		return time.Now(), nil // as a network does
	}
	return c.NodeAwareTransport.WriteToAddress(b, a)
}

func (c *cut) WriteTo(b []byte, addr string) (time.Time, error) {
	return c.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (c *cut) DialAddressTimeout(a memberlist.Address, d time.Duration) (net.Conn, error) {
	if c.off(a.Addr) {
		return nil, errCut
	}
	return c.NodeAwareTransport.DialAddressTimeout(a, d)
}

func (c *cut) DialTimeout(addr string, d time.Duration) (net.Conn, error) {
	return c.DialAddressTimeout(memberlist.Address{Addr: addr}, d)
}

func TestJoinUpdateLeave(t *testing.T) {
	var mu sync.Mutex
	var epochs []uint64
	a := start(t, "n1", func(c *cluster.Config) {
		c.Changed = func(v *cluster.View) { mu.Lock(); epochs = append(epochs, v.Epoch); mu.Unlock() }
	})
	a.sees()
	b := start(t, "n2", seeded(a))
	c := start(t, "n3", seeded(a))
	for _, p := range []*peer{a, b, c} {
		others := map[router.NodeID]string{"n1": "n1 alive", "n2": "n2 alive", "n3": "n3 alive"}
		delete(others, p.id)
		var want []string
		for _, o := range others {
			want = append(want, o)
		}
		p.sees(want...)
	}
	m, ok := c.View().Member("n2")
	if !ok || m.PublicURL != "https://n2.example.com:5280" || m.Addr.String() != b.Addr() || !m.Healthy || m.Incarnation == 0 {
		t.Errorf("n3 knows of n2: %+v", m)
	}
	if err := b.Update(func(m *cluster.Meta) { m.Sessions, m.Draining, m.Epoch = 4711, true, 9 }); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b, c} {
		eventually(t, func() (string, bool) {
			m, _ := p.View().Member("n2")
			return fmt.Sprintf("%s: %+v", p.id, m), m.Sessions == 4711 && m.Draining && m.Epoch == 9
		})
	}
	if err := b.Update(func(m *cluster.Meta) { m.PublicURL = "https://" + strings.Repeat("x", 600) }); err == nil {
		t.Error("metadata without end")
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.kill()
	a.sees("n2 left", "n3 alive")
	c.sees("n1 alive", "n2 left")
	mu.Lock()
	defer mu.Unlock()
	if len(epochs) < 3 || !slices.IsSorted(epochs) {
		t.Errorf("views came as %d", epochs)
	}
}

func TestKilledAndBack(t *testing.T) {
	nodes := []*peer{start(t, "n1", nil)}
	for i := 2; i <= 5; i++ {
		nodes = append(nodes, start(t, fmt.Sprint("n", i), seeded(nodes[0])))
	}
	nodes[0].sees("n2 alive", "n3 alive", "n4 alive", "n5 alive")
	nodes[4].sees("n1 alive", "n2 alive", "n3 alive", "n4 alive")
	addr := nodes[2].Addr()
	before, _ := nodes[0].View().Member("n3")
	nodes[2].kill()
	nodes[0].sees("n2 alive", "n3 dead", "n4 alive", "n5 alive")
	nodes[4].sees("n1 alive", "n2 alive", "n3 dead", "n4 alive")
	back := start(t, "n3", func(c *cluster.Config) { c.Listen = addr; seeded(nodes[3])(c) })
	nodes[0].sees("n2 alive", "n3 alive", "n4 alive", "n5 alive")
	back.sees("n1 alive", "n2 alive", "n4 alive", "n5 alive")
	if after, _ := nodes[0].View().Member("n3"); after.Incarnation == before.Incarnation {
		t.Error("the new process passes for the old one")
	}
}

// TestPartition cuts three nodes into one and two. Nobody is dead, since no
// port refuses, and they find together again.
func TestPartition(t *testing.T) {
	a := start(t, "n1", nil)
	b := start(t, "n2", seeded(a))
	c := start(t, "n3", seeded(a))
	a.sees("n2 alive", "n3 alive")
	b.sees("n1 alive", "n3 alive")
	c.sees("n1 alive", "n2 alive")
	a.cut.lose(b.Addr(), c.Addr())
	b.cut.lose(a.Addr())
	c.cut.lose(a.Addr())
	a.sees("n2 doubtful", "n3 doubtful")
	b.sees("n1 doubtful", "n3 alive")
	c.sees("n1 doubtful", "n2 alive")
	for _, p := range []*peer{a, b, c} {
		p.cut.lose()
	}
	a.sees("n2 alive", "n3 alive")
	b.sees("n1 alive", "n3 alive")
	c.sees("n1 alive", "n2 alive")
}

// lapses is Leases whose nodes hold theirs until they are in lapsed.
type lapses struct{ lapsed sync.Map }

func (l *lapses) Lapsed(_ context.Context, node router.NodeID) (bool, error) {
	_, ok := l.lapsed.Load(string(node))
	return ok, nil
}

// TestLapsedLease shows the other second proof, for machines that cannot be
// reached at all.
func TestLapsedLease(t *testing.T) {
	leases := &lapses{}
	proof := func(c *cluster.Config) { c.Proof = cluster.AnyOf(cluster.Refused(), cluster.Lapsed(leases)) }
	a := start(t, "n1", proof)
	b := start(t, "n2", func(c *cluster.Config) { proof(c); seeded(a)(c) })
	a.sees("n2 alive")
	b.sees("n1 alive")
	a.cut.lose(b.Addr())
	b.cut.lose(a.Addr())
	a.sees("n2 doubtful")
	b.sees("n1 doubtful")
	leases.lapsed.Store("n1", true)
	b.sees("n1 dead")
	a.sees("n2 doubtful")
}

func TestKey(t *testing.T) {
	key := func(text string) func(*cluster.Config) { return func(c *cluster.Config) { c.Key = []byte(text) } }
	a := start(t, "n1", key("0123456789abcdef"))
	both := func(text string) func(*cluster.Config) {
		return func(c *cluster.Config) { key(text)(c); seeded(a)(c) }
	}
	start(t, "n2", both("another key, too"))
	start(t, "n3", seeded(a))
	start(t, "n4", both("0123456789abcdef")).sees("n1 alive")
	a.sees("n4 alive")
}

func TestSeedsFile(t *testing.T) {
	a := start(t, "n1", nil)
	file := filepath.Join(t.TempDir(), "seeds")
	b := start(t, "n2", func(c *cluster.Config) { c.SeedsFile = file }) // not there yet
	b.sees()
	_, port, _ := net.SplitHostPort(a.Addr())
	if err := os.WriteFile(file, []byte("# nodes\n\nlocalhost:"+port+" # a name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.sees("n1 alive")
}

func TestOneNameTwice(t *testing.T) {
	a := start(t, "n1", nil)
	b := start(t, "n2", seeded(a))
	a.sees("n2 alive")
	start(t, "n2", seeded(a, b))
	eventually(t, func() (string, bool) {
		err := b.Conflict()
		return fmt.Sprint(err), err != nil && strings.Contains(err.Error(), "cluster.node")
	})
	if err := a.Conflict(); err != nil {
		t.Errorf("n1 has its name alone, but: %v", err)
	}
}

func TestOpenFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*cluster.Config)
		want   string
	}{
		{"no port", func(c *cluster.Config) { c.Listen = "127.0.0.1" }, "127.0.0.1"},
		{"advertised nonsense", func(c *cluster.Config) { c.Advertise = "no.such.host.invalid:1" }, "no.such.host.invalid"},
		{"key of no length", func(c *cluster.Config) { c.Key = []byte("short") }, "key"},
		{"long metadata", func(c *cluster.Config) { c.Meta.PublicURL = "https://" + strings.Repeat("x", 600) }, "cluster.public_url"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := cluster.Config{Node: "n1", Listen: "127.0.0.1:0", Log: quiet()}
			tt.change(&cfg)
			m, err := cluster.Open(t.Context(), cfg)
			if err == nil {
				_ = m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}
