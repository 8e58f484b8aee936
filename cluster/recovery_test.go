package cluster_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
)

func TestPeerDiesAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := pairOf(t, cluster.NewMemoryStore(), func(c *cluster.RecoveryConfig) { c.AutoFallback = 30 * time.Minute })
		soon()
		b.wants(t, normal, normal)
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Doubtful })
		time.Sleep(10 * time.Minute)
		b.wants(t, normal, normal)
		b.moved(t, "")
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), func(c *cluster.RecoveryConfig) { c.AutoFallback = 30 * time.Minute })
		soon()
		a.stop()
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Dead })
		soon()
		b.moved(t, "n1>n2 gone=true window=0s")
		b.wants(t, status(cluster.Unknown, ""), status(cluster.Backup, cluster.PeerDown))
		b.gossip.set("n1", func(m *cluster.Member) { m.State, m.Incarnation = cluster.Alive, 2 })
		soon()
		b.wants(t, status(cluster.FailedOver, cluster.Initialization), status(cluster.Backup, cluster.PeerDown))
		time.Sleep(29 * time.Minute)
		b.moved(t, "")
		time.Sleep(2 * time.Minute)
		b.moved(t, "n2>n1 gone=false window=1m0s")
		b.wants(t, normal, normal)
	})
}

func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), nil)
		soon()
		refused := func(err error, want string) {
			t.Helper()
			if r, ok := errors.AsType[*cluster.Refusal](err); !ok || !strings.Contains(r.Text, want) {
				t.Fatalf("error %v, want %q", err, want)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		refused(a.Failover(t.Context(), "n9"), "n1, n2")
		refused(a.Fallback(t.Context(), "n1"), "Normal")
		refused(a.Recover(t.Context(), "n1"), "Failed Mode")
		// Any node takes the order; the one that has the sessions moves them.
		must(b.Failover(t.Context(), "n1"))
		soon()
		a.moved(t, "n1>n2 gone=false window=0s")
		b.moved(t, "")
		idle := status(cluster.Idle, cluster.OnAdminRequest)
		backup := status(cluster.Backup, cluster.OnAdminRequest)
		a.wants(t, idle, backup)
		b.wants(t, idle, backup)
		refused(a.Failover(t.Context(), "n1"), "Idle")
		must(a.Drain(t.Context(), "n1"))
		soon()
		if self, _ := a.gossip.View().Member("n1"); !self.Draining || !b.Report()[0].Drained {
			t.Fatal("the drained node does not say so")
		}
		time.Sleep(10 * time.Minute)
		a.wants(t, idle, backup)
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Doubtful })
		refused(b.Fallback(t.Context(), "n1"), "n1 is not alive")
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Alive })
		must(b.Fallback(t.Context(), "n1"))
		soon()
		a.wants(t, normal, normal)
		b.moved(t, "n2>n1 gone=false window=1m0s")
		if self, _ := a.gossip.View().Member("n1"); self.Draining {
			t.Fatal("still draining after the fallback")
		}
		b.mover.err = errors.New("no way")
		must(a.Drain(t.Context(), "n2"))
		soon()
		failed := status(cluster.FailedMode, cluster.TakeOverFailed)
		a.wants(t, failed, failed)
		b.mover.err = nil
		must(a.Recover(t.Context(), "n1"))
		soon()
		a.wants(t, normal, normal)
	})
}

// TestOwnUsersGoHome shows that a fallback leaves the users of the backup.
func TestOwnUsersGoHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), nil)
		if _, err := a.Assign(t.Context(), alice, home("n2", "n1")); err != nil {
			t.Fatal(err)
		}
		soon()
		if got := b.Plan().Assign(alice); got != home("n2", "n1") {
			t.Fatalf("n2 sends alice to %v", got)
		}
		for _, order := range []func(context.Context, router.NodeID) error{a.Failover, a.Fallback} {
			if err := order(t.Context(), "n1"); err != nil {
				t.Fatal(err)
			}
			soon()
		}
		b.moved(t, "n2>n1 gone=false window=1m0s some")
	})
}

