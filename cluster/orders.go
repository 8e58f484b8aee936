package cluster

import (
	"context"
	"strings"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// What administrators order is a *Refusal if it cannot be done; then nothing
// has changed.

// Assign gives a user a home, whether there is such a user or not. Without a
// secondary node it is the peer of the primary one.
func (r *Recovery) Assign(ctx context.Context, user jid.JID, home Home) (Home, error) {
	plan := r.plan.Load()
	if home.Secondary == "" {
		home.Secondary = plan.Peer(home.Primary)
	}
	for _, node := range []router.NodeID{home.Primary, home.Secondary} {
		if !plan.has(node) && (node != "" || home.Primary == "") {
			return Home{}, r.noNode(node)
		}
	}
	if home.Primary == home.Secondary {
		return Home{}, refuse("the secondary node must be another one than the primary, %s", home.Primary)
	}
	return r.save(ctx, Assignment{User: user.Bare(), Home: home})
}

// Unassign takes the assignment of a user back, so that the mode decides.
func (r *Recovery) Unassign(ctx context.Context, user jid.JID) (Home, error) {
	if _, ok := r.plan.Load().Explicit(user); !ok {
		return Home{}, refuse("%s has no assignment of its own, there is nothing to take back", user.Bare())
	}
	return r.save(ctx, Assignment{User: user.Bare()})
}

func (r *Recovery) save(ctx context.Context, a Assignment) (Home, error) {
	if _, err := r.cfg.Store.SaveAssignments(ctx, []Assignment{a}); err != nil {
		return Home{}, err
	}
	if err := r.load(ctx); err != nil {
		return Home{}, err
	}
	r.cfg.Log.InfoContext(ctx, "user assigned", "jid", a.User.String(), "primary", a.Home.Primary, "secondary", a.Home.Secondary)
	return r.plan.Load().Assign(a.User), nil
}

// Failover moves the users of a node to its peer.
func (r *Recovery) Failover(ctx context.Context, node router.NodeID) error {
	return r.order(ctx, node, Event{Kind: Failover, Reason: OnAdminRequest}, nil)
}

// Drain is Failover of a node that shall not get users again before a fallback:
// it takes no new sessions and says that it is not ready. A node without users
// is only marked.
func (r *Recovery) Drain(ctx context.Context, node router.NodeID) error {
	return r.order(ctx, node, Event{Kind: Failover, Reason: OnAdminRequest}, func(p *pairRecord, i int) bool {
		p.Drained[i] = true
		return p.Standing[i].State == Idle
	})
}

// Fallback moves the users of a node back from its peer.
func (r *Recovery) Fallback(ctx context.Context, node router.NodeID) error {
	return r.order(ctx, node, Event{Kind: Fallback, Reason: OnAdminRequest}, func(p *pairRecord, i int) bool {
		p.Drained[i] = false
		return false
	})
}

// Recover lets the pair of a node begin anew after it has failed.
func (r *Recovery) Recover(ctx context.Context, node router.NodeID) error {
	return r.order(ctx, node, Event{Kind: Recover}, nil)
}

// order takes an administrator's event into the pair of a node; also marks it,
// and may report that there is nothing more to do.
func (r *Recovery) order(ctx context.Context, node router.NodeID, e Event, also func(*pairRecord, int) bool) error {
	pair, ok := r.plan.Load().PairOf(node)
	if !ok {
		return r.noNode(node)
	}
	peer := r.plan.Load().Peer(node)
	if peer == "" {
		return refuse("%s stands alone in cluster.pairs (%s): give it a peer there, and restart all nodes", node, NoHighAvailability)
	}
	if e.Kind != Recover {
		if r.cfg.Mover == nil {
			return refuse("this node cannot hand over sessions, so nothing was moved; if %s has to go, stop it, and its users sign in anew at %s", node, peer)
		}
		for _, id := range []router.NodeID{node, peer} {
			if !alive(r.cfg.Members.View(), id) {
				return refuse("%s is not alive, start it first: cluster status shows the members", id)
			}
		}
	}
	e.Node = pair.Index(node)
	if err := r.load(ctx); err != nil {
		return err
	}
	err := r.change(ctx, pair, func(p *pairRecord) error {
		if also != nil && also(p, e.Node) {
			return nil
		}
		next, err := Step(p.Standing, e, time.Now())
		p.Standing = next
		return err
	})
	if err != nil {
		return err
	}
	r.cfg.Log.InfoContext(ctx, "ordered by an administrator", "event", e.Kind.String(), "node", node)
	r.Kick()
	return nil
}

func (r *Recovery) noNode(node router.NodeID) error {
	var names []string
	for _, p := range r.plan.Load().Pairs {
		for _, id := range p {
			if id != "" {
				names = append(names, string(id))
			}
		}
	}
	return refuse("there is no node %q in cluster.pairs, the nodes are %s", node, strings.Join(names, ", "))
}
