package cluster

import (
	"slices"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// NodeReport is all that is known of a node of the configuration, or of one that
// joined without being in it.
type NodeReport struct {
	ID      router.NodeID
	Pair    Pair // the zero value for a node in no pair
	Status  Status
	Drained bool
	Member  Member // ID is empty if it was never heard of
}

// Report returns the nodes in the order of the pairs, then those in none.
func (r *Recovery) Report() []NodeReport {
	view, plan := r.cfg.Members.View(), r.plan.Load()
	var list []NodeReport
	for _, pair := range plan.Pairs {
		p := r.standing(pair)
		for i, id := range pair {
			if id == "" {
				continue
			}
			n := NodeReport{ID: id, Pair: pair, Status: p.Standing[i], Drained: p.Drained[i]}
			n.Member, _ = view.Member(id)
			if pair[1] == "" {
				n.Status = lone(n.Member)
			}
			list = append(list, n)
		}
	}
	for _, m := range view.Members {
		if !plan.has(m.ID) {
			list = append(list, NodeReport{ID: m.ID, Status: lone(m), Member: m})
		}
	}
	return list
}

// Drained reports whether a node shall have no users.
func (r *Recovery) Drained(node router.NodeID) bool {
	pair, ok := r.plan.Load().PairOf(node)
	return ok && r.standing(pair).Drained[pair.Index(node)]
}

// Seat returns the node that has the users of a user's home now: that, or its
// mate. It is empty if neither lives, or none has them.
func (r *Recovery) Seat(user jid.JID) router.NodeID {
	home, view := r.plan.Load().Assign(user), r.cfg.Members.View()
	for _, id := range []router.NodeID{home.Primary, home.Secondary} {
		if id != "" && alive(view, id) && r.serves(id) {
			return id
		}
	}
	return ""
}

func (r *Recovery) serves(node router.NodeID) bool {
	pair, ok := r.plan.Load().PairOf(node)
	if !ok || pair[1] == "" {
		return ok
	}
	p, i := r.standing(pair), pair.Index(node)
	return !p.Drained[i] && slices.Contains([]State{Normal, Backup, FailedMode}, p.Standing[i].State)
}

// lone is the status of a node that nobody stands in for.
func lone(m Member) Status {
	s := Status{State: Unknown, Reason: NoHighAvailability, Since: m.Since}
	if m.ID != "" && m.State == Alive {
		s.State = Normal
	}
	return s
}

// Reach returns how clients reach a node: as it says itself, or as it last said
// if it is not heard of. It is empty if that was never known.
func (r *Recovery) Reach(node router.NodeID) Meta {
	if m, ok := r.cfg.Members.View().Member(node); ok && m.PublicURL != "" {
		return m.Meta
	}
	n := r.records.Load().nodes[node]
	return Meta{PublicURL: n.PublicURL, BOSH: n.BOSH, WebSocket: n.WebSocket}
}
