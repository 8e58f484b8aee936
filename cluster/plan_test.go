package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/quick"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

var (
	alice = jid.MustParse("alice@example.com")
	bob   = jid.MustParse("bob@example.com")
)

func user(i int) jid.JID { return jid.MustParse(fmt.Sprintf("user%d@example.com", i)) }

func plan(t testing.TB, mode cluster.Mode, explicit map[jid.JID]cluster.Home, pairs ...cluster.Pair) *cluster.Plan {
	t.Helper()
	p, err := cluster.NewPlan(1, mode, pairs, explicit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func home(primary, secondary router.NodeID) cluster.Home {
	return cluster.Home{Primary: primary, Secondary: secondary}
}

func TestAssign(t *testing.T) {
	ab, cd, e := cluster.Pair{"a", "b"}, cluster.Pair{"c", "d"}, cluster.Pair{"e"}
	explicit := map[jid.JID]cluster.Home{alice: home("d", "a"), bob: home("gone", "a"), user(1): home("b", "gone"), user(2): home("c", "")}
	for _, tt := range []struct {
		name string
		plan *cluster.Plan
		user jid.JID
		want cluster.Home
	}{
		{"explicit", plan(t, cluster.Balanced, explicit, ab, cd), alice, home("d", "a")},
		{"explicit wins over manual", plan(t, cluster.Manual, explicit, ab, cd), alice, home("d", "a")},
		{"a resource does not matter", plan(t, cluster.Balanced, explicit, ab, cd), jid.MustParse("alice@example.com/desk"), home("d", "a")},
		{"explicit to a node that is no more", plan(t, cluster.Manual, explicit, ab, cd), bob, home("a", "b")},
		{"explicit with a second that is no more", plan(t, cluster.Balanced, explicit, ab, cd), user(1), home("b", "a")},
		{"explicit without a second", plan(t, cluster.Balanced, explicit, ab, cd), user(2), home("c", "d")},
		{"manual", plan(t, cluster.Manual, nil, ab, cd), user(3), home("a", "b")},
		{"active-standby", plan(t, cluster.ActiveStandby, nil, ab), user(3), home("a", "b")},
		{"alone", plan(t, cluster.Balanced, nil, e), user(3), home("e", "")},
	} {
		if got := tt.plan.Assign(tt.user); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for name, pairs := range map[string][]cluster.Pair{
		"no pair": {}, "a node twice": {{"a", "b"}, {"b", "c"}}, "with itself": {{"a", "a"}}, "no first": {{"", "a"}},
	} {
		if _, err := cluster.NewPlan(1, cluster.Balanced, pairs, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestSpread shows that the nodes get even shares, and where some users are: no
// version may move them.
func TestSpread(t *testing.T) {
	const users = 20000
	pairs := []cluster.Pair{{"n1", "n2"}, {"n3", "n4"}, {"n5", ""}}
	for mode, nodes := range map[cluster.Mode]int{cluster.Balanced: 5, cluster.ActiveStandby: 3} {
		count := map[router.NodeID]int{}
		p := plan(t, mode, nil, pairs...)
		for i := range users {
			count[p.Assign(user(i)).Primary]++
		}
		if len(count) != nodes {
			t.Errorf("%s: users at %v", mode, count)
		}
		for node, n := range count {
			if fair := users / nodes; n < fair*9/10 || n > fair*11/10 {
				t.Errorf("%s: %d users at %s, a fair share is %d", mode, n, node, fair)
			}
		}
	}
	p := plan(t, cluster.Balanced, nil, pairs...)
	got := fmt.Sprint(p.Assign(alice).Primary, p.Assign(bob).Primary, p.Assign(user(7)).Primary, p.Assign(user(8)).Primary)
	if want := "n1n1n3n2"; got != want {
		t.Errorf("the users moved: %s, want %s", got, want)
	}
}

// TestMovesOnlyWhenItMust changes the nodes at random: nobody moves but from a
// node that has gone or to one that has come.
func TestMovesOnlyWhenItMust(t *testing.T) {
	f := func(seed uint64, standby bool) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		mode := cluster.Balanced
		if standby {
			mode = cluster.ActiveStandby
		}
		some := func() (pairs []cluster.Pair, nodes map[router.NodeID]bool) {
			nodes = map[router.NodeID]bool{}
			for i := range 8 {
				if r.IntN(3) == 0 && i+1 < 8 || i == 7 && len(pairs) == 0 {
					p := cluster.Pair{router.NodeID(fmt.Sprint("a", i)), router.NodeID(fmt.Sprint("b", i))}
					pairs = append(pairs, p)
					nodes[p[0]] = true
					if mode == cluster.Balanced {
						nodes[p[1]] = true
					}
				}
			}
			return pairs, nodes
		}
		before, had := some()
		after, has := some()
		p, q := plan(t, mode, nil, before...), plan(t, mode, nil, after...)
		for i := range 200 {
			from, to := p.Assign(user(i)).Primary, q.Assign(user(i)).Primary
			if from != to && has[from] && had[to] {
				t.Logf("%s moved from %s to %s, which both stay", user(i), from, to)
				return false
			}
		}
		return true
	}
	if err := quick.Check(f, nil); err != nil {
		t.Error(err)
	}
}

func TestWindow(t *testing.T) {
	w := cluster.Window{Lower: 120 * time.Second, Upper: 540 * time.Second}
	const users = 42000
	perMinute := make([]int, 7)
	atNode := map[router.NodeID]int{}
	p := plan(t, cluster.Balanced, nil, cluster.Pair{"n1", "n2"})
	for i := range users {
		at := w.Offset(user(i))
		if at < w.Lower || at >= w.Upper || at != w.Offset(user(i)) {
			t.Fatalf("%s at %s", user(i), at)
		}
		perMinute[(at-w.Lower)/time.Minute]++
		if at < w.Lower+time.Minute {
			atNode[p.Assign(user(i)).Primary]++
		}
	}
	for minute, n := range perMinute {
		if n < 5600 || n > 6400 {
			t.Errorf("%d users in minute %d", n, minute)
		}
	}
	if atNode["n1"] < 2700 || atNode["n2"] < 2700 {
		t.Errorf("in the first minute %v users come to the nodes", atNode)
	}
	for _, w := range []cluster.Window{{}, {Lower: time.Second}, {Lower: time.Second, Upper: time.Second}} {
		if got := w.Offset(alice); got != w.Lower {
			t.Errorf("%v: %s", w, got)
		}
	}
}

func BenchmarkAssign_1000Nodes(b *testing.B) {
	var pairs []cluster.Pair
	for i := range 500 {
		pairs = append(pairs, cluster.Pair{router.NodeID(fmt.Sprint("a", i)), router.NodeID(fmt.Sprint("b", i))})
	}
	p := plan(b, cluster.Balanced, nil, pairs...)
	b.ReportAllocs()
	for b.Loop() {
		p.Assign(alice)
	}
}
