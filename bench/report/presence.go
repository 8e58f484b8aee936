//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
)

// changeRate is how many users change their presence in a second, which contacts see.
const changeRate = 20

// presence measures what it costs to tell contacts: of what clients say, and of lines that go off hook and on hook, at a node of a
// cluster with every other user at another one.
func (c *column) presence(ctx context.Context, t target) (err error) {
	if c.Kind == peer.Cluster {
		second, err := t.start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, second.Stop()) }()
		t.odd = second.URL
		first := t.process
		t.process = second.Process() // the lines are told at this one, see below
		return c.changes(ctx, t, second.URL, func() (time.Duration, error) {
			one, err := first.CPU()
			if err != nil {
				return 0, err
			}
			two, err := t.process.CPU()
			return one + two, err
		})
	}
	return c.changes(ctx, t, t.url, t.process.CPU)
}

func (c *column) changes(ctx context.Context, t target, at string, cpu load.Meter) error {
	f, err := c.fleet(t, c.o.mech, 2)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.SignIn(0, c.o.watched, parallel, 5*time.Minute); err != nil {
		return err
	}
	if err := f.Idle(settle); err != nil {
		return err
	}
	if c.Shown, err = c.fan(t, f, "presence", f.ByClient, cpu); err != nil || !c.discovers() {
		return err
	}
	feed, err := load.NewFeed(ctx, strings.TrimSuffix(at, "/http-bind")+"/presence/v1/lines", peer.Token)
	if err != nil {
		return err
	}
	c.Lines, err = c.fan(t, f, "lines", f.ByLine(feed.Tell), cpu)
	return errors.Join(err, feed.Close())
}

func (c *column) fan(t target, f *load.Fleet, name string, change load.Change, cpu load.Meter) (*load.Fan, error) {
	stop := c.profile(t, name, int(c.o.duration.Seconds()))
	fan, err := f.FanOut(c.o.watched, contacts, changeRate, c.o.duration, change, t.process, cpu)
	stop()
	c.say("%s: %.1f changes/s of %d users, %d contacts each, %.1f + %.1f µs a presence, p50 %s p99 %s max %s, %d missing, %d again, %d MB", name, fan.Rate,
		fan.Users, fan.Contacts, fan.CPU, fan.Beside, fan.P50.Round(10*time.Microsecond), fan.P99.Round(10*time.Microsecond),
		fan.Max.Round(10*time.Microsecond), fan.Missing(), fan.Again, fan.Memory>>20)
	return &fan, err
}

// fanRows are those of the table.
func fanRows() (all []row) {
	for _, kind := range []struct {
		name string
		get  func(*column) *load.Fan
	}{
		{"presence changed by clients", func(c *column) *load.Fan { return c.Shown }},
		{"presence changed by telephone lines", func(c *column) *load.Fan { return c.Lines }},
	} {
		cell := func(f func(*load.Fan) string) func(*column) string {
			return func(c *column) string {
				if fan := kind.get(c); fan != nil {
					return f(fan)
				}
				return "–"
			}
		}
		all = append(all,
			row{kind.name + ": CPU µs per contact told", cell(func(f *load.Fan) string { return cpuCell(&load.Flow{CPU: f.CPU, Beside: f.Beside}) })},
			row{kind.name + ": p50 / p99 ms", cell(func(f *load.Fan) string { return latencyCell(&load.Flow{P50: f.P50, P99: f.P99}) })},
			row{kind.name + ": told / missing / repeated", cell(func(f *load.Fan) string {
				return fmt.Sprintf("%s / %d / %d", number(float64(f.Arrived)), f.Missing(), f.Again)
			})},
		)
	}
	return all
}