// TestSeat follows a user from node to node.
func TestSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), nil)
		if _, err := a.Assign(t.Context(), alice, home("n1", "n2")); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			order func(context.Context, router.NodeID) error
			want  router.NodeID
		}{{nil, "n1"}, {a.Failover, "n2"}, {a.Fallback, "n1"}, {b.Drain, "n2"}, {a.Fallback, "n1"}} {
			if step.order != nil {
				if err := step.order(t.Context(), "n1"); err != nil {
					t.Fatal(err)
				}
			}
			soon()
			if x, y := a.Seat(alice), b.Seat(alice); x != step.want || y != step.want {
				t.Errorf("alice is at %s, says n1, and %s, says n2; want %s", x, y, step.want)
			}
		}
		if a.Drained("n1") || a.Drained("n3") {
			t.Error("drained")
		}
	})
}

func TestWithoutMover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), func(c *cluster.RecoveryConfig) { c.Mover, c.AutoFallback = nil, time.Minute })
		soon()
		for name, order := range map[string]func(context.Context, router.NodeID) error{"failover": a.Failover, "fallback": a.Fallback, "drain": a.Drain} {
			if err := order(t.Context(), "n1"); err == nil || !strings.Contains(err.Error(), "cannot hand over sessions") {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.gossip.set("n2", func(m *cluster.Member) { m.Healthy = false })
		time.Sleep(10 * time.Minute)
		a.wants(t, normal, normal)
		a.stop()
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Left })
		soon()
		b.wants(t, status(cluster.Unknown, ""), status(cluster.Backup, cluster.PeerReboot))
	})
}

func TestServicesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), nil)
		soon()
		for _, d := range []*desk{a, b} {
			d.gossip.set("n1", func(m *cluster.Member) { m.Healthy = false })
		}
		time.Sleep(80 * time.Second)
		a.wants(t, normal, normal)
		time.Sleep(20 * time.Second)
		a.wants(t, status(cluster.FailedCritical, cluster.CriticalDown), status(cluster.Backup, cluster.CriticalDown))
		a.moved(t, "n1>n2 gone=false window=0s")
		for _, d := range []*desk{a, b} {
			d.gossip.set("n1", func(m *cluster.Member) { m.Healthy = true })
		}
		soon()
		b.wants(t, status(cluster.FailedOver, cluster.CriticalDown), status(cluster.Backup, cluster.CriticalDown))
		for _, d := range []*desk{a, b} {
			d.gossip.set("n2", func(m *cluster.Member) { m.Healthy = false })
		}
		time.Sleep(2 * time.Minute)
		b.wants(t, status(cluster.Backup, cluster.CriticalDown), status(cluster.FailedCritical, cluster.CriticalDown))
		b.moved(t, "n2>n1 gone=false window=0s")
	})
}

// TestMoverDies lets the node that gives its users away die half way.
func TestMoverDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pairOf(t, cluster.NewMemoryStore(), nil)
		soon()
		a.mover.slow = true
		if err := b.Failover(t.Context(), "n1"); err != nil {
			t.Fatal(err)
		}
		soon()
		b.wants(t, status(cluster.FailingOver, cluster.OnAdminRequest), status(cluster.TakingOver, cluster.OnAdminRequest))
		a.stop()
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Dead })
		soon()
		b.moved(t, "n1>n2 gone=true window=0s")
		b.wants(t, status(cluster.Unknown, ""), status(cluster.Backup, cluster.PeerDown))
	})
}

// TestPeerNeverThere starts a node whose peer does not show up.
func TestPeerNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cluster.NewMemoryStore()
		g := &gossip{view: &cluster.View{Self: "n1"}}
		g.set("n1", func(*cluster.Member) {})
		r, err := cluster.NewRecovery(t.Context(), cluster.RecoveryConfig{
			Node: "n1", Mode: cluster.Balanced, Pairs: []cluster.Pair{{"n1", "n2"}, {"n3"}}, Store: store, Members: g, StartDelay: 2 * time.Minute, Log: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = r.Run(t.Context()) }()
		d := &desk{Recovery: r}
		soon()
		d.wants(t, normal, status(cluster.Unknown, ""))
		time.Sleep(2 * time.Minute)
		d.wants(t, status(cluster.Backup, cluster.PeerDownAtStart), status(cluster.Unknown, ""))
		if err := r.Failover(t.Context(), "n3"); err == nil || !strings.Contains(err.Error(), "stands alone") {
			t.Error(err)
		}
		if got := r.Report()[2].Status; got.State != cluster.Unknown || got.Reason != cluster.NoHighAvailability {
			t.Error(got)
		}
	})
}

