package sip

import (
	"container/heap"
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/deskline/deskline/presence"
)

// plan is what the targets are to be.
type plan struct {
	targets []*target
	specs   map[*target]Subscription      // of those that stay
	lines   map[*target]map[string]*watch // of those that stay with other lines
}

// plan compares what is to be subscribed to with what is. A target stays if nothing but
// the lines differ that it subscribes to one by one, and its transport is not begun anew.
func (s *subscriber) plan(all []Subscription, anew func(transport string) bool) (*plan, error) {
	p := &plan{specs: map[*target]Subscription{}, lines: map[*target]map[string]*watch{}}
	old := s.list()
	for _, one := range all {
		t, err := s.target(one)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(old, func(o *target) bool { return o.key() == t.key() })
		if at < 0 || !same(old[at].spec, one) || anew(t.transport) {
			p.targets = append(p.targets, t)
			continue
		}
		p.targets = append(p.targets, old[at])
		p.specs[old[at]] = one
		if !slices.Equal(old[at].spec.Lines, one.Lines) {
			p.lines[old[at]] = t.all
		}
	}
	return p, nil
}

func same(a, b Subscription) bool {
	if a.LinesTo == "" { // else they are one list
		a.Lines, b.Lines = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// key is one server and event: there is one target of each.
func (t *target) key() string { return t.name + "\x00" + t.event }

// list returns the targets that are wanted.
func (s *subscriber) list() []*target {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targets
}

// set carries out a plan.
func (s *subscriber) set(p *plan) {
	s.mu.Lock()
	s.targets = p.targets
	for t, one := range p.specs {
		t.spec = one
	}
	for t, lines := range p.lines {
		t.next = lines
		select {
		case t.relined <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// run serves the targets that are wanted, until ctx ends. One begins after that in whose
// place it is has ended.
func (s *subscriber) run(ctx context.Context) error {
	defer close(s.done)
	var g sync.WaitGroup
	defer g.Wait()
	running, last := map[*target]context.CancelFunc{}, map[string]chan struct{}{}
	for {
		wanted := s.list()
		for t, stop := range running {
			if !slices.Contains(wanted, t) {
				stop()
				delete(running, t)
			}
		}
		for _, t := range wanted {
			if running[t] != nil {
				continue
			}
			own, stop := context.WithCancel(ctx)
			before, done := last[t.key()], make(chan struct{})
			running[t], last[t.key()] = stop, done
			g.Go(func() {
				defer close(done)
				defer stop()
				if before != nil {
					<-before
				}
				t.run(own)
				if ctx.Err() == nil {
					s.retract(t)
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.moved:
		}
	}
}

// retract takes back what a target said of lines that none in its place asks for.
func (s *subscriber) retract(t *target) {
	s.mu.Lock()
	kept := map[string]bool{}
	for _, o := range s.targets {
		if o.key() != t.key() {
			continue
		}
		for key := range o.all {
			kept[key] = true
		}
	}
	var gone []*watch
	for key, w := range t.all {
		delete(s.calls, w.callID)
		s.forget(w)
		if !kept[key] {
			gone = append(gone, w)
		}
	}
	s.mu.Unlock()
	s.source.lapse(gone)
}

// lapse takes back what subscriptions have said, unless another node has heard more.
func (s *Source) lapse(all []*watch) {
	now := time.Now()
	s.subscriber.mu.Lock() // for the members of lists
	s.mu.Lock()
	for _, w := range all {
		if w.list != nil {
			w.list.roll.Clear(func(line, origin string, _ presence.Line) { s.board.lapse(line, origin, now) })
			continue
		}
		s.board.lapse(w.line, w.origin, now)
	}
	s.mu.Unlock()
	s.subscriber.mu.Unlock()
	s.ring()
}

// reline adds lines and takes others away, while the rest goes on. It is of the target's
// loop.
func (t *target) reline() {
	t.sub.mu.Lock()
	var gone []*watch
	if want := t.next; want != nil {
		t.next = nil
		for key, w := range t.all {
			if want[key] != nil {
				continue
			}
			delete(t.all, key)
			if w.gone = true; w.at >= 0 { // else something is under way, after which it parts
				heap.Remove(&t.waiting, w.at)
				gone = append(gone, w)
			}
		}
		now := time.Now()
		for key, w := range want {
			if t.all[key] == nil {
				w.target, w.due, w.at = t, now, -1
				t.all[key] = w
				heap.Push(&t.waiting, w)
			}
		}
	}
	t.sub.mu.Unlock()
	t.part(gone)
}

// part ends the subscriptions to lines that are not asked for any more.
func (t *target) part(all []*watch) {
	if len(all) == 0 {
		return
	}
	if t.mine {
		t.leave(all)
	}
	t.sub.mu.Lock()
	gone := all[:0:0]
	for _, w := range all {
		delete(t.sub.calls, w.callID)
		t.sub.forget(w)
		if t.all[w.key] == nil { // else it is asked for again meanwhile
			gone = append(gone, w)
		}
	}
	t.sub.mu.Unlock()
	t.sub.source.lapse(gone)
}
