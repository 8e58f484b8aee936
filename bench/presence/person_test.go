package main

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func after(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func fair() *weather { return &weather{spread: 100 * time.Millisecond, settle: time.Second} }

// here is a person who has been there for long.
func here(w *weather) *person {
	p := newPerson(w, noon.Add(-time.Hour))
	p.begin(online, 1, coming, noon.Add(-time.Hour))
	p.accept(online, 1, noon.Add(-time.Hour))
	p.advance(noon)
	return p
}

func (p *person) want(t *testing.T, at time.Time, want set) {
	t.Helper()
	p.advance(at)
	if got := p.time[p.index(at)].set; got != want {
		t.Errorf("after %s: %s, want %s", at.Sub(noon), got, want)
	}
}

func TestTruth(t *testing.T) {
	t.Parallel()
	p := here(fair())
	p.want(t, noon, 1<<available)
	p.begin(line, 1, callBegins, after(0))
	p.want(t, after(10), 1<<available|1<<onThePhone)
	p.accept(line, 1, after(20))
	p.plan(line, 0, lineLapses, after(2000), after(2010))
	p.want(t, after(119), 1<<available|1<<onThePhone)
	p.want(t, after(120), 1<<onThePhone)
	p.want(t, after(2005), 1<<available|1<<onThePhone)
	p.want(t, after(2200), 1<<available)
	if c := p.latest; !c.ok || c.cause != lineLapses || c.to != available || !c.at.Equal(after(2000)) {
		t.Errorf("the latest change is %+v", c)
	}
}

// TestRepeated has a line told of again before it ends.
func TestRepeated(t *testing.T) {
	t.Parallel()
	p := here(fair())
	for ms := 0; ms < 5000; ms += 500 {
		p.begin(line, 1, callBegins, after(ms))
		p.accept(line, 1, after(ms+10))
		p.plan(line, 0, lineLapses, after(ms+1000), after(ms+1010))
	}
	p.want(t, after(4600), 1<<onThePhone)
	p.want(t, after(7000), 1<<available)
}

// TestTrouble has what changes in trouble be certain some time after its end.
func TestTrouble(t *testing.T) {
	t.Parallel()
	w := fair()
	p := here(w)
	w.trouble, w.since = true, after(0)
	p.begin(line, 1, callBegins, after(100))
	p.accept(line, 1, after(200))
	p.want(t, after(4000), 1<<available|1<<onThePhone)
	w.trouble, w.until = false, after(4000)
	p.want(t, after(4900), 1<<available|1<<onThePhone)
	p.want(t, after(5000), 1<<onThePhone)
	p.inputs[line].doubt = true
	p.begin(line, 0, callEnds, after(6000))
	p.accept(line, 0, after(6010))
	p.want(t, after(9000), 1<<available|1<<onThePhone)
	p.inputs[line].doubt = false
	p.want(t, after(9100), 1<<available)
}

func TestMatch(t *testing.T) {
	t.Parallel()
	p := here(fair())
	for k, value := range []uint8{1, 0, 1} {
		p.begin(line, value, callBegins, after(1000*k))
		p.accept(line, value, after(1000*k))
	}
	p.advance(after(5000)) // available, either, phone, either, available, either, phone
	first := p.match(onThePhone, 0, noon, after(5000))
	back := p.match(available, first+1, noon, after(5000))
	if first < 0 || back < 0 {
		t.Fatalf("%d, %d in %v", first, back, p.time)
	}
	if k := p.match(available, len(p.time)-1, noon, after(5000)); k >= 0 {
		t.Errorf("available is matched at %d of %v", k, p.time)
	}
	if k := p.match(available, 0, after(4000), after(5000)); k >= 0 {
		t.Errorf("what is over for long is matched at %d of %v", k, p.time)
	}
}