func TestAssignments(t *testing.T) {
	store := cluster.NewMemoryStore()
	a, _ := pairOf(t, store, nil)
	epoch := a.Plan().Epoch
	if epoch == 0 {
		t.Fatal("the first layout has no epoch")
	}
	for _, tt := range []struct {
		name string
		home cluster.Home
		want string // of the error
		got  cluster.Home
	}{
		{"both named", home("n2", "n1"), "", home("n2", "n1")},
		{"the peer is the second", home("n1", ""), "", home("n1", "n2")},
		{"no such node", home("n7", ""), "n1, n2", cluster.Home{}},
		{"no such second", home("n1", "n7"), "n1, n2", cluster.Home{}},
		{"no node", cluster.Home{}, "n1, n2", cluster.Home{}},
		{"itself", home("n1", "n1"), "another", cluster.Home{}},
	} {
		got, err := a.Assign(t.Context(), alice, tt.home)
		if got != tt.got || tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
	if now := a.Plan().Epoch; now != epoch+2 {
		t.Errorf("epoch %d after two changes of %d", now, epoch)
	}
	free := cluster.Home{}
	if got, err := a.Unassign(t.Context(), alice); err != nil || got == free {
		t.Error(got, err)
	}
	if _, err := a.Unassign(t.Context(), alice); err == nil {
		t.Error("taken back twice")
	}
	// The same pairs keep the epoch, others raise it.
	epoch = a.Plan().Epoch
	for _, tt := range []struct {
		mode cluster.Mode
		want uint64
	}{{cluster.Balanced, epoch}, {cluster.Manual, epoch + 1}, {cluster.Manual, epoch + 1}} {
		b, _ := pairOf(t, store, func(c *cluster.RecoveryConfig) { c.Mode = tt.mode })
		if got := b.Plan().Epoch; got != tt.want {
			t.Errorf("%s: epoch %d, want %d", tt.mode, got, tt.want)
		}
	}
}

// TestReach shows that a node is known of though it was never heard of.
func TestReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := cluster.NewMemoryStore()
		a, b := pairOf(t, store, nil)
		soon()
		a.stop()
		b.stop()
		g := &gossip{view: &cluster.View{Self: "n1"}}
		again, err := cluster.NewRecovery(t.Context(), cluster.RecoveryConfig{
			Node: "n1", Mode: cluster.Balanced, Pairs: []cluster.Pair{{"n1", "n2"}}, Store: store, Members: g, Log: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if bosh, _ := again.Reach("n2").Doors(); bosh != "https://n2.example.com/b" {
			t.Errorf("n2 is at %q", bosh)
		}
	})
}

func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &away{Store: cluster.NewMemoryStore()}
		a, b := pairOf(t, store, nil)
		soon()
		gone := errors.New("no store")
		store.set(gone)
		b.gossip.set("n1", func(m *cluster.Member) { m.State = cluster.Dead })
		soon()
		b.wants(t, normal, normal)
		if err := b.Failover(t.Context(), "n2"); err == nil {
			t.Error("ordered without a store")
		}
		if got := b.Plan().Assign(alice); got.Primary == "" {
			t.Error("nobody is assigned any more")
		}
		if m := b.Reach("n1"); m.PublicURL != "https://n1.example.com" {
			t.Errorf("n1 is at %q", m.PublicURL)
		}
		a.stop()
		store.set(nil)
		soon()
		b.wants(t, status(cluster.Unknown, ""), status(cluster.Backup, cluster.PeerDown))
		b.moved(t, "n1>n2 gone=true window=0s")
	})
}
