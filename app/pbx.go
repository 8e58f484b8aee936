package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/xmpp/jid"
)

// wish is a telephone switch as the configuration has it.
type wish struct {
	key  string // in the configuration
	cfg  pbx.Config
	mark [sha256.Size]byte // of all that makes it differ from another, passwords included
}

// switches are the telephone switches that tell what lines do.
type switches struct {
	n     *node
	wake  chan struct{}
	trial bool // they are asked for the full picture alone

	mu      sync.Mutex // guards all below
	wanted  []wish
	running []*running
}

// running is a switch that is listened to.
type running struct {
	wish
	source *pbx.Source
	stop   context.CancelFunc
	done   chan struct{}
}

func newSwitches(n *node) *switches { return &switches{n: n, wake: make(chan struct{}, 1)} }

// set has other switches listened to, soon.
func (s *switches) set(wanted []wish) {
	s.mu.Lock()
	s.wanted = wanted
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// refresh looks up again whose lines are.
func (s *switches) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		r.source.Refresh()
	}
}

// run listens to the switches that are wanted, until ctx ends.
func (s *switches) run(ctx context.Context) error {
	for {
		s.change(ctx)
		select {
		case <-ctx.Done():
			s.mu.Lock()
			all := s.running
			s.mu.Unlock()
			for _, r := range all {
				<-r.done
			}
			return nil
		case <-s.wake:
		}
	}
}

// change stops what is not wanted any more and starts what is new.
func (s *switches) change(ctx context.Context) {
	s.mu.Lock()
	wanted, old := s.wanted, s.running
	s.mu.Unlock()
	var next []*running
	for _, r := range old {
		if slices.ContainsFunc(wanted, func(w wish) bool { return w.mark == r.mark && w.cfg.Name == r.cfg.Name }) {
			next = append(next, r)
			continue
		}
		mine := r.source.Status().Mine
		r.stop()
		<-r.done
		if mine && !slices.ContainsFunc(wanted, func(w wish) bool { return w.cfg.Name == r.cfg.Name }) {
			s.n.forget(r.cfg.Name)
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(next, func(r *running) bool { return r.cfg.Name == w.cfg.Name }) {
			next = append(next, s.begin(ctx, w))
		}
	}
	s.mu.Lock()
	s.running = next
	s.mu.Unlock()
}

func (s *switches) begin(ctx context.Context, w wish) *running {
	name := w.cfg.Name
	w.cfg.Lines = s.n.composing.lineMap
	w.cfg.Known = func() []presence.Evidence { return s.n.presence.Known(name) }
	if s.n.composing.share != nil { // one node is enough, and another takes over when it dies
		w.cfg.Turn = func() bool { return s.n.owns("switch\x00" + name) }
	}
	ctx, stop := context.WithCancel(ctx)
	r := &running{wish: w, source: pbx.New(w.cfg), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer stop()
		if err := s.n.presence.RunSource(ctx, r.source); err != nil {
			s.n.log.ErrorContext(ctx, "telephone switch", "source", name, "err", err)
		}
	}()
	return r
}

// forget takes back what a source has told that is not in the configuration any more.
func (n *node) forget(source string) { n.forgetOf(source, func(jid.JID) bool { return true }) }

// forgetOf takes back what a source has told of some.
func (n *node) forgetOf(source string, whom func(user jid.JID) bool) {
	for _, e := range n.presence.Known(source) {
		if !whom(e.User) {
			continue
		}
		e.Expires, e.Seq = time.Time{}, e.Seq+1
		if err := n.presence.Observe(e); err != nil {
			n.log.Debug("evidence", "jid", e.User.String(), "source", source, "err", err)
		}
	}
}

// list returns the switches that this node speaks with, and how each is doing.
func (s *switches) list() map[string]pbx.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]pbx.Status{}
	for _, r := range s.running {
		if st := r.source.Status(); st.Mine {
			all[r.cfg.Name] = st
		}
	}
	return all
}

// checkSwitches tells how the switches do. Without one its lines are unknown, and all else goes on.
func (n *node) checkSwitches(context.Context) (string, error) {
	var up, away []string
	for name, st := range n.composing.switches.list() {
		switch {
		case st.Up:
			up = append(up, fmt.Sprintf("%s %d lines", name, st.Lines))
		case st.Err != "":
			away = append(away, name+": "+st.Err)
		default:
			up = append(up, name+" not there yet")
		}
	}
	slices.Sort(up)
	slices.Sort(away)
	detail := cmp.Or(strings.Join(up, ", "), "none here")
	if len(away) > 0 {
		return detail, admin.Degraded("what lines do is not known of " + strings.Join(away, "; "))
	}
	return detail, nil
}

// switchMetrics are the figures of the switches that this node speaks with.
func (n *node) switchMetrics() []admin.Labelled {
	one := func(name, help string, value func(pbx.Status) float64) admin.Labelled {
		return admin.Labelled{Name: name, Help: help, Labels: []string{"source"}, Read: func(emit func(float64, ...string)) {
			for source, st := range n.composing.switches.list() {
				emit(value(st), source)
			}
		}}
	}
	return []admin.Labelled{
		one("deskline_presence_switch_up", "Whether a telephone switch tells what its lines do, of those this node speaks with.", func(st pbx.Status) float64 {
			if st.Up {
				return 1
			}
			return 0
		}),
		one("deskline_presence_switch_lines", "Lines that a telephone switch tells of.", func(st pbx.Status) float64 { return float64(st.Lines) }),
	}
}

// trySwitches signs in to each switch and counts its lines, for a check.
func trySwitches(ctx context.Context, cfg configs.Config) []CheckResult {
	s := newSwitches(&node{log: discard()})
	s.trial = true
	all, err := s.prepare(cfg)
	if err != nil {
		return []CheckResult{{Name: "presence", Err: err}}
	}
	results := make([]CheckResult, len(all))
	for i, w := range all {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		lines, err := pbx.Try(ctx, w.cfg.Talk, w.cfg.Limit)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("the switch does not answer")
		}
		results[i] = CheckResult{Name: w.key, Detail: fmt.Sprintf("%s, %d lines", w.cfg.Name, lines), Err: err}
		if err == nil && lines == 0 && !strings.HasPrefix(w.cfg.Name, "freeswitch:") { // which knows none while nobody calls
			results[i].Warning = "it tells of no lines: look at contexts, watch, technologies and devices, or lines"
		}
	}
	return results
}
