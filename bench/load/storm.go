//go:build linux

package load

import (
	"fmt"
	"strconv"
	"time"
)

// Contacts lists the contacts of user i among n users with k mutual contacts
// each: the k/2 nearest on either side in a ring, where every seventh user is
// a neighbour, so that those who sign in together know few of each other.
func Contacts(i, n, k int) []int {
	stride := 7
	for gcd(stride, n) != 1 {
		stride++
	}
	out := make([]int, 0, k)
	for d := 1; d <= k/2; d++ {
		out = append(out, (i+d*stride)%n, ((i-d*stride)%n+n)%n)
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Storm is the result of a login storm.
type Storm struct {
	Users    int           `json:"users"`
	Contacts int           `json:"contacts"`
	Wall     time.Duration `json:"wall"`
	CPU      float64       `json:"cpu_us"` // server µs per presence delivered, sign-in included
	Expected int           `json:"expected"`
	Arrived  int           `json:"arrived"` // each contact's presence, the first time
	Missing  int           `json:"missing"`
	Repeats  int           `json:"repeats"`
}

// quiet is how long nothing must arrive before the missing are given up.
const quiet = 5 * time.Second

// LoginStorm signs all users in at once, parallel of them at a time, and waits
// until each has the presence of all its contacts.
func (f *Fleet) LoginStorm(users, contacts, parallel int, limit time.Duration, cpu Meter) (Storm, error) {
	st := Storm{Users: users, Contacts: contacts, Expected: users * contacts}
	f.presence.arrived, f.presence.repeats = 0, 0
	for i := range users {
		f.begin(i)
		s := f.sessions[i]
		s.state, s.seen = stateNew, make(map[string]int, contacts)
	}
	f.starting = 0
	next := 0
	start := func() {
		for ; f.starting < parallel && next < users; next++ {
			f.starting++
			f.sessions[next].state = stateCreating
			f.loop.mark(f.sessions[next])
		}
	}
	f.onReady = func(*session) { start() }
	before, err := cpu()
	if err != nil {
		return st, err
	}
	began := time.Now()
	last, seen := began, 0
	start()
	_, err = f.loop.run(func() bool {
		if f.presence.arrived+f.presence.repeats+f.ready != seen {
			seen, last = f.presence.arrived+f.presence.repeats+f.ready, f.loop.now
		}
		done := f.ready == users && f.presence.arrived >= st.Expected
		return done || len(f.errs) > 0 || f.loop.now.Sub(last) > quiet
	}, limit)
	f.onReady = nil
	if err != nil {
		return st, err
	}
	st.Wall = last.Sub(began)
	after, err := cpu()
	if err != nil {
		return st, err
	}
	// Repeats come late: wait for them, outside the clock.
	if err := f.Idle(time.Second); err != nil {
		return st, err
	}
	st.Arrived, st.Repeats = f.presence.arrived, f.presence.repeats
	st.Missing = f.missing(users, contacts)
	st.CPU = float64((after - before).Microseconds()) / float64(max(st.Arrived, 1))
	if f.ready < users {
		return st, fmt.Errorf("%d of %d users signed in, the others wait in state %v", f.ready, users, f.waiting())
	}
	return st, nil
}

func (f *Fleet) presences(_ *session, first bool) {
	if first {
		f.presence.arrived++
	} else {
		f.presence.repeats++
	}
}

// waiting counts the sessions that are not signed in, by their state.
func (f *Fleet) waiting() map[state]int {
	n := map[state]int{}
	for _, s := range f.sessions {
		if s != nil && s.state != stateReady {
			n[s.state]++
		}
	}
	return n
}

// missing counts the contacts whose presence never came.
func (f *Fleet) missing(users, contacts int) int {
	n := 0
	for i := range users {
		for _, c := range Contacts(i, users, contacts) {
			if f.sessions[i].seen[f.cfg.Prefix+strconv.Itoa(c)+"@"+f.cfg.Domain] == 0 {
				n++
			}
		}
	}
	return n
}
