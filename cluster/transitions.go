package cluster

import "slices"

// set is some states; nil is any.
type set []State

func (s set) has(state State) bool { return s == nil || slices.Contains(s, state) }

// to is what a node becomes. The zero value leaves it alone.
type to struct {
	state  State
	reason Reason
}

// Reasons that are not written into the table: the node's own stays, or that of
// the event is taken.
const (
	same    Reason = "same"
	ofEvent Reason = "of the event"
)

var stay to

// transition is a row: on happens to a node in one of self, for one of why, and
// its peer is in one of peer.
type transition struct {
	on     EventKind
	self   set
	peer   set
	why    []Reason // reasons of self; nil = any
	toSelf to
	toPeer to
}

func (r transition) fits(e Event, self, peer Status) bool {
	return r.on == e.Kind && r.self.has(self.State) && r.peer.has(peer.State) && (r.why == nil || slices.Contains(r.why, self.Reason))
}

var (
	services = []Reason{CriticalDown, DatabaseFailure, StartFailed}
	admins   = []Reason{OnAdminRequest}
)

// transitions are tried from the top, the first that fits is taken. What fits
// none changes nothing.
var transitions = []transition{
	// A process starts. What was decided or under way outlives it, but a node
	// that was giving its users away has nothing to give any more.
	{Started, set{Idle}, nil, nil, to{Idle, Initialization}, stay},
	{Started, set{Backup}, nil, nil, to{Backup, Initialization}, stay},
	{Started, set{TakingOver}, nil, nil, to{TakingOver, Initialization}, stay},
	{Started, set{TakingBack}, nil, nil, to{TakingBack, Initialization}, stay},
	{Started, set{FallingBack}, nil, nil, to{FallingBack, Initialization}, stay},
	{Started, set{FailedOver}, nil, nil, to{FailedOver, Initialization}, stay},
	{Started, set{FailingOver}, nil, admins, to{Idle, Initialization}, stay},
	{Started, set{FailingOver, Normal, Unknown, Initializing}, nil, nil, to{Initializing, Initialization}, stay},

	// Its services run. Users who are at the peer by now stay there until they
	// are told to come back.
	{Ready, set{Initializing, Unknown}, set{Backup, TakingOver}, nil, to{FailedOver, Initialization}, stay},
	{Ready, set{Initializing, Unknown}, nil, nil, to{Normal, NoReason}, stay},
	{Ready, set{FailedCritical}, nil, nil, to{FailedOver, same}, stay},

	// Its services are down. The second row is the automatic recovery of a
	// backup whose peer is well again.
	{ServicesFailed, set{Normal}, set{Normal}, nil, to{FailingOver, ofEvent}, to{TakingOver, ofEvent}},
	{ServicesFailed, set{Backup}, set{FailedOver}, nil, to{FailingOver, ofEvent}, to{TakingOver, ofEvent}},
	{ServicesFailed, set{Initializing}, set{Normal}, nil, to{FailingOver, StartFailed}, to{TakingOver, StartFailed}},
	{ServicesFailed, set{Initializing}, set{Backup}, nil, to{FailedCritical, StartFailed}, stay},
	{ServicesFailed, set{FailedOver}, nil, nil, to{FailedCritical, ofEvent}, stay},
	{ServicesFailed, set{TakingBack}, nil, nil, to{FailedMode, StartFailed}, to{FailedMode, StartFailed}},
	{ServicesFailed, set{Normal, Backup, TakingOver}, nil, nil, to{FailedMode, ofEvent}, to{FailedMode, ofEvent}},

	// It is gone. Its peer takes its users over unless it has them already.
	{Lost, set{Idle, FailedMode}, nil, nil, stay, stay},
	{Lost, set{Unknown}, set{Normal, Initializing}, nil, stay, to{Backup, ofEvent}},
	{Lost, set{Normal, Backup}, set{Initializing}, nil, to{Unknown, NoReason}, to{TakingOver, PeerDownAtStart}},
	{Lost, set{Normal, Initializing}, set{Normal}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, set{Initializing}, set{Initializing}, nil, to{Unknown, NoReason}, to{TakingOver, PeerDownAtStart}},
	{Lost, set{Backup}, set{FailedOver, Idle}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, set{Backup}, set{FailedCritical}, nil, to{Unknown, NoReason}, to{FailedMode, ofEvent}},
	{Lost, set{FailingOver}, set{TakingOver}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, set{TakingOver}, set{FailingOver, Initializing, FailedOver, FailedCritical, Idle}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, set{TakingBack}, set{FallingBack}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, set{FallingBack}, set{TakingBack}, nil, to{Unknown, NoReason}, to{TakingOver, ofEvent}},
	{Lost, nil, nil, nil, to{Unknown, NoReason}, stay},

	// Administrators. The second and third row let a node go though one of the
	// pair has not got its own users back yet: it may have others.
	{Failover, set{Normal}, set{Normal}, nil, to{FailingOver, OnAdminRequest}, to{TakingOver, OnAdminRequest}},
	{Failover, set{Backup}, set{FailedOver, Idle}, nil, to{FailingOver, OnAdminRequest}, to{TakingOver, OnAdminRequest}},
	{Failover, set{FailedOver}, set{Backup}, nil, to{FailingOver, OnAdminRequest}, to{TakingOver, OnAdminRequest}},
	{Fallback, set{Idle, FailedOver}, set{Backup}, nil, to{TakingBack, ofEvent}, to{FallingBack, ofEvent}},
	{Recover, set{FailedMode}, set{FailedMode}, nil, to{Initializing, Initialization}, to{Initializing, Initialization}},
	{Recover, set{FailedMode}, nil, nil, to{Initializing, Initialization}, stay},
	{Recover, nil, set{FailedMode}, nil, stay, to{Initializing, Initialization}},

	// The users have left the node for its peer, or could not.
	{Moved, set{FailingOver}, set{TakingOver}, services, to{FailedCritical, same}, to{Backup, same}},
	{Moved, set{FailingOver}, set{TakingOver}, nil, to{Idle, same}, to{Backup, same}},
	{Moved, set{FallingBack}, set{TakingBack}, nil, to{Normal, NoReason}, to{Normal, NoReason}},
	{Moved, nil, set{TakingOver}, nil, stay, to{Backup, same}},
	{MoveFailed, set{FallingBack}, set{TakingBack}, nil, to{FailedMode, TakeBackFailed}, to{FailedMode, TakeBackFailed}},
	{MoveFailed, set{Unknown, Initializing}, set{TakingOver}, nil, stay, to{FailedMode, TakeOverFailed}},
	{MoveFailed, nil, set{TakingOver}, nil, to{FailedMode, TakeOverFailed}, to{FailedMode, TakeOverFailed}},
}
