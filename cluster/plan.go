package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// Mode says how users without an assignment of their own get a home.
type Mode string

// The modes are those that administrators of Cisco IM and Presence know.
const (
	Balanced      Mode = "balanced"       // over all nodes
	ActiveStandby Mode = "active-standby" // over the first nodes of the pairs
	Manual        Mode = "manual"         // the first pair's first node, until assigned
)

// Pair is two nodes that stand in for each other. One that stands alone has no
// second.
type Pair [2]router.NodeID

// ID names the pair: n1+n2.
func (p Pair) ID() string {
	if p[1] == "" {
		return string(p[0])
	}
	return string(p[0]) + "+" + string(p[1])
}

// Index returns the place of a node in the pair, -1 if it is not in it.
func (p Pair) Index(node router.NodeID) int {
	if node == "" {
		return -1
	}
	return slices.Index(p[:], node)
}

// Home is where a user belongs: the node that has the sessions, and the one
// that gets them when it fails.
type Home struct{ Primary, Secondary router.NodeID }

// Plan assigns users to nodes. It is shared and must not be changed.
type Plan struct {
	Epoch uint64 // raised by each change of an assignment
	Mode  Mode
	Pairs []Pair

	seats    []seat
	explicit map[jid.JID]Home
}

// seat is a home among which users are spread.
type seat struct {
	home Home
	hash uint64
}

// NewPlan makes a plan; explicit, which it keeps, wins over the mode.
func NewPlan(epoch uint64, mode Mode, pairs []Pair, explicit map[jid.JID]Home) (*Plan, error) {
	p := &Plan{Epoch: epoch, Mode: mode, Pairs: pairs, explicit: explicit}
	seen := map[router.NodeID]bool{"": true}
	for _, pair := range pairs {
		if seen[pair[0]] || seen[pair[1]] && pair[1] != "" || pair[0] == pair[1] {
			return nil, fmt.Errorf("pair %s: each node is in one pair, once", pair.ID())
		}
		seen[pair[0]], seen[pair[1]] = true, true
		p.addSeat(pair[0], pair[1])
		if mode == Balanced && pair[1] != "" {
			p.addSeat(pair[1], pair[0])
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("a plan needs a pair")
	}
	return p, nil
}

// addSeat makes node a home. The hash is of the node alone: a user stays though
// its second node changes.
func (p *Plan) addSeat(node, second router.NodeID) {
	p.seats = append(p.seats, seat{Home{node, second}, hash(string(node))})
}

// Assign returns the home of a user, whether there is such a user or not.
func (p *Plan) Assign(user jid.JID) Home {
	user = user.Bare()
	if h, ok := p.explicit[user]; ok && p.has(h.Primary) {
		if !p.has(h.Secondary) || h.Secondary == h.Primary {
			h.Secondary = p.Peer(h.Primary)
		}
		return h
	}
	if p.Mode == Manual {
		return p.seats[0].home
	}
	return p.spread(user)
}

// spread is rendezvous hashing: the user goes to the seat of the highest draw.
// A new seat draws its share from all the others and nobody else moves; a seat
// that goes moves its own users only.
func (p *Plan) spread(user jid.JID) Home {
	u := hash(user.String())
	best, high := 0, uint64(0)
	for i := range p.seats {
		if draw := mix(u ^ p.seats[i].hash); draw > high || i == 0 {
			best, high = i, draw
		}
	}
	return p.seats[best].home
}

// hash and mix decide where users live, hence they must never change.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	return binary.BigEndian.Uint64(sum[:])
}

// mix is the finaliser of splitmix64: each bit of in changes half of those out.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Explicit returns the assignment of a user's own, if there is one.
func (p *Plan) Explicit(user jid.JID) (Home, bool) {
	h, ok := p.explicit[user.Bare()]
	return h, ok
}

// PairOf returns the pair of a node.
func (p *Plan) PairOf(node router.NodeID) (Pair, bool) {
	for _, pair := range p.Pairs {
		if pair.Index(node) >= 0 {
			return pair, true
		}
	}
	return Pair{}, false
}

// Peer returns the other node of the pair, "" if there is none.
func (p *Plan) Peer(node router.NodeID) router.NodeID {
	pair, ok := p.PairOf(node)
	if !ok {
		return ""
	}
	return pair[1-pair.Index(node)]
}

func (p *Plan) has(node router.NodeID) bool {
	_, ok := p.PairOf(node)
	return ok
}

// layout tells plans apart that send users elsewhere for another configuration.
func (p *Plan) layout() string {
	parts := []string{string(p.Mode)}
	for _, pair := range p.Pairs {
		parts = append(parts, pair.ID())
	}
	return strings.Join(parts, " ")
}

// Window is a span of time over which many users are spread, so that they do
// not all come at once: nobody before Lower, the last at Upper.
type Window struct{ Lower, Upper time.Duration }

// Offset returns the time of a user in the window. It is the same each time,
// and even over many users.
func (w Window) Offset(user jid.JID) time.Duration {
	if w.Upper <= w.Lower {
		return w.Lower
	}
	// Another draw than the one for seats, else the users of a node would not
	// be even.
	draw := mix(hash(user.Bare().String())^0x72656c6f67696e) >> 11
	return w.Lower + time.Duration(float64(draw)/(1<<53)*float64(w.Upper-w.Lower))
}
