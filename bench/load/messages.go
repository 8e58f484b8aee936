//go:build linux

package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Meter reads how much processor time the server has used so far.
type Meter func() (time.Duration, error)

// Flow is the result of one message phase.
type Flow struct {
	Pairs   int           `json:"pairs"`
	Rate    float64       `json:"rate"`      // messages delivered a second
	CPU     float64       `json:"cpu_us"`    // server µs per delivered message
	Beside  float64       `json:"beside_us"` // µs of what Config.Beside measures
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
	Ledger  Ledger        `json:"ledger"`
	Window  time.Duration `json:"window"`
	Foreign float64       `json:"foreign"` // cores that other programs used meanwhile
	counted int
}

// drain is how long a phase waits for its last messages.
const drain = 15 * time.Second

// warmUp is the part of a phase before the clock starts.
const warmUp = time.Second

// OpenLoop sends rate messages a second over the first pairs pairs of sessions
// (2n → 2n+1) for d, whether the server keeps up or not: latency counts from
// the moment a message was due. The moments are random and independent, as
// those of people are (a Poisson process), from a fixed seed.
func (f *Fleet) OpenLoop(pairs, rate int, d time.Duration, cpu Meter) (Flow, error) {
	run := f.newRun(pairs, cpu)
	if err := f.steady(pairs, rate, uint64(rate)); err != nil {
		return Flow{}, err
	}
	return run.finish(d, func() error { return f.loop.at(time.Time{}, nil) })
}

// steady makes rate messages a second go out from now on, until the loop's
// timer is taken back.
func (f *Fleet) steady(pairs, rate int, seed uint64) error {
	random := rand.New(rand.NewPCG(1, seed))
	gap := func() time.Duration {
		return time.Duration(random.ExpFloat64() * float64(time.Second) / float64(rate))
	}
	due := time.Now().Add(gap())
	sent := 0
	var tick func() error
	tick = func() error {
		for ; !due.After(f.loop.now); due = due.Add(gap()) {
			f.post(sent%pairs, due)
			sent++
		}
		return f.loop.at(due, tick)
	}
	return f.loop.at(due, tick)
}

// ClosedLoop keeps depth messages under way in each of the first pairs pairs
// for d: one that arrives makes the next one go.
func (f *Fleet) ClosedLoop(pairs, depth int, d time.Duration, cpu Meter) (Flow, error) {
	run := f.newRun(pairs, cpu)
	on := true
	counted := f.onDelivered
	f.onDelivered = func(st *Stream, place int) {
		counted(st, place)
		if on {
			f.post(st.ID, f.loop.now)
		}
	}
	f.loop.now = time.Now()
	for range depth {
		for p := range pairs {
			f.post(p, f.loop.now)
		}
	}
	return run.finish(d, func() error { on = false; return nil })
}

// run is one message phase under way.
type run struct {
	f         *Fleet
	cpu       Meter
	from      time.Time // messages due from now on count; zero: none yet
	latencies []time.Duration
	flow      Flow
}

func (f *Fleet) newRun(pairs int, cpu Meter) *run {
	r := &run{f: f, cpu: cpu, flow: Flow{Pairs: pairs}, latencies: make([]time.Duration, 0, 1<<20)}
	f.book, f.streams = Ledger{}, f.streams[:0]
	for p := range pairs {
		st := &Stream{ID: p}
		f.streams = append(f.streams, st)
		f.sessions[2*p+1].stream = st
	}
	f.onDelivered = func(st *Stream, place int) {
		if r.from.IsZero() {
			return
		}
		r.flow.counted++
		if due := st.sentAt[place]; !due.Before(r.from) {
			r.latencies = append(r.latencies, f.loop.now.Sub(due))
		}
	}
	return r
}

// post sends one message in stream p.
func (f *Fleet) post(p int, due time.Time) {
	from, to, st := f.sessions[2*p], f.sessions[2*p+1], f.streams[p]
	place := st.Send(due)
	f.book.Sent++
	b := append(from.pending, "<message xmlns='jabber:client' to='"...)
	b = append(append(b, to.jid...), "' type='chat'"...)
	if f.cfg.Relay { // a server would stamp it
		b = append(append(append(b, " from='"...), from.jid...), '\'')
	}
	b = AppendMark(append(b, "><body>"...), st.ID, place)
	from.pending = append(append(b, f.padding...), "</body></message>"...)
	f.loop.mark(from)
}

// clocks are processor times at one moment.
type clocks struct{ server, beside, machine, own time.Duration }

func (r *run) clocks() (c clocks, err error) {
	if c.server, err = r.cpu(); err != nil {
		return c, err
	}
	if beside := r.f.cfg.Beside; beside != nil {
		if c.beside, err = beside(); err != nil {
			return c, err
		}
	}
	if c.machine, err = machine(); err != nil {
		return c, err
	}
	c.own, err = own()
	return c, err
}

// finish warms up, measures for d, stops the senders, waits for the last
// messages and closes the ledger.
func (r *run) finish(d time.Duration, stop func() error) (Flow, error) {
	f := r.f
	never := func() bool { return len(f.errs) > 0 }
	if _, err := f.loop.run(never, warmUp); err != nil {
		return r.flow, err
	}
	before, err := r.clocks()
	if err != nil {
		return r.flow, err
	}
	r.from = time.Now()
	if _, err := f.loop.run(never, d); err != nil {
		return r.flow, err
	}
	after, err := r.clocks()
	if err != nil {
		return r.flow, err
	}
	r.flow.Window = time.Since(r.from)
	counted := r.flow.counted
	if err := stop(); err != nil {
		return r.flow, err
	}
	broken := r.settle()
	r.flow.Ledger = f.book
	r.flow.Rate = float64(counted) / r.flow.Window.Seconds()
	used, beside := after.server-before.server, after.beside-before.beside
	r.flow.CPU = float64(used.Microseconds()) / float64(max(counted, 1))
	r.flow.Beside = float64(beside.Microseconds()) / float64(max(counted, 1))
	r.flow.Foreign = max(0, (after.machine-before.machine-used-beside-(after.own-before.own)).Seconds()/r.flow.Window.Seconds())
	slices.Sort(r.latencies)
	if n := len(r.latencies); n > 0 {
		r.flow.P50, r.flow.P99, r.flow.Max = r.latencies[n/2], r.latencies[n*99/100], r.latencies[n-1]
	}
	return r.flow, broken
}

// settle waits for the last messages and closes the ledger.
func (r *run) settle() error {
	f := r.f
	settled := func() bool { return f.book.Delivered >= f.book.Sent || len(f.errs) > 0 }
	if _, err := f.loop.run(settled, drain); err != nil {
		return err
	}
	f.onDelivered = nil
	for _, st := range f.streams {
		f.book.Lost += st.Lost()
	}
	if len(f.errs) > 0 {
		return fmt.Errorf("%d sessions broke, the first: %w", len(f.errs), f.errs[0])
	}
	return nil
}
