package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// desk is the cluster in the words of the admin package.
type desk struct{ n *node }

// Status implements admin.Cluster.
func (d desk) Status() admin.ClusterStatus {
	plan := d.n.recovery.Plan()
	s := admin.ClusterStatus{Node: d.n.options.Config.Cluster.Node, Epoch: plan.Epoch, Mode: string(plan.Mode)}
	for _, r := range d.n.recovery.Report() {
		m := r.Member
		row := admin.ClusterNode{
			Node: string(r.ID), Pair: r.Pair.ID(), State: string(r.Status.State), Reason: string(r.Status.Reason), Since: r.Status.Since,
			Member: liveness(m), Drained: r.Drained, Sessions: m.Sessions, Version: m.Version, PublicURL: d.n.recovery.Reach(r.ID).PublicURL,
		}
		if m.ID != "" {
			row.Gossip = m.Addr.String()
		}
		s.Nodes = append(s.Nodes, row)
	}
	return s
}

// Locate implements admin.Cluster.
func (d desk) Locate(user string) (admin.ClusterAssignment, error) {
	j, err := d.user(user)
	if err != nil {
		return admin.ClusterAssignment{}, err
	}
	return d.assignment(j, d.n.recovery.Plan().Assign(j)), nil
}

// Assign implements admin.Cluster.
func (d desk) Assign(ctx context.Context, user, primary, secondary string) (admin.ClusterAssignment, error) {
	j, err := d.user(user)
	if err != nil {
		return admin.ClusterAssignment{}, err
	}
	var home cluster.Home
	if primary == "" && secondary == "" {
		home, err = d.n.recovery.Unassign(ctx, j)
	} else {
		home, err = d.n.recovery.Assign(ctx, j, cluster.Home{Primary: router.NodeID(primary), Secondary: router.NodeID(secondary)})
	}
	if err != nil {
		return admin.ClusterAssignment{}, refusal(err)
	}
	a := d.assignment(j, home)
	if d.n.apart() {
		a.Warning = "only this node knows: its store is its own, so say the same on each node, or give all nodes one store"
	}
	return a, nil
}

func (d desk) assignment(user jid.JID, home cluster.Home) admin.ClusterAssignment {
	plan := d.n.recovery.Plan()
	_, explicit := plan.Explicit(user)
	return admin.ClusterAssignment{
		User: user.String(), Primary: string(home.Primary), Secondary: string(home.Secondary), Explicit: explicit, Epoch: plan.Epoch,
	}
}

// user reads a name as commands take it. Accounts may be elsewhere, hence
// nobody looks whether there is one.
func (d desk) user(text string) (jid.JID, error) {
	if text != "" && !strings.Contains(text, "@") {
		text += "@" + d.n.options.Config.Domains[0]
	}
	j, err := jid.Parse(text)
	if err != nil || j.Local() == "" {
		return jid.JID{}, admin.Refusal(fmt.Sprintf("%q is no user such as alice@%s", text, d.n.options.Config.Domains[0]))
	}
	for _, domain := range d.n.domains {
		if domain == j.DomainJID() {
			return j.Bare(), nil
		}
	}
	return jid.JID{}, admin.Refusal(fmt.Sprintf("%s is not served here, the domains are %s", j.Domain(), strings.Join(d.n.options.Config.Domains, ", ")))
}

// Order implements admin.Cluster.
func (d desk) Order(ctx context.Context, order, node string) error {
	act, ok := map[string]func(context.Context, router.NodeID) error{
		"failover": d.n.recovery.Failover, "fallback": d.n.recovery.Fallback, "recover": d.n.recovery.Recover, "drain": d.n.recovery.Drain,
	}[order]
	if !ok {
		return admin.Refusal("there is no order " + order)
	}
	return refusal(act(ctx, router.NodeID(node)))
}

// refusal passes on what the operator can do something about.
func refusal(err error) error {
	if r, ok := errors.AsType[*cluster.Refusal](err); ok {
		return admin.Refusal(r.Text)
	}
	return err
}
