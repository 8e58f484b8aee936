package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/discovery"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/web"
	"github.com/deskline/deskline/xmpp/jid"
)

// buildCluster joins the others if the node has a name among them.
func (n *node) buildCluster(ctx context.Context) error {
	c := n.cfg.Cluster
	if c.Node == "" {
		return nil
	}
	key, err := c.GossipKey()
	if err != nil {
		return fmt.Errorf("cluster.key: %w", err)
	}
	meta := cluster.Meta{PublicURL: strings.TrimRight(c.PublicURL, "/"), InternalURL: strings.TrimRight(c.InternalURL, "/"), Version: Version()}
	if n.cfg.BOSH.Enabled {
		meta.BOSH = n.cfg.BOSH.Paths[0]
	}
	if n.cfg.WebSocket.Enabled {
		meta.WebSocket = n.cfg.WebSocket.Path
	}
	n.members, err = cluster.Open(ctx, cluster.Config{
		Node: router.NodeID(c.Node), Listen: c.Listen, Advertise: c.Advertise, Key: key, Seeds: c.Seeds, SeedsFile: c.SeedsFile,
		Meta: meta, Proof: n.proof(), Changed: func(*cluster.View) { n.recovery.Kick() },
		Probing: cluster.Probing{Interval: c.Probe, Suspicion: c.Suspicion}, Log: n.log,
	})
	if err != nil {
		return err
	}
	var movers cluster.Mover
	if n.shared != nil {
		movers = mover{n}
	}
	var pairs []cluster.Pair
	for _, p := range c.AllPairs() {
		pairs = append(pairs, cluster.Pair{router.NodeID(p[0]), router.NodeID(p[1])})
	}
	n.recovery, err = cluster.NewRecovery(ctx, cluster.RecoveryConfig{
		Node: router.NodeID(c.Node), Mode: cluster.Mode(c.Mode), Pairs: pairs, Store: n.store, Members: n.members, Mover: movers, Heirs: n.shared != nil,
		Failover:     func(r cluster.Reason) { n.metrics.Failover(string(r)) },
		AutoFallback: c.AutoFallback, ServiceDelay: c.ServiceDelay, StartDelay: c.StartDelay,
		Relogin: cluster.Window{Lower: c.ReloginLower, Upper: c.ReloginUpper}, Log: n.log,
	})
	if err == nil && n.apart() {
		n.log.WarnContext(ctx, "the store of this node is its own: other nodes do not know its accounts, assignments and states", "store", n.cfg.Store.Kind)
	}
	return err
}

// proof is the second witness that a node is gone.
func (n *node) proof() cluster.Proof {
	if n.shared == nil {
		return cluster.Refused()
	}
	return cluster.AnyOf(cluster.Refused(), cluster.Lapsed(n.shared))
}

// apart reports whether other nodes cannot see what this one stores.
func (n *node) apart() bool {
	pairs := n.recovery.Plan().Pairs
	return n.options.Config.Store.Kind == "sqlite" && (len(pairs) > 1 || pairs[0][1] != "")
}

