package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// scenario is one way to make presence suffer. Its act is one event: it returns when
// everything is as before.
type scenario struct {
	name  string
	times int // events at least
	act   func(ctx context.Context, s *stage) error
}

var scenarios = []scenario{
	{"calm", 1, func(ctx context.Context, s *stage) error { s.act(ctx, 6*time.Second); return nil }},
	{"coming while lines change", 3, blinking},
	{"sources silent", 1, silent},
	{"node killed", 1, trouble(false, killed)},
	{"node halted", 1, trouble(false, halted)},
	{"nodes restarted in turn", 1, trouble(false, restarted)},
	{"node cut off from clients and sources", 1, trouble(false, apart(func(s *stage) []*site.Host { return []*site.Host{site.Clients} }))},
	{"node cut off from nodes", 1, trouble(true, apart(func(s *stage) []*site.Host { return s.Others(s.node()) }))},
	{"node cut off from Redis", 1, trouble(true, apart(func(s *stage) []*site.Host { return []*site.Host{s.Hosts.Redis} }))},
	{"Redis killed", 1, trouble(true, func(ctx context.Context, s *stage) error { return s.Redis.Restart(ctx, 1500*time.Millisecond) })},
}

// outage is how long a node is halted or cut off: its lease lapses, and others take up
// its sessions.
const outage = 5 * time.Second

// trouble has the ledger know that there is some, and whether nodes cannot tell one
// another what they hear meanwhile.
func trouble(cutOff bool, act func(ctx context.Context, s *stage) error) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) error {
		s.book.trouble(true, cutOff, "trouble with "+s.node().Name)
		done := make(chan error, 1)
		go func() { done <- act(ctx, s) }() // it ends before this function
		for {
			select {
			case err := <-done:
				s.book.trouble(false, false, "the trouble is over")
				return err
			case <-time.After(2 * step):
				s.sweep(ctx)
			}
		}
	}
}

// blinking has half of the people come and go all the time while lines change fast.
func blinking(ctx context.Context, s *stage) error {
	s.cast.flicker.Store(true)
	s.cast.hurry.Store(8)
	s.act(ctx, 4*time.Second)
	s.cast.flicker.Store(false)
	s.cast.hurry.Store(1)
	return nil
}

// silent has telephones say nothing until all that they said is over.
func silent(ctx context.Context, s *stage) error {
	s.cast.silent.Store(true)
	defer s.cast.silent.Store(false)
	s.act(ctx, max(lineTTL, publishTime)+s.book.bounds.stuck+s.book.bounds.spread+2*time.Second)
	return nil
}

func killed(ctx context.Context, s *stage) error {
	n := s.node()
	if err := n.End(syscall.SIGKILL); err != nil {
		return err
	}
	site.Pause(ctx, time.Duration(s.random.Int64N(int64(outage))))
	return errors.Join(n.Start(ctx), s.Ready(ctx, n))
}

// restarted has one node after the other stop in good order and start.
func restarted(ctx context.Context, s *stage) error {
	for _, n := range s.Nodes {
		if err := errors.Join(n.End(syscall.SIGTERM), n.Start(ctx), s.Ready(ctx, n)); err != nil {
			return err
		}
		site.Pause(ctx, time.Second)
	}
	return nil
}

// lapsed is what a node says that lets go of what others took up.
const lapsed = "cluster lease had lapsed"

func halted(ctx context.Context, s *stage) error {
	n := s.node()
	before := n.Says(lapsed)
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	site.Pause(ctx, outage)
	if err := n.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	for limit := time.Now().Add(site.StartTime); n.Says(lapsed) == before; site.Pause(ctx, step) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return fmt.Errorf("%s was halted for %s and does not say %q", n.Name, outage, lapsed)
		}
	}
	return s.Ready(ctx, n)
}

// apart has a partition: nothing goes between the node and some hosts.
func apart(from func(s *stage) []*site.Host) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) (err error) {
		n := s.node()
		for _, h := range from(s) {
			err = errors.Join(err, site.Cut(ctx, n.Host, h), site.Cut(ctx, h, n.Host))
		}
		site.Pause(ctx, outage)
		for _, h := range from(s) {
			err = errors.Join(err, site.Heal(ctx, n.Host, h), site.Heal(ctx, h, n.Host))
		}
		return errors.Join(err, s.Ready(ctx, n))
	}
}
