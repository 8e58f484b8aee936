//go:build linux

package load

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/deskline/deskline/bench/wire"
)

// Fan is what it costs to tell contacts of a user whose presence changes.
type Fan struct {
	Users    int           `json:"users"`
	Contacts int           `json:"contacts"`
	Rate     float64       `json:"rate"`      // changes a second
	CPU      float64       `json:"cpu_us"`    // server µs per presence delivered to a contact
	Beside   float64       `json:"beside_us"` // µs of what Config.Beside measures
	P50      time.Duration `json:"p50"`       // from the change until a contact has it
	P99      time.Duration `json:"p99"`
	Max      time.Duration `json:"max"`
	Sent     int           `json:"sent"` // presences that contacts should get
	Arrived  int           `json:"arrived"`
	Again    int           `json:"again"`     // that came once more
	Memory   int64         `json:"rss_bytes"` // of the server at the end
}

// Missing is how many presences did not arrive.
func (f *Fan) Missing() int { return f.Sent - f.Arrived }

// Change makes the presence of a user become another one: the mark is what the presence that contacts get
// has in it from then on.
type Change func(user, round int) (mark string)

// ByClient has clients change their presence themselves.
func (f *Fleet) ByClient(user, round int) string {
	mark := "round " + strconv.Itoa(round) + "<"
	f.sessions[user].queue("<presence xmlns='jabber:client'><status>", mark, "/status></presence>")
	return mark
}

// ByLine has lines of the same names as users go off hook and on hook; tell says so to the server.
func (f *Fleet) ByLine(tell func(line, state string)) Change {
	return func(user, round int) string {
		state, mark := "in-call", "state='on-the-phone'"
		if round%2 == 0 {
			state, mark = "idle", "state='available'"
		}
		tell(f.cfg.Prefix+strconv.Itoa(user), state)
		return mark
	}
}

// fan is such a phase under way.
type fan struct {
	f         *Fleet
	contacts  int
	users     []fanned
	index     map[string]int // by name
	from      time.Time      // changes from then on count
	latencies []time.Duration
	result    Fan
	changes   int
	counted   int // presences since from, whenever the change was
}

// fanned is the last change of a user.
type fanned struct {
	due  time.Time
	mark []byte
	got  map[int]bool // by session
}

// FanOut has rate users a second change their presence for d, one after another, and waits for
// what their contacts get. All are signed in, and know as many contacts as Contacts says.
func (f *Fleet) FanOut(users, contacts, rate int, d time.Duration, change Change, server Process, cpu Meter) (Fan, error) {
	n := &fan{f: f, contacts: contacts, users: make([]fanned, users), index: make(map[string]int, users), result: Fan{Users: users, Contacts: contacts}}
	for i := range users {
		n.index[f.cfg.Prefix+strconv.Itoa(i)] = i
	}
	f.fan = n
	defer func() { f.fan = nil }()
	gap := time.Second / time.Duration(rate)
	due := time.Now().Add(gap)
	var tick func() error
	tick = func() error {
		for ; !due.After(f.loop.now); due = due.Add(gap) {
			user, round := n.changes%users, n.changes/users+1
			n.users[user] = fanned{due: due, mark: []byte(change(user, round)), got: make(map[int]bool, contacts)}
			n.result.Sent += contacts
			n.changes++
		}
		return f.loop.at(due, tick)
	}
	if err := f.loop.at(due, tick); err != nil {
		return n.result, err
	}
	if err := n.measure(d, cpu); err != nil {
		return n.result, err
	}
	if err := f.loop.at(time.Time{}, nil); err != nil {
		return n.result, err
	}
	if _, err := f.loop.run(func() bool { return n.result.Arrived >= n.result.Sent || len(f.errs) > 0 }, drain); err != nil {
		return n.result, err
	}
	if len(f.errs) > 0 {
		return n.result, fmt.Errorf("%d sessions broke, the first: %w", len(f.errs), f.errs[0])
	}
	slices.Sort(n.latencies)
	if all := len(n.latencies); all > 0 {
		n.result.P50, n.result.P99, n.result.Max = n.latencies[all/2], n.latencies[all*99/100], n.latencies[all-1]
	}
	var err error
	n.result.Memory, err = server.RSS()
	return n.result, err
}

// measure warms up, and takes the processor time of d.
func (n *fan) measure(d time.Duration, cpu Meter) error {
	f := n.f
	broke := func() bool { return len(f.errs) > 0 }
	if _, err := f.loop.run(broke, warmUp); err != nil {
		return err
	}
	r := &run{f: f, cpu: cpu}
	before, err := r.clocks()
	if err != nil {
		return err
	}
	began := n.changes
	n.from = time.Now()
	if _, err := f.loop.run(broke, d); err != nil {
		return err
	}
	after, err := r.clocks()
	if err != nil {
		return err
	}
	n.result.Rate = float64(n.changes-began) / time.Since(n.from).Seconds()
	n.result.CPU = float64((after.server - before.server).Microseconds()) / float64(max(n.counted, 1))
	n.result.Beside = float64((after.beside - before.beside).Microseconds()) / float64(max(n.counted, 1))
	return nil
}

// presence books what a contact got.
func (n *fan) presence(s *session, el wire.Element) {
	name, _, _ := bytes.Cut(el.Attr("from"), []byte("@"))
	at, ok := n.index[string(name)]
	if !ok || at == s.index {
		return
	}
	u := &n.users[at]
	if u.mark == nil || !bytes.Contains(el.Raw, u.mark) {
		return
	}
	if u.got[s.index] {
		n.result.Again++
		return
	}
	u.got[s.index] = true
	n.result.Arrived++
	if n.from.IsZero() {
		return
	}
	n.counted++
	if !u.due.Before(n.from) {
		n.latencies = append(n.latencies, n.f.loop.now.Sub(u.due))
	}
}