// report keeps what the others know of this node up to date until ctx ends.
func (n *node) report(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	told := 0
	for {
		ping, cancel := context.WithTimeout(ctx, reportEvery)
		healthy := n.store.Ping(ping) == nil
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		// What is told goes to every node: small changes of the load are not worth it.
		if now := n.sessions.Len(); now == 0 || max(now-told, told-now) > max(10, told/10) {
			told = now
		}
		err := n.members.Update(func(m *cluster.Meta) { m.Healthy, m.Sessions = healthy, uint64(told) })
		if err != nil {
			n.log.ErrorContext(ctx, "metadata of the node", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reportEvery is often enough for a load that is only looked at.
const reportEvery = 2 * time.Second

// leave says goodbye to the others.
func (n *node) leave(ctx context.Context) error {
	if n.members == nil {
		return nil
	}
	return n.members.Leave(ctx)
}

// aloneName stands for a node that has no name.
const aloneName = "local"

// Locate implements discovery.Directory. A node of which nobody ever heard has
// no address to tell; then its mate is all there is, and in the end this node.
func (n *node) Locate(user jid.JID, base string) discovery.Answer {
	if n.recovery == nil {
		return discovery.Answer{Primary: n.here(aloneName, base)}
	}
	plan := n.recovery.Plan()
	home := plan.Assign(user)
	a := discovery.Answer{Epoch: plan.Epoch, Primary: n.there(home.Primary), Secondary: n.there(home.Secondary)}
	if a.Primary.Name == "" {
		a.Primary, a.Secondary = a.Secondary, discovery.Node{}
	}
	if a.Primary.Name == "" {
		a.Primary = n.there(router.NodeID(n.options.Config.Cluster.Node))
	}
	return a
}

// here is this node at the address by which it was asked.
func (n *node) here(name, base string) discovery.Node {
	m := cluster.Meta{PublicURL: base}
	if n.options.Config.BOSH.Enabled {
		m.BOSH = n.options.Config.BOSH.Paths[0]
	}
	if n.options.Config.WebSocket.Enabled {
		m.WebSocket = n.options.Config.WebSocket.Path
	}
	d := discovery.Node{Name: name}
	d.BOSH, d.WebSocket = m.Doors()
	return d
}

// there is a node of the cluster, the zero value if its address is not known.
func (n *node) there(id router.NodeID) discovery.Node {
	if id == "" {
		return discovery.Node{}
	}
	d := discovery.Node{Name: string(id)}
	if d.BOSH, d.WebSocket = n.recovery.Reach(id).Doors(); d.BOSH == "" && d.WebSocket == "" {
		return discovery.Node{}
	}
	return d
}

// mates are the doors that host-meta names beside those of this node: its peer's.
func (n *node) mates() []web.Doors {
	peer := n.there(n.recovery.Plan().Peer(router.NodeID(n.options.Config.Cluster.Node)))
	if peer.Name == "" {
		return nil
	}
	return []web.Doors{{BOSH: peer.BOSH, WebSocket: peer.WebSocket}}
}

// mate is where clients of a WebSocket go when this node stops, "" if nowhere.
func (n *node) mate() string {
	if n.recovery == nil {
		return ""
	}
	return n.doorOf(n.recovery.Plan().Peer(router.NodeID(n.options.Config.Cluster.Node)), "websocket")
}

// livingMate returns the node that stands in for another one, "" if that does
// not live. A node that starts anew is its own heir.
func (n *node) livingMate(id router.NodeID) router.NodeID {
	if n.recovery == nil || id == router.NodeID(n.options.Config.Cluster.Node) {
		return ""
	}
	mate := n.recovery.Plan().Peer(id)
	if m, ok := n.members.View().Member(mate); !ok || m.State != cluster.Alive {
		return ""
	}
	return mate
}

// checkCluster tells operators who is there; the node is not ready while its
// users are to stay away.
func (n *node) checkCluster(context.Context) (string, error) {
	var words []string
	var err error
	for _, r := range n.recovery.Report() {
		words = append(words, fmt.Sprintf("%s %s (%s)", r.ID, liveness(r.Member), r.Status.State))
		if r.Drained && string(r.ID) == n.options.Config.Cluster.Node {
			err = fmt.Errorf("drained: users come back with: deskline cluster fallback %s", r.ID)
		}
	}
	return strings.Join(words, ", "), errors.Join(err, n.members.Conflict())
}

func liveness(m cluster.Member) string {
	if m.ID == "" {
		return "never seen"
	}
	return m.State.String()
}

// clusterMetrics are read from what is there anyway.
func (n *node) clusterMetrics() []admin.Labelled {
	if n.recovery == nil {
		return nil
	}
	return []admin.Labelled{
		{
			Name: "deskline_cluster_members", Help: "Nodes by what this node knows of them.", Labels: []string{"state"},
			Read: func(emit func(float64, ...string)) {
				count := n.members.View().Count()
				for _, l := range []cluster.Liveness{cluster.Alive, cluster.Doubtful, cluster.Dead, cluster.Left} {
					emit(float64(count[l]), l.String())
				}
			},
		},
		{
			Name: "deskline_cluster_node_state", Help: "1 for the state in which a node of the cluster is.", Labels: []string{"node", "state", "reason"},
			Read: func(emit func(float64, ...string)) {
				for _, r := range n.recovery.Report() {
					emit(1, string(r.ID), string(r.Status.State), string(r.Status.Reason))
				}
			},
		},
		{
			Name: "deskline_cluster_epoch", Help: "Latest change of assignments that this node knows.",
			Read: func(emit func(float64, ...string)) { emit(float64(n.recovery.Plan().Epoch)) },
		},
	}
}

// closeCluster ends gossip.
func (n *node) closeCluster() {
	if n.members == nil {
		return
	}
	if err := n.members.Close(); err != nil {
		n.log.Error("close cluster", "err", err)
	}
}
