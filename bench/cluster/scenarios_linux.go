package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// What a pause may be.
const (
	killPause    = 3 * time.Second
	plannedPause = 300 * time.Millisecond
)

var scenarios = []scenario{
	{name: "node killed", times: 3, limit: killPause, act: killed},
	{name: "node restarted", times: 3, limit: plannedPause, act: restarted},
	{name: "users moved", times: 2, limit: plannedPause, act: moved},
	{name: "node halted", times: 1, act: halted},
	{name: "node cut off from Redis", times: 1, act: apart(func(s *stage) [][2]*site.Host { return ways(s.node().Host, s.Hosts.Redis) })},
	{name: "answers of Redis cut off", times: 1, act: apart(func(s *stage) [][2]*site.Host { return [][2]*site.Host{{s.Hosts.Redis, s.node().Host}} })},
	{name: "node cut off from nodes", times: 1, act: apart(func(s *stage) [][2]*site.Host { return ways(s.node().Host, s.Others(s.node())...) })},
	{name: "node cut off from clients", times: 1, act: apart(func(s *stage) [][2]*site.Host { return ways(s.node().Host, site.Clients, s.Hosts.Proxy) })},
	{name: "Redis killed", times: 1, act: func(ctx context.Context, s *stage) error { return s.Redis.Restart(ctx, 1500*time.Millisecond) }},
	{name: "Redis failed over", sentinels: true, times: 1, act: func(ctx context.Context, s *stage) error { return s.Redis.Failover(ctx) }},
}

func killed(ctx context.Context, s *stage) error {
	n := s.node()
	if err := n.End(syscall.SIGKILL); err != nil {
		return err
	}
	return errors.Join(s.crowd.flows(ctx), n.Start(ctx), s.Ready(ctx, n))
}

func restarted(ctx context.Context, s *stage) error {
	n := s.node()
	return errors.Join(n.End(syscall.SIGTERM), s.crowd.flows(ctx), n.Start(ctx), s.Ready(ctx, n))
}

// moved has an administrator move the users of a node to its peer and back, and
// drain it for a restart.
func moved(ctx context.Context, s *stage) error {
	n, other := s.Nodes[s.turn%2], s.Nodes[1-s.turn%2] // a pair
	for _, step := range []string{"failover", "fallback", "drain"} {
		if err := s.order(ctx, step, n, other); err != nil {
			return err
		}
		if err := s.crowd.flows(ctx); err != nil {
			return err
		}
	}
	return errors.Join(n.End(syscall.SIGTERM), n.Start(ctx), s.seen(ctx, n, other), s.order(ctx, "fallback", n, other))
}

// seen waits until a node counts as alive at another one.
func (s *stage) seen(ctx context.Context, n, at *site.Process) error {
	for limit := time.Now().Add(site.StartTime); time.Now().Before(limit) && ctx.Err() == nil; site.Pause(ctx, 50*time.Millisecond) {
		var status struct {
			Nodes []struct{ Node, Member string }
		}
		out, err := exec.CommandContext(ctx, s.cfg.Deskline, "cluster", "status", "--json", "--admin", net.JoinHostPort(at.Host.Addr, site.AdminPort)).Output()
		if err != nil || json.Unmarshal(out, &status) != nil {
			continue
		}
		for _, m := range status.Nodes {
			if m.Node == n.Name && m.Member == "alive" {
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not see %s", at.Name, n.Name)
}

// order gives a command about a node to another one.
func (s *stage) order(ctx context.Context, command string, about, to *site.Process) error {
	cmd := exec.CommandContext(ctx, s.cfg.Deskline, "cluster", command, about.Name,
		"--admin", net.JoinHostPort(to.Host.Addr, site.AdminPort), "--wait", site.StartTime.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

// away is how long a node is halted or cut off: its lease lapses, and others
// take up its sessions.
const away = 5 * time.Second

// lapsed is what a node says that lets go of what others took up.
const lapsed = "cluster lease had lapsed"

func halted(ctx context.Context, s *stage) error {
	n := s.node()
	before := n.Says(lapsed)
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	site.Pause(ctx, away)
	if err := errors.Join(s.crowd.flows(ctx), n.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	for limit := time.Now().Add(site.StartTime); n.Says(lapsed) == before; site.Pause(ctx, 10*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return fmt.Errorf("%s was halted for %s and does not say %q", n.Name, away, lapsed)
		}
	}
	return s.Ready(ctx, n)
}

// ways are both directions between a host and others.
func ways(h *site.Host, others ...*site.Host) (all [][2]*site.Host) {
	for _, o := range others {
		all = append(all, [2]*site.Host{h, o}, [2]*site.Host{o, h})
	}
	return all
}

// apart has a partition: hosts whose packets to others get lost.
func apart(lost func(s *stage) [][2]*site.Host) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) (err error) {
		pairs := lost(s)
		for _, p := range pairs {
			err = errors.Join(err, site.Cut(ctx, p[0], p[1]))
		}
		site.Pause(ctx, away)
		err = errors.Join(err, s.crowd.flows(ctx))
		for _, p := range pairs {
			err = errors.Join(err, site.Heal(ctx, p[0], p[1]))
		}
		return errors.Join(err, s.Ready(ctx, s.node()))
	}
}
