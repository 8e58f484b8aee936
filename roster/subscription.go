package roster

// Action is the type of a subscription stanza.
type Action uint8

// The four subscription stanzas of RFC 6121 §3.
const (
	Subscribe Action = iota
	Subscribed
	Unsubscribe
	Unsubscribed
)

var actionNames = [...]string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"}

// String returns the presence type.
func (a Action) String() string { return actionNames[a] }

// ParseAction returns the action of a presence type; false for other types.
func ParseAction(typ string) (Action, bool) {
	for i, n := range actionNames {
		if n == typ {
			return Action(i), true
		}
	}
	return 0, false
}

// Direction says whose stanza changes a roster.
type Direction uint8

// Outbound stanzas come from the roster's owner, Inbound ones from the contact.
const (
	Outbound Direction = iota
	Inbound
)

// State is one of the nine states of RFC 6121 appendix A.1.
type State uint8

// The nine states.
const (
	StateNone State = iota
	StateNoneOut
	StateNoneIn
	StateNoneOutIn
	StateTo
	StateToIn
	StateFrom
	StateFromOut
	StateBoth
	states
)

var stateNames = [...]string{
	"None", "None + Pending Out", "None + Pending In", "None + Pending Out+In",
	"To", "To + Pending In", "From", "From + Pending Out", "Both",
}

// String returns the name the appendix uses.
func (s State) String() string { return stateNames[s] }

// Subscription returns what the roster item shows.
func (s State) Subscription() Subscription {
	switch s {
	case StateTo, StateToIn:
		return To
	case StateFrom, StateFromOut:
		return From
	case StateBoth:
		return Both
	}
	return None
}

// Ask reports whether a request of the owner is pending.
func (s State) Ask() bool { return s == StateNoneOut || s == StateNoneOutIn || s == StateFromOut }

// PendingIn reports whether a request of the contact is pending.
func (s State) PendingIn() bool { return s == StateNoneIn || s == StateNoneOutIn || s == StateToIn }

// Seen reports whether the contact receives the owner's presence.
func (s State) Seen() bool { return s >= StateFrom }

// Sees reports whether the owner receives the contact's presence.
func (s State) Sees() bool { return s == StateTo || s == StateToIn || s == StateBoth }

// StateOf returns the state of an item. Combinations the appendix does not know
// count as the settled part of them.
func StateOf(it *Item) State {
	switch it.Subscription {
	case To:
		if it.PendingIn {
			return StateToIn
		}
		return StateTo
	case From:
		if it.Ask {
			return StateFromOut
		}
		return StateFrom
	case Both:
		return StateBoth
	}
	s := StateNone
	if it.Ask {
		s += StateNoneOut
	}
	if it.PendingIn {
		s += StateNoneIn
	}
	return s
}

// Step is what a subscription stanza does to one roster.
type Step struct {
	Next     State
	Approved bool // pre-approval after the step
	Forward  bool // outbound: route it to the contact; inbound: deliver it to the owner
	Reply    bool // answer the contact with subscribed on the owner's behalf
	Push     bool // the item looks different to the owner's clients
}

type rule struct {
	next           State
	forward, reply bool
}

// pass forwards a stanza, drop does not; both give the next state.
func pass(next State) rule { return rule{next: next, forward: true} }
func drop(next State) rule { return rule{next: next} }

// rules are the tables of RFC 6121 A.2 and A.3, a row in the order of the states.
var rules = [2][4][states]rule{
	Outbound: {
		Subscribe: {
			pass(StateNoneOut), pass(StateNoneOut), pass(StateNoneOutIn), pass(StateNoneOutIn),
			pass(StateTo), pass(StateToIn), pass(StateFromOut), pass(StateFromOut), pass(StateBoth),
		},
		Unsubscribe: {
			pass(StateNone), pass(StateNone), pass(StateNoneIn), pass(StateNoneIn),
			pass(StateNone), pass(StateNoneIn), pass(StateFrom), pass(StateFrom), pass(StateFrom),
		},
		Subscribed: {
			drop(StateNone), drop(StateNoneOut), pass(StateFrom), pass(StateFromOut),
			drop(StateTo), pass(StateBoth), drop(StateFrom), drop(StateFromOut), drop(StateBoth),
		},
		Unsubscribed: {
			drop(StateNone), drop(StateNoneOut), pass(StateNone), pass(StateNoneOut),
			drop(StateTo), pass(StateTo), pass(StateNone), pass(StateNoneOut), pass(StateTo),
		},
	},
	Inbound: {
		Subscribe: {
			pass(StateNoneIn), pass(StateNoneOutIn), drop(StateNoneIn), drop(StateNoneOutIn),
			pass(StateToIn), drop(StateToIn),
			{next: StateFrom, reply: true},
			{next: StateFromOut, reply: true},
			{next: StateBoth, reply: true},
		},
		Unsubscribe: {
			drop(StateNone), drop(StateNoneOut), pass(StateNone), pass(StateNoneOut),
			drop(StateTo), pass(StateTo), pass(StateNone), pass(StateNoneOut), pass(StateTo),
		},
		Subscribed: {
			drop(StateNone), pass(StateTo), drop(StateNoneIn), pass(StateToIn),
			drop(StateTo), drop(StateToIn), drop(StateFrom), pass(StateBoth), drop(StateBoth),
		},
		Unsubscribed: {
			drop(StateNone), pass(StateNone), drop(StateNoneIn), pass(StateNoneIn),
			pass(StateNone), pass(StateNoneIn), drop(StateFrom), pass(StateFrom), pass(StateFrom),
		},
	},
}

// Advance applies one subscription stanza to a state and its pre-approval
// (RFC 6121 §3.4). A pre-approval serves one request and ends with the owner's
// unsubscribed.
func Advance(s State, approved bool, d Direction, a Action) Step {
	r := rules[d][a][s]
	step := Step{Next: r.next, Approved: approved, Forward: r.forward, Reply: r.reply}
	switch {
	case d == Outbound && a == Subscribed:
		step.Approved = approved || (!s.Seen() && !s.PendingIn())
		if step.Next.Seen() {
			step.Approved = false
		}
	case d == Outbound && a == Unsubscribed:
		step.Approved = false
	case d == Inbound && a == Subscribe && approved && step.Forward:
		// The request passes through "pending in" to the approval at once.
		step = Step{Next: rules[Outbound][Subscribed][r.next].next, Reply: true}
	}
	step.Push = step.Next.Subscription() != s.Subscription() || step.Next.Ask() != s.Ask() || step.Approved != approved
	return step
}
