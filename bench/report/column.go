//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
)

const (
	pairs       = 200
	closedPairs = 100
	depth       = 4
	stormUsers  = 2000
	contacts    = 50
	parallel    = 50 // sign-ins at a time
	settle      = 5 * time.Second
	scramUsers  = 500
)

// setup is the cost of signing in.
type setup struct {
	Mech   string  `json:"mech"`
	Count  int     `json:"count"`
	Second float64 `json:"per_second"`
	CPU    float64 `json:"cpu_us"`
}

// idle is the memory of sessions that do nothing.
type idle struct {
	Sessions int     `json:"sessions"`
	Conns    int     `json:"connections"`
	KB       float64 `json:"kb"`
}

// column is one server's figures.
type column struct {
	Kind   peer.Kind   `json:"kind"`
	Title  string      `json:"title"`
	Error  string      `json:"error,omitempty"`
	Setup  *setup      `json:"setup,omitempty"`
	Scram  *setup      `json:"scram,omitempty"`
	Few    *idle       `json:"few,omitempty"`
	Many   *idle       `json:"many,omitempty"`
	Slow   *load.Flow  `json:"slow,omitempty"`
	Fast   *load.Flow  `json:"fast,omitempty"`
	Closed *load.Flow  `json:"closed,omitempty"`
	Storm  *load.Storm `json:"storm,omitempty"`
	Shown  *load.Fan   `json:"shown,omitempty"` // presence that clients change
	Lines  *load.Fan   `json:"lines,omitempty"` // and that telephone lines do
	Resent int         `json:"resent"`

	Across   *load.Flow     `json:"across,omitempty"` // from node to node
	TakeOver *load.TakeOver `json:"takeover,omitempty"`
	Told     *load.Gets     `json:"told,omitempty"`      // discovery, the whole answer
	Same     *load.Gets     `json:"unchanged,omitempty"` // discovery, what the client has is still true

	o     options
	files peer.Options
}

func (c *column) wants(phase string) bool {
	for p := range strings.SplitSeq(c.o.phases, ",") {
		if strings.TrimSpace(p) == phase {
			return true
		}
	}
	return false
}

func (c *column) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %-9s %s\n", time.Now().Format(time.TimeOnly), c.Kind, fmt.Sprintf(format, args...))
}

// target is a running server, whoever started it.
type target struct {
	url, admin string
	process    load.Process
	beside     load.Meter // of the Redis of a cluster
	kill       func() error
	start      func() (*peer.Server, error) // a further node of the cluster
	odd        string                       // URL of the node of users with odd numbers
}

// measure runs all phases; each group of them has a server of its own.
func (c *column) measure(ctx context.Context) error {
	if err := c.with(ctx, 2*max(c.o.few, 2*pairs), 0, c.messages); err != nil {
		return err
	}
	if c.Kind == peer.Cluster {
		if err := c.cluster(ctx); err != nil {
			return err
		}
	}
	if ctx.Err() == nil && c.wants("many") && c.Kind != "url" {
		if err := c.with(ctx, c.o.many, 0, c.crowd); err != nil {
			return err
		}
	}
	if ctx.Err() == nil && c.wants("presence") && c.Kind != peer.Relay {
		if err := c.with(ctx, c.o.watched, contacts, func(t target) error { return c.presence(ctx, t) }); err != nil {
			return err
		}
	}
	if ctx.Err() == nil && c.wants("storm") && c.Kind != peer.Relay {
		return c.with(ctx, stormUsers, contacts, c.storm)
	}
	return ctx.Err()
}

