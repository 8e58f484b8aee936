package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
)

// gossip is a membership that tests set.
type gossip struct {
	mu   sync.Mutex
	view *cluster.View
}

func (g *gossip) View() *cluster.View { g.mu.Lock(); defer g.mu.Unlock(); return g.view }

func (g *gossip) Update(change func(*cluster.Meta)) error {
	g.mu.Lock()
	self := g.view.Self
	g.mu.Unlock()
	g.set(self, func(m *cluster.Member) { change(&m.Meta) })
	return nil
}

func (g *gossip) set(id router.NodeID, change func(*cluster.Member)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := *g.view
	next.Members = append([]cluster.Member(nil), next.Members...)
	for i := range next.Members {
		if next.Members[i].ID == id {
			change(&next.Members[i])
			g.view = &next
			return
		}
	}
	m := cluster.Member{ID: id, Meta: cluster.Meta{Healthy: true, Incarnation: 1, PublicURL: "https://" + string(id) + ".example.com", BOSH: "/b"}}
	change(&m)
	next.Members = append(next.Members, m)
	g.view = &next
}

// mover notes what it is told to move.
type mover struct {
	mu    sync.Mutex
	moves []string
	err   error
	slow  bool // until its context ends
}

func (m *mover) Move(ctx context.Context, x cluster.Move) error {
	m.mu.Lock()
	text := fmt.Sprintf("%s>%s gone=%t window=%s", x.From, x.To, x.Gone, x.Window.Upper)
	if !x.Mine(alice) || !x.Mine(bob) {
		text += " some"
	}
	m.moves = append(m.moves, text)
	slow, err := m.slow, m.err
	m.mu.Unlock()
	if slow {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (m *mover) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.Join(m.moves, "; ")
	m.moves = nil
	return text
}

// desk is a node of the tests below.
type desk struct {
	*cluster.Recovery
	gossip *gossip
	mover  *mover
	stop   func()
}

// pairOf starts n1 and n2 over one store.
func pairOf(t *testing.T, store cluster.Store, change func(*cluster.RecoveryConfig)) (a, b *desk) {
	t.Helper()
	var desks []*desk
	for _, id := range []router.NodeID{"n1", "n2"} {
		d := &desk{gossip: &gossip{view: &cluster.View{Self: id}}, mover: &mover{}}
		for _, other := range []router.NodeID{"n1", "n2"} {
			d.gossip.set(other, func(*cluster.Member) {})
		}
		cfg := cluster.RecoveryConfig{
			Node: id, Mode: cluster.Balanced, Pairs: []cluster.Pair{{"n1", "n2"}}, Store: store, Members: d.gossip, Mover: d.mover,
			ServiceDelay: 90 * time.Second, StartDelay: 2 * time.Minute, Relogin: cluster.Window{Upper: time.Minute}, Log: quiet(),
		}
		if change != nil {
			change(&cfg)
		}
		r, err := cluster.NewRecovery(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		d.Recovery = r
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Run(ctx) }()
		d.stop = sync.OnceFunc(func() { cancel(); <-done })
		t.Cleanup(d.stop)
		desks = append(desks, d)
	}
	return desks[0], desks[1]
}

// soon lets the nodes look at things.
func soon() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

func (d *desk) wants(t *testing.T, first, second cluster.Status) {
	t.Helper()
	list := d.Report()
	got := []cluster.Status{list[0].Status, list[1].Status}
	got[0].Since, got[1].Since = time.Time{}, time.Time{}
	if got[0] != first || got[1] != second {
		t.Fatalf("%v and %v, want %v and %v", got[0], got[1], first, second)
	}
}

var normal = status(cluster.Normal, "")

func (d *desk) moved(t *testing.T, want string) {
	t.Helper()
	if got := d.mover.take(); got != want {
		t.Fatalf("moved %q, want %q", got, want)
	}
}

// away is a store that can fail.
type away struct {
	cluster.Store
	mu  sync.Mutex
	err error
}

func (s *away) set(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.err = err }

func (s *away) ClusterEpoch(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.Store.ClusterEpoch(ctx)
}
