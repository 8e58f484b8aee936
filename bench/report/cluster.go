//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
)

const (
	killed     = 5000 // sessions of the node that is killed
	killedRate = 200  // messages a second between them meanwhile
	askers     = 16   // connections that ask for a user's nodes
)

// withRedis is with for a node of a cluster, and the Redis under it.
func (c *column) withRedis(ctx context.Context, files peer.Options, f func(target) error) (err error) {
	redis, err := peer.Start(ctx, peer.Redis, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Stop()) }()
	files.Cluster = &peer.Group{Redis: redis.URL}
	start := func() (*peer.Server, error) { return peer.Start(ctx, peer.Cluster, files) }
	s, err := start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return f(target{url: s.URL, admin: s.Admin, process: s.Process(), kill: s.Kill, beside: redis.Process().CPU, start: start})
}

// cluster measures what only nodes of a cluster do.
func (c *column) cluster(ctx context.Context) error {
	if c.wants("across") {
		if err := c.with(ctx, 2*pairs, 0, c.across); err != nil {
			return err
		}
	}
	if ctx.Err() == nil && c.wants("takeover") {
		return c.with(ctx, killed, 0, c.takeover)
	}
	return ctx.Err()
}

// across sends from a node to another one. Their processor time is that of both.
func (c *column) across(t target) (err error) {
	second, err := t.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Stop()) }()
	t.odd = second.URL
	f, err := c.fleet(t, c.o.mech, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.SignIn(0, 2*pairs, parallel, time.Minute); err != nil {
		return err
	}
	both := func() (time.Duration, error) {
		one, err := t.process.CPU()
		if err != nil {
			return 0, err
		}
		two, err := second.Process().CPU()
		return one + two, err
	}
	c.Across, err = c.flow(t, "across", func() (load.Flow, error) { return f.OpenLoop(pairs, 200, c.o.duration, both) })
	return err
}

// takeover kills the node of many sessions that write to each other.
func (c *column) takeover(t target) (err error) {
	f, err := c.fleet(t, c.o.mech, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.SignIn(0, killed, parallel, 3*time.Minute); err != nil {
		return err
	}
	second, err := t.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Stop()) }()
	stop := c.profile(target{admin: second.Admin}, "takeover", 8)
	over, err := f.TakeOver(killed/2, killedRate, second.URL, t.kill, time.Minute)
	stop()
	c.TakeOver = &over
	c.say("take-over of %d sessions: half after %s, all after %s, %+v", over.Sessions,
		over.Half.Round(time.Millisecond), over.All.Round(time.Millisecond), over.Ledger)
	return err
}

// discovers reports whether the server tells clients their nodes.
func (c *column) discovers() bool { return c.Kind == peer.Deskline || c.Kind == peer.Cluster }

func (c *column) discovery(t target) error {
	for _, phase := range []struct {
		name string
		tag  bool
		to   **load.Gets
	}{{"discovery", false, &c.Told}, {"discovery, unchanged", true, &c.Same}} {
		g, err := load.Discover(t.url, c.o.users+"%d@"+c.o.domain, 2*pairs, askers, phase.tag, c.o.duration/2, t.process.CPU)
		if err != nil {
			return err
		}
		c.say("%s: %.0f/s, %.1f µs each", phase.name, g.Rate, g.CPU)
		*phase.to = &g
	}
	return nil
}
