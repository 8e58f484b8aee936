// Command cluster torments a cluster while clients talk, and keeps a ledger of
// what they say: nodes are killed, halted, cut off and restarted, users are
// moved, and Redis is killed and failed over. Half of the sessions are raw
// BOSH clients and half are Strophe.js, unmodified; half come through HAProxy
// and half go to a primary node and, when that fails, to a secondary one.
//
// Every host has a network of its own, so that one can be cut off from another,
// in either direction. The program runs itself again in namespaces that nobody
// else sees and that end with it; it needs Linux, and root or user namespaces.
//
// Each message carries its stream and place. A client sends a request again
// until it is answered, so in the end every message was accepted, and each must
// have arrived once and in order, in a session that was never lost, and nobody
// may have seemed to leave.
//
//	cluster                    one round of each scenario
//	cluster -duration 1h       as many as that takes
//	cluster -only 'kill|halt'  some of them
//
// The exit code is 1 when the ledger shows a violation.
package main
