// Command scale tells what clusters of many nodes need, worked out from the
// costs that the benchmark has measured. It prints the tables of docs/scale.md:
//
//	go run ./bench/scale
//
// It is arithmetic and no measurement: nobody has run a thousand nodes.
package main

import "math"

// Costs were measured, see README and docs/scale.md. Times are processor µs.
type Costs struct {
	Message  float64 // a message between two sessions of one node, the node
	Across   float64 // between two nodes, both together
	Presence float64 // a presence delivered in a storm, the node
	Poll     float64 // a held request that ends and comes again
	SignIn   float64 // with SCRAM-SHA-256
	Command  float64 // one script, Redis
	IdleKB   float64 // of a session, the node
	RedisKB  float64 // of a session, Redis: written down, bound, listed
}

// Habits are what users do.
type Habits struct {
	PerNode   int     // users of a node
	Messages  float64 // a user sends, a minute
	Changes   float64 // of presence, an hour
	Watchers  float64 // contacts that are there and see them
	ShiftMins float64 // in which all sign in, see their contacts and are seen
	PollSecs  float64
}

// Gossip is how nodes look after each other, as cluster.probe and the library's
// settings for a local network have it.
type Gossip struct {
	ProbeSecs    float64
	PacketBytes  float64 // of a probe or its answer, with headers
	MemberBytes  float64 // of one node in the whole list
	WholeSecs    float64 // between two exchanges of the whole list, below 32 nodes
	SuspectTimes float64 // cluster.suspicion
}

// Need is what a cluster of some size needs in its steady state, and what grows
// faster than it.
type Need struct {
	Nodes, Users  int
	Messages      float64 // a second
	Presences     float64 // deliveries a second
	NodeCores     float64 // of all nodes
	NodeMemory    float64 // GB of all nodes
	Commands      float64 // Redis, a second, for messages, presence and polls
	Watch         float64 // Redis, commands a second by which nodes look after each other
	Told          float64 // Redis, copies of changed bindings it sends a second
	RedisCores    float64 // for all three
	Shards        int     // at 60 % of a core each
	RedisMemory   float64 // GB
	GossipBytes   float64 // a second and node
	DeadSecs      float64 // until all know that a node is dead
	SignInCores   float64 // busy with that
	PresenceShare float64 // of Commands
	Storm         float64 // presences a second while the shift signs in
}

// scripts a message or presence costs Redis: a message its posting, and the
// states of both sessions.
const (
	scriptsMessage = 3
	scriptsPres    = 2 // posting, and the receiver's state; the sender's is one for all
	tellShare      = 0.1
)

// Work works a cluster out.
func Work(nodes int, c Costs, h Habits, g Gossip) Need {
	users := float64(nodes * h.PerNode)
	n := Need{Nodes: nodes, Users: nodes * h.PerNode, Messages: users * h.Messages / 60}
	changes := users * h.Changes / 3600
	n.Presences = changes * h.Watchers
	polls := users / h.PollSecs
	here := 1 / float64(nodes) // of the pairs that talk
	message := here*c.Message + (1-here)*c.Across
	n.NodeCores = (n.Messages*message + n.Presences*c.Presence + polls*c.Poll) / 1e6
	n.NodeMemory = users * c.IdleKB / 1e6
	presence := n.Presences * scriptsPres
	n.Commands = n.Messages*scriptsMessage + presence + polls
	n.PresenceShare = presence / n.Commands
	// Each node reads all leases and the list of owners twice a second, and
	// renews its own lease as often.
	n.Watch = float64(nodes) * 2 * (float64(nodes) + 2)
	n.Told = changes * float64(nodes)
	n.RedisCores = (n.Commands*c.Command + n.Watch*c.Command/4 + n.Told*c.Command*tellShare) / 1e6
	n.Shards = int(math.Ceil(n.RedisCores / 0.6))
	n.RedisMemory = users * c.RedisKB / 1e6
	n.GossipBytes = g.bytes(float64(nodes))
	n.DeadSecs = g.dead(float64(nodes))
	n.SignInCores = users * (c.SignIn + 2*h.Watchers*c.Presence) / 1e6 / (h.ShiftMins * 60)
	n.Storm = 2 * users * h.Watchers / (h.ShiftMins * 60)
	return n
}

// bytes is what a node sends and gets a second: a probe each way and their
// answers, and the whole list with somebody, less often the more there are.
func (g Gossip) bytes(nodes float64) float64 {
	whole := g.WholeSecs * max(1, math.Ceil(math.Log2(nodes)-math.Log2(32))+1)
	return 4*g.PacketBytes/g.ProbeSecs + 4*nodes*g.MemberBytes/whole
}

// dead is how long until all nodes have buried one: somebody probes it, it may
// object, and the news spreads.
func (g Gossip) dead(nodes float64) float64 {
	suspicion := g.SuspectTimes * max(1, math.Log10(nodes)) * g.ProbeSecs
	const fanout, round = 3, 0.2
	return g.ProbeSecs*2 + suspicion + math.Log(nodes)/math.Log(fanout+1)*round
}
