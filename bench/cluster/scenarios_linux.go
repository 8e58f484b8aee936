package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// What a pause may be.
const (
	killPause    = 3 * time.Second
	plannedPause = 300 * time.Millisecond
)

var scenarios = []scenario{
	{name: "node killed", times: 3, limit: killPause, act: killed},
	{name: "node restarted", times: 3, limit: plannedPause, act: restarted},
	{name: "node halted", times: 1, act: halted},
	{name: "node cut off from Redis", times: 1, act: apart(func(s *stage) [][2]*host { return ways(s.node().host, s.hosts.redis) })},
	{name: "answers of Redis cut off", times: 1, act: apart(func(s *stage) [][2]*host { return [][2]*host{{s.hosts.redis, s.node().host}} })},
	{name: "node cut off from nodes", times: 1, act: apart(func(s *stage) [][2]*host { return ways(s.node().host, s.others(s.node())...) })},
	{name: "node cut off from clients", times: 1, act: apart(func(s *stage) [][2]*host { return ways(s.node().host, clientHost, s.hosts.proxy) })},
	{name: "Redis killed", times: 1, act: func(ctx context.Context, s *stage) error { return s.redis.restart(ctx, 1500*time.Millisecond) }},
	{name: "Redis failed over", sentinels: true, times: 1, act: func(ctx context.Context, s *stage) error { return s.redis.failover(ctx) }},
}

func killed(ctx context.Context, s *stage) error {
	n := s.node()
	if err := n.end(syscall.SIGKILL); err != nil {
		return err
	}
	return errors.Join(s.crowd.flows(ctx), n.start(ctx), s.ready(ctx, n))
}

func restarted(ctx context.Context, s *stage) error {
	n := s.node()
	return errors.Join(n.end(syscall.SIGTERM), s.crowd.flows(ctx), n.start(ctx), s.ready(ctx, n))
}

// away is how long a node is halted or cut off: its lease lapses, and others
// take up its sessions.
const away = 5 * time.Second

// lapsed is what a node says that lets go of what others took up.
const lapsed = "cluster lease had lapsed"

func halted(ctx context.Context, s *stage) error {
	n := s.node()
	before := n.says(lapsed)
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(ctx, away)
	if err := errors.Join(s.crowd.flows(ctx), n.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	for limit := time.Now().Add(startTime); n.says(lapsed) == before; pause(ctx, 10*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return fmt.Errorf("%s was halted for %s and does not say %q", n.name, away, lapsed)
		}
	}
	return s.ready(ctx, n)
}

// ways are both directions between a host and others.
func ways(h *host, others ...*host) (all [][2]*host) {
	for _, o := range others {
		all = append(all, [2]*host{h, o}, [2]*host{o, h})
	}
	return all
}

// apart has a partition: hosts whose packets to others get lost.
func apart(lost func(s *stage) [][2]*host) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) (err error) {
		pairs := lost(s)
		for _, p := range pairs {
			err = errors.Join(err, cut(ctx, p[0], p[1]))
		}
		pause(ctx, away)
		err = errors.Join(err, s.crowd.flows(ctx))
		for _, p := range pairs {
			err = errors.Join(err, heal(ctx, p[0], p[1]))
		}
		return errors.Join(err, s.ready(ctx, s.node()))
	}
}
