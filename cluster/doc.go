// Package cluster knows which nodes there are, which of them live, and which
// pair of nodes a user belongs to.
//
// [Members] is the membership over gossip (memberlist): it finds nodes by a
// list of seeds that it rejoins for ever, since partitions do not heal by
// themselves, and publishes an immutable [View]. Gossip alone never declares a
// node dead: a loaded node misses probes, too. A [Proof] has to agree.
//
//	members, err := cluster.Open(ctx, cluster.Config{Node: "n1", Listen: ":7946", Seeds: seeds, Log: log})
//	err = members.Run(ctx)
//	for _, m := range members.View().Members { … }
//
// Gossip says who is alive, the [Leases] of the shared store say who may write:
// a node that was cut off and still lives is fenced there.
//
// [Plan] assigns users to pairs, and [Step] is the state of a pair as the
// Server Recovery Manager of Cisco IM and Presence names it; both are pure.
// [Recovery] drives the states and keeps them in a [Store].
package cluster
