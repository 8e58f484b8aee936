package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// watch finds out what happened to the nodes of the own pair, and gets done
// what its standing asks for.
func (r *Recovery) watch(ctx context.Context) error {
	if r.pair[1] == "" {
		return nil
	}
	view, now := r.cfg.Members.View(), time.Now()
	err := r.change(ctx, r.pair, func(p *pairRecord) error {
		for i := range r.pair {
			for _, e := range r.events(view, p, i, now) {
				r.step(ctx, p, e, now)
			}
		}
		if node, due := p.Standing.Due(now, r.cfg.AutoFallback); due && r.cfg.Mover != nil && r.bothAlive(view) {
			r.step(ctx, p, Event{Fallback, node, AutomaticFallback}, now)
		}
		return nil
	})
	if err != nil {
		return err
	}
	p := r.standing(r.pair)
	if drained := p.Drained[r.pair.Index(r.cfg.Node)]; drained != r.drained {
		r.drained = drained
		if err := r.cfg.Members.Update(func(m *Meta) { m.Draining = drained || m.Leaving }); err != nil {
			return err
		}
	}
	return r.carryOut(ctx, p.Standing)
}

// events are those of a node of the pair that p does not know of yet.
func (r *Recovery) events(view *View, p *pairRecord, i int, now time.Time) (list []Event) {
	id := r.pair[i]
	m, known := view.Member(id)
	if !known {
		if now.Sub(r.began) >= r.cfg.StartDelay {
			list = append(list, Event{Lost, i, PeerDownAtStart})
		}
		return list
	}
	switch m.State {
	case Dead:
		return []Event{{Lost, i, PeerDown}}
	case Left:
		return []Event{{Lost, i, PeerReboot}}
	case Doubtful:
		return nil // nobody is failed over for being slow
	}
	if p.Incarnations[i] != m.Incarnation {
		p.Incarnations[i] = m.Incarnation
		list = append(list, Event{Kind: Started, Node: i})
	}
	if m.Healthy {
		delete(r.ill, id)
		return append(list, Event{Kind: Ready, Node: i})
	}
	since, ill := r.ill[id]
	if !ill {
		r.ill[id] = now
	}
	// A node that nobody can take over from keeps its users, however ill it is.
	if ill && now.Sub(since) >= r.cfg.ServiceDelay && r.cfg.Mover != nil {
		list = append(list, Event{ServicesFailed, i, CriticalDown})
	}
	return list
}

// step takes an event into the standing of a pair and logs what it changed.
func (r *Recovery) step(ctx context.Context, p *pairRecord, e Event, now time.Time) {
	next, err := Step(p.Standing, e, now)
	if err != nil || next == p.Standing {
		return // only orders of administrators have an error
	}
	p.Standing = next
	r.cfg.Log.InfoContext(ctx, "pair changed", "event", e.Kind.String(), "node", r.pair[e.Node],
		"first", r.pair[0], "first_state", string(next[0].State), "first_reason", string(next[0].Reason),
		"second", r.pair[1], "second_state", string(next[1].State), "second_reason", string(next[1].Reason))
}

// standing returns a pair as it was last read; nodes not heard of are Unknown.
func (r *Recovery) standing(pair Pair) pairRecord {
	p, ok := r.records.Load().pairs[pair.ID()]
	if !ok {
		p.Standing = Standing{{State: Unknown}, {State: Unknown}}
	}
	return p
}

// change writes what fn makes of a pair; fn is called again if another node was
// faster. An error of fn writes nothing.
func (r *Recovery) change(ctx context.Context, pair Pair, fn func(*pairRecord) error) error {
	for range changesTried {
		before := r.standing(pair)
		after := before
		if err := fn(&after); err != nil {
			return err
		}
		if after == before {
			return nil
		}
		data, err := json.Marshal(after)
		if err != nil {
			return fmt.Errorf("pair %s: %w", pair.ID(), err)
		}
		key := pairPrefix + pair.ID()
		err = r.cfg.Store.SaveClusterRecord(ctx, Record{Key: key, Data: data, Version: r.records.Load().versions[key]}, false)
		if err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
		if err == nil && r.cfg.Failover != nil {
			count(before.Standing, after.Standing, r.cfg.Failover)
		}
		if loaded := r.load(ctx); loaded != nil || err == nil {
			return loaded
		}
	}
	return fmt.Errorf("pair %s: %w", pair.ID(), ErrConflict)
}

const changesTried = 10

// count tells of takeovers that began.
func count(before, after Standing, tell func(Reason)) {
	for i := range after {
		if after[i].State == TakingOver && before[i].State != TakingOver {
			tell(after[i].Reason)
		}
	}
}

// move is a [Mover] at work.
type move struct {
	Transition
	cancel context.CancelFunc
	done   chan error // one answer
}

// carryOut starts the move that a standing asks of this node, and gives up one
// that it does not ask for any more.
func (r *Recovery) carryOut(ctx context.Context, s Standing) error {
	want, moving := s.UnderWay()
	actor := want.From
	if want.Gone {
		actor = want.To
	}
	mine := moving && r.pair[actor] == r.cfg.Node
	if r.running != nil {
		if !mine || r.running.Transition != want {
			r.running.cancel()
		}
		return nil
	}
	if !mine {
		return nil
	}
	if r.cfg.Mover == nil {
		if !r.cfg.Heirs {
			// Nothing can be taken up; users sign in anew at the node that is left.
			r.cfg.Log.WarnContext(ctx, "sessions of a lost node end, this node cannot take them up", "node", r.pair[want.From])
		}
		return r.finish(ctx, want, Moved)
	}
	r.start(ctx, want)
	return nil
}

func (r *Recovery) start(ctx context.Context, t Transition) {
	plan := r.plan.Load()
	m := Move{From: r.pair[t.From], To: r.pair[t.To], Gone: t.Gone, Mine: func(jid.JID) bool { return true }}
	if t.Back {
		m.Mine = func(user jid.JID) bool { return plan.Assign(user).Primary == m.To }
		m.Window = r.cfg.Relogin
	}
	// A round ends soon, a move may take long.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.running = &move{t, cancel, make(chan error, 1)}
	done := r.running.done
	r.cfg.Log.InfoContext(ctx, "sessions are handed over", "from", m.From, "to", m.To, "from_is_gone", m.Gone)
	r.moves.Go(func() { done <- r.cfg.Mover.Move(ctx, m) })
}

// arrived takes in how the running move ended.
func (r *Recovery) arrived(ctx context.Context, err error) error {
	ran := r.running
	r.running = nil
	ran.cancel()
	if now, still := r.standing(r.pair).Standing.UnderWay(); !still || now != ran.Transition {
		return nil // it was given up
	}
	kind := Moved
	if err != nil {
		kind = MoveFailed
		r.cfg.Log.ErrorContext(ctx, "sessions could not be handed over", "from", r.pair[ran.From], "to", r.pair[ran.To], "err", err)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	return r.finish(ctx, ran.Transition, kind)
}

func (r *Recovery) finish(ctx context.Context, t Transition, kind EventKind) error {
	return r.change(ctx, r.pair, func(p *pairRecord) error {
		if now, still := p.Standing.UnderWay(); still && now == t {
			r.step(ctx, p, Event{Kind: kind, Node: t.From}, time.Now())
		}
		return nil
	})
}

func (r *Recovery) bothAlive(view *View) bool {
	for _, id := range r.pair {
		if !alive(view, id) {
			return false
		}
	}
	return true
}

func alive(view *View, id router.NodeID) bool {
	m, ok := view.Member(id)
	return ok && m.State == Alive
}
