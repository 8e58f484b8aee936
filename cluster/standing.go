package cluster

import (
	"fmt"
	"time"
)

// State is how a node of a pair stands, in the words of the Server Recovery
// Manager of Cisco IM and Presence.
type State string

// The states. In three of them a node keeps its users: Normal, Running in Backup
// Mode, and Running in Failed Mode.
const (
	Unknown        State = "Unknown" // not heard of, or gone
	Initializing   State = "Initializing"
	Idle           State = "Idle" // its users were moved away by an administrator
	Normal         State = "Normal"
	Backup         State = "Running in Backup Mode" // it has its peer's users, too
	TakingOver     State = "Taking Over"
	FailingOver    State = "Failing Over"
	FailedOver     State = "Failed Over" // well again; its users are still at its peer
	FailedCritical State = "Failed Over with Critical Services Not Running"
	FallingBack    State = "Falling Back"           // gives its peer's users back
	TakingBack     State = "Taking Back"            // gets its users back
	FailedMode     State = "Running in Failed Mode" // until it is told to recover
)

// Reason is why a node stands so.
type Reason string

// The reasons.
const (
	NoReason           Reason = ""
	OnAdminRequest     Reason = "On Admin Request"
	AutomaticFallback  Reason = "Automatic Fallback"
	CriticalDown       Reason = "Critical Service Down"
	DatabaseFailure    Reason = "Database Failure"
	Initialization     Reason = "Initialization"
	PeerDown           Reason = "Peer Down"
	PeerReboot         Reason = "Peer Reboot"
	PeerDownAtStart    Reason = "Peer Down During Initialization"
	StartFailed        Reason = "Start of Critical Services Failed"
	TakeOverFailed     Reason = "Take Over Users Failed"
	TakeBackFailed     Reason = "Take Back Users Failed"
	NoHighAvailability Reason = "High Availability Not Enabled"
)

// Status is how one node stands.
type Status struct {
	State  State     `json:"state"`
	Reason Reason    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Standing is how the two nodes of a pair stand, in the order of the pair.
type Standing [2]Status

// EventKind is what can happen to a node of a pair.
type EventKind uint8

// The events; each is about one node, the other is its peer.
const (
	Started        EventKind = iota + 1 // its process is there, for the first time or anew
	Ready                               // its critical services run
	ServicesFailed                      // they have not run for the delay; with CriticalDown or DatabaseFailure
	Lost                                // it is gone: PeerDown, PeerReboot if it said goodbye, PeerDownAtStart if it was never there
	Failover                            // an administrator wants its users at its peer
	Fallback                            // its users are to come back; with OnAdminRequest or AutomaticFallback
	Recover                             // an administrator wants the pair to begin anew
	Moved                               // the users under way have arrived
	MoveFailed                          // they have not
)

var eventNames = map[EventKind]string{
	Started: "started", Ready: "ready", ServicesFailed: "services failed", Lost: "lost",
	Failover: "failover", Fallback: "fallback", Recover: "recover", Moved: "moved", MoveFailed: "move failed",
}

// String names the event.
func (k EventKind) String() string { return eventNames[k] }

// Event is something that happened to a node of a pair.
type Event struct {
	Kind   EventKind
	Node   int // place in the pair
	Reason Reason
}

// Refusal is why something that an administrator asked for cannot be done, and
// what to do instead.
type Refusal struct{ Text string }

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Step is the way of a pair. What does not matter in its standing changes
// nothing; a request of an administrator that cannot be met is a *Refusal.
func Step(s Standing, e Event, now time.Time) (Standing, error) {
	self, peer := s[e.Node], s[1-e.Node]
	for _, r := range transitions {
		if r.fits(e, self, peer) {
			s[e.Node] = self.become(r.toSelf, e.Reason, now)
			s[1-e.Node] = peer.become(r.toPeer, e.Reason, now)
			return s, nil
		}
	}
	switch e.Kind {
	case Failover, Fallback, Recover:
		return s, explain(e.Kind, self.State, peer.State)
	}
	return s, nil
}

// become is the next status. A state that stays keeps its time.
func (s Status) become(t to, event Reason, now time.Time) Status {
	if t == stay {
		return s
	}
	switch t.reason {
	case same:
	case ofEvent:
		s.Reason = event
	default:
		s.Reason = t.reason
	}
	if s.State != t.state {
		s.State, s.Since = t.state, now
	}
	return s
}

// explain says why an administrator's request does not fit.
func explain(kind EventKind, self, peer State) error {
	switch kind {
	case Failover:
		return refuse("a failover needs both nodes in state %q, they are in %q and %q: see cluster status, use fallback or recover first", Normal, self, peer)
	case Fallback:
		return refuse("a fallback needs the node in state %q or %q and its peer in %q, they are in %q and %q: see cluster status", Idle, FailedOver, Backup, self, peer)
	}
	return refuse("recover is for nodes in state %q, these are in %q and %q", FailedMode, self, peer)
}

// Transition is users under way between the nodes of a pair.
type Transition struct {
	From, To int  // places in the pair
	Back     bool // they go home; else all users of From go
	Gone     bool // From does not live: what it has must be taken from the store
}

// UnderWay returns the move that a standing asks for.
func (s Standing) UnderWay() (Transition, bool) {
	for i := range s {
		switch self, peer := s[i].State, s[1-i].State; {
		case self == TakingOver && peer == FailingOver:
			return Transition{From: 1 - i, To: i}, true
		case self == TakingOver:
			return Transition{From: 1 - i, To: i, Gone: true}, true
		case self == TakingBack && peer == FallingBack:
			return Transition{From: 1 - i, To: i, Back: true}, true
		}
	}
	return Transition{}, false
}

// Due returns the node whose users are to come back by themselves, once it has
// been well for the delay. A delay of 0 is never. What an administrator moved
// only an administrator moves back.
func (s Standing) Due(now time.Time, delay time.Duration) (node int, due bool) {
	for i := range s {
		if delay > 0 && s[i].State == FailedOver && s[1-i].State == Backup && now.Sub(s[i].Since) >= delay {
			return i, true
		}
	}
	return 0, false
}
