package router

import "github.com/deskline/deskline/xmpp/stanza"

// Action is what becomes of a stanza.
type Action uint8

// The actions.
const (
	Drop    Action = iota // silently, where the RFC says so
	Deliver               // to the targets of the verdict
	Store                 // keep for later, else service-unavailable
	Refuse                // answer service-unavailable
	Serve                 // the server answers for the account
)

// Address says how the receiver is addressed.
type Address uint8

// The addresses of RFC 6121 §8.5.
const (
	Unknown Address = iota // no such account, §8.5.1
	Bare                   // §8.5.2
	Matched                // full JID of a bound resource, §8.5.3.1
	Unbound                // full JID without such a resource, §8.5.3.2
)

// Targets says which resources a delivery goes to.
type Targets uint8

// The sets of targets.
const (
	NoTarget    Targets = iota
	TheResource         // the addressed one
	NonNegative         // all available ones whose priority is not negative
)

// Verdict is the outcome of the rules.
type Verdict struct {
	Action  Action
	Targets Targets
}

var (
	drop   = Verdict{Action: Drop}
	refuse = Verdict{Action: Refuse}
	serve  = Verdict{Action: Serve}
	store  = Verdict{Action: Store}
	here   = Verdict{Deliver, TheResource}
	all    = Verdict{Deliver, NonNegative}
)

// messageRow is what becomes of a message of one type, by address. For a bare
// address it depends on whether a resource takes messages.
type messageRow struct{ unknown, taken, nobody, matched, unboundTaken, unboundNobody Verdict }

// messageRules is the table of RFC 6121 §8.5.4 for messages, with its choices
// made: all non-negative resources rather than one, and error rather than
// silence, so that a sender always learns.
var messageRules = map[string]messageRow{
	"normal":    {refuse, all, store, here, refuse, refuse},
	"chat":      {refuse, all, store, here, all, store},
	"groupchat": {refuse, refuse, refuse, here, refuse, refuse},
	"headline":  {drop, all, drop, here, drop, drop},
	"error":     {drop, drop, drop, here, drop, drop},
}

// Decide applies RFC 6121 §8.5 to a message or an IQ for a local account;
// takes says whether some available resource has a non-negative priority.
// Presence has rules of its own (package presence).
func Decide(kind stanza.Kind, typ string, addr Address, takes bool) Verdict {
	if kind == stanza.KindIQ {
		return decideIQ(typ, addr)
	}
	row, ok := messageRules[typ]
	if !ok {
		row = messageRules["normal"] // RFC 6121 §5.2.2: an unknown type is normal
	}
	switch {
	case addr == Unknown:
		return row.unknown
	case addr == Matched:
		return row.matched
	case addr == Bare && takes:
		return row.taken
	case addr == Bare:
		return row.nobody
	case takes:
		return row.unboundTaken
	}
	return row.unboundNobody
}

func decideIQ(typ string, addr Address) Verdict {
	request := typ == "get" || typ == "set"
	switch {
	case addr == Matched:
		return here
	case !request:
		return drop
	case addr == Bare:
		return serve
	}
	return refuse
}
