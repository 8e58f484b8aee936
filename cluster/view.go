package cluster

import (
	"net/netip"
	"time"

	"github.com/deskline/deskline/router"
)

// Liveness is what is known of a member.
type Liveness uint8

// A member goes from Alive to Doubtful when gossip gives it up, and on to Dead
// when a [Proof] agrees; a word of it makes it Alive again at any time.
const (
	Alive    Liveness = iota
	Doubtful          // gossip has lost it; it may only be loaded or cut off
	Dead              // and there is proof that it is gone
	Left              // it said goodbye
)

// String returns the name that operators see.
func (l Liveness) String() string {
	return [...]string{"alive", "doubtful", "dead", "left"}[l]
}

// MarshalText implements encoding.TextMarshaler.
func (l Liveness) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Member is a node of the cluster.
type Member struct {
	ID    router.NodeID
	Addr  netip.AddrPort // of its gossip
	State Liveness
	Since time.Time // of State, as this node saw it
	Meta
}

// View is the membership at one moment, as one node sees it. It is shared and
// must not be changed.
type View struct {
	Epoch   uint64 // raised with each view; of this node alone
	Self    router.NodeID
	Members []Member // this node and all it ever heard of, by ID
}

// Member finds a member.
func (v *View) Member(id router.NodeID) (Member, bool) {
	for i := range v.Members {
		if v.Members[i].ID == id {
			return v.Members[i], true
		}
	}
	return Member{}, false
}

// Count counts the members by what is known of them.
func (v *View) Count() map[Liveness]int {
	count := map[Liveness]int{}
	for i := range v.Members {
		count[v.Members[i].State]++
	}
	return count
}