func (c *column) with(ctx context.Context, users, contacts int, f func(target) error) (err error) {
	if c.Kind == "url" {
		return f(target{url: c.o.url, process: load.Process(c.o.pid)})
	}
	files := c.files
	files.Users, files.Contacts = users, contacts
	c.say("starting with %d users", users)
	if c.Kind == peer.Cluster {
		return c.withRedis(ctx, files, f)
	}
	s, err := peer.Start(ctx, c.Kind, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return f(target{url: s.URL, admin: s.Admin, process: s.Process()})
}

func (c *column) fleet(t target, mech string, conns int) (*load.Fleet, error) {
	return load.NewFleet(load.Config{
		URL: t.url, Domain: c.o.domain, Prefix: c.o.users, Password: c.o.passwd,
		Mech: mech, Conns: conns, Relay: c.Kind == peer.Relay,
		Odd: t.odd, Beside: t.beside,
	})
}

// messages measures set-up, memory at few sessions and the message phases.
func (c *column) messages(t target) (err error) {
	f, err := c.fleet(t, c.o.mech, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	defer func() { c.Resent += f.Resent }()
	count := max(2*pairs, 2*closedPairs)
	if c.wants("setup") || c.wants("idle") {
		count = max(count, c.o.few)
	}
	if c.Setup, c.Few, err = c.signIn(t, f, c.o.mech, 0, count, 2, c.wants("idle")); err != nil {
		return err
	}
	if err := f.Leave(2*pairs, count-2*pairs, 20*time.Second); err != nil {
		return err
	}
	if c.wants("flow") {
		if c.Slow, err = c.flow(t, "200", func() (load.Flow, error) { return f.OpenLoop(pairs, 200, c.o.duration, t.process.CPU) }); err != nil {
			return err
		}
		if c.Fast, err = c.flow(t, "1000", func() (load.Flow, error) { return f.OpenLoop(pairs, 1000, c.o.duration, t.process.CPU) }); err != nil {
			return err
		}
	}
	if c.wants("closed") {
		if c.Closed, err = c.flow(t, "closed", func() (load.Flow, error) {
			return f.ClosedLoop(closedPairs, depth, c.o.duration, t.process.CPU)
		}); err != nil {
			return err
		}
	}
	if c.wants("discovery") && c.discovers() {
		if err := c.discovery(t); err != nil {
			return err
		}
	}
	if c.wants("scram") && c.Kind != peer.Relay {
		return c.scram(t, count)
	}
	return nil
}

func (c *column) scram(t target, first int) error {
	f, err := c.fleet(t, c.o.scram, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	c.Scram, _, err = c.signIn(t, f, c.o.scram, first, scramUsers, 2, false)
	return err
}

// signIn signs users in on the clock, and weighs them once they rest.
func (c *column) signIn(t target, f *load.Fleet, mech string, first, count, conns int, weigh bool) (*setup, *idle, error) {
	defer c.profile(t, "signin-"+mech, 3)()
	cpu, err := t.process.CPU()
	if err != nil {
		return nil, nil, err
	}
	rss, err := t.process.RSS()
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	if err := f.SignIn(first, count, parallel, 3*time.Minute); err != nil {
		return nil, nil, err
	}
	wall := time.Since(began)
	after, err := t.process.CPU()
	if err != nil {
		return nil, nil, err
	}
	s := &setup{
		Mech: mech, Count: count, Second: float64(count) / wall.Seconds(),
		CPU: float64((after - cpu).Microseconds()) / float64(count),
	}
	c.say("%d signed in with %s: %.0f/s, %.0f µs each", count, mech, s.Second, s.CPU)
	if !weigh {
		return s, nil, nil
	}
	if err := f.Idle(settle); err != nil {
		return s, nil, err
	}
	now, err := t.process.RSS()
	if err != nil {
		return s, nil, err
	}
	m := &idle{Sessions: count, Conns: conns, KB: float64(now-rss) / 1024 / float64(count)}
	c.say("%d idle sessions, %d connections each: %.1f KB each", count, conns, m.KB)
	return s, m, nil
}

func (c *column) flow(t target, name string, phase func() (load.Flow, error)) (*load.Flow, error) {
	stop := c.profile(t, name, int(c.o.duration.Seconds()))
	fl, err := phase()
	stop()
	c.say("%s: %.0f messages/s, %.1f + %.1f µs each, p50 %s p99 %s, others use %.2f cores, %+v", name, fl.Rate, fl.CPU,
		fl.Beside, fl.P50.Round(10*time.Microsecond), fl.P99.Round(10*time.Microsecond), fl.Foreign, fl.Ledger)
	return &fl, err
}

// crowd weighs many idle sessions.
func (c *column) crowd(t target) error {
	conns := 2
	if maxFiles() < 2*c.o.many+1000 {
		conns = 1
	}
	f, err := c.fleet(t, c.o.mech, conns)
	if err != nil {
		return err
	}
	defer f.Close()
	_, c.Many, err = c.signIn(t, f, c.o.mech, 0, c.o.many, conns, true)
	return err
}

func (c *column) storm(t target) error {
	mech := c.o.mech
	if c.Kind == peer.Deskline || c.Kind == peer.Cluster {
		mech = c.o.scram
	}
	f, err := c.fleet(t, mech, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	stop := c.profile(t, "storm", 3)
	st, err := f.LoginStorm(stormUsers, contacts, 200, 2*time.Minute, t.process.CPU)
	stop()
	c.Storm = &st
	c.say("storm: %.1f s, %.1f µs a presence, %d missing, %d repeats", st.Wall.Seconds(), st.CPU, st.Missing, st.Repeats)
	return err
}

// profile takes a CPU profile of Deskline for some seconds when asked to; the
// function returned waits for it.
func (c *column) profile(t target, name string, seconds int) func() {
	if c.o.profile == "" || t.admin == "" {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := fetch(t.admin+fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(seconds, 1)),
			filepath.Join(c.o.profile, string(c.Kind)+"-"+name+".pprof")); err != nil {
			c.say("profile: %v", err)
		}
	})
	return wg.Wait
}

func fetch(url, path string) (err error) {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
