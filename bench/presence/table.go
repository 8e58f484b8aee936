package main

import "math/bits"

// state is what a user is for contacts.
type state uint8

const (
	unavailable state = iota
	available
	away
	extendedAway
	busy
	dnd
	onThePhone
	inAMeeting
	outOfOffice
)

// names of the states on the wire, and the shows that go with them.
var names = [...]struct{ name, show string }{
	unavailable:  {"unavailable", ""},
	available:    {"available", ""},
	away:         {"away", "away"},
	extendedAway: {"extended-away", "xa"},
	busy:         {"busy", "dnd"},
	dnd:          {"dnd", "dnd"},
	onThePhone:   {"on-the-phone", "dnd"},
	inAMeeting:   {"in-a-meeting", "dnd"},
	outOfOffice:  {"out-of-office", "xa"},
}

func (s state) String() string { return names[s].name }

// set is several states.
type set uint16

func (s set) has(one state) bool { return s&(1<<one) != 0 }

// single reports whether the set is one state.
func (s set) single() bool { return bits.OnesCount16(uint16(s)) == 1 }

// only returns the state of a single set.
func (s set) only() state { return state(bits.TrailingZeros16(uint16(s))) }

func (s set) String() string {
	text := ""
	for one := unavailable; one <= outOfOffice; one++ {
		if s.has(one) {
			text += "|" + one.String()
		}
	}
	return text[min(1, len(text)):]
}

// fact is one of the things that decide.
type fact uint8

const (
	online      fact = iota // 0 or 1
	client                  // what the client says
	choice                  // what the user chose for all clients
	slot                    // what the calendar says of now
	line                    // told over HTTP: 1 = in a call or on hold
	onTelephone             // told over SIP, the same
	facts
)

// What a client says. The quiet ones come with an idle time.
const (
	says uint8 = iota // active
	saysAway
	saysXA
	saysDND
	quietAway
	quietXA
)

// What can be chosen.
const (
	chose uint8 = iota // nothing
	choseDND
	choseBusy
	choseAway
	choseXA
	choseOffline
)

// What a calendar says.
const (
	slotFree uint8 = iota // or tentative
	slotBusy
	slotOut
)

// compose is the documentation's table of composed presence, once more: the first
// row that matches wins.
func compose(f [facts]uint8) state {
	switch {
	case f[online] == 0 || f[choice] == choseOffline:
		return unavailable
	case f[choice] == choseDND || f[client] == saysDND:
		return dnd
	case f[line] == 1 || f[onTelephone] == 1:
		return onThePhone
	case f[slot] == slotBusy:
		return inAMeeting
	case f[choice] != chose:
		return [...]state{choseBusy: busy, choseAway: away, choseXA: extendedAway}[f[choice]]
	case f[client] == saysAway:
		return away
	case f[client] == saysXA:
		return extendedAway
	case f[slot] == slotOut:
		return outOfOffice
	case f[client] == quietAway:
		return away
	case f[client] == quietXA:
		return extendedAway
	}
	return available
}
