package main

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/bench/site"
)

// cast is everybody who changes something: people with their clients, telephones and
// calendars. Each acts in a goroutine of its own, one thing after the other.
type cast struct {
	cfg  config
	site *site.Site
	book *book
	http http.Client

	quiet   atomic.Bool  // nothing is changed any more, but what is so is said again
	silent  atomic.Bool  // telephones say nothing at all
	hurry   atomic.Int64 // how much faster lines change than else
	flicker atomic.Bool  // half of the people come and go all the time

	there atomic.Int64 // how many have signed in
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

const (
	token    = "a-token-of-the-soak"
	step     = 40 * time.Millisecond // between two thoughts of an actor
	contacts = 8                     // of each person
	tellTime = 2 * time.Second       // that a source waits for an answer
)

// Who has what. A line over HTTP has everybody: told in bulk, again and again before
// it ends, or once.
func inBulk(i int) bool        { return i%4 == 1 }
func again(i int) bool         { return i%4 == 3 }
func hasTelephone(i int) bool  { return i%2 == 0 }
func hasCalendar(i int) bool   { return i%3 == 0 }
func comesAndGoes(i int) bool  { return i%2 == 1 }
func lineOf(i int) string      { return strconv.Itoa(2000 + i) }
func telephoneOf(i int) string { return "sip:" + strconv.Itoa(3000+i) + "@pbx.example.com" }
func userOf(i int) string      { return peer.Prefix + strconv.Itoa(i) }

func sees(n int) func(i int) []int {
	return func(i int) []int { return load.Contacts(i, n, min(contacts, n-1)) }
}

func startCast(ctx context.Context, cfg config, s *site.Site, b *book) *cast {
	ctx, stop := context.WithCancel(ctx)
	c := &cast{cfg: cfg, site: s, book: b, stop: stop}
	c.http = http.Client{Timeout: tellTime}
	c.hurry.Store(1)
	act := func(number int, f func(a *actor, ctx context.Context)) {
		a := &actor{cast: c, i: number % cfg.Users, node: number % cfg.Nodes, random: rand.New(rand.NewPCG(cfg.Seed, uint64(number)))} //nolint:gosec // not negative
		c.wait.Go(func() { f(a, ctx) })
	}
	for i := range cfg.Users {
		act(i, (*actor).live)
	}
	for cfg.Stay && ctx.Err() == nil && c.there.Load() < int64(cfg.Users) {
		site.Pause(ctx, step)
	}
	for i := range cfg.Users {
		if !inBulk(i) {
			act(i+cfg.Users, (*actor).useLine)
		}
		if hasTelephone(i) {
			act(i+2*cfg.Users, (*actor).useTelephone)
		}
		if hasCalendar(i) {
			act(i+3*cfg.Users, (*actor).meet)
		}
	}
	act(4*cfg.Users, (*actor).feed)
	return c
}

// end has all leave.
func (c *cast) end() {
	c.stop()
	c.wait.Wait()
	c.http.CloseIdleConnections()
}

// actor is one who changes something of person i.
type actor struct {
	*cast
	i      int
	node   int // where it goes to, until that does not answer
	random *rand.Rand
}

// chance reports whether something happens in this step that happens every so often.
func (a *actor) chance(every time.Duration) bool {
	return a.random.Float64() < float64(step)/float64(every)
}

// pace is how long a source waits between two changes, as a rule.
func (a *actor) pace() time.Duration {
	sources := a.cfg.Users * 3
	return time.Duration(float64(time.Second) * float64(sources) / a.cfg.Rate / float64(a.hurry.Load()))
}

// turn waits until something is to be changed. Meanwhile repeat, if there is one, is
// called every so often.
func (a *actor) turn(ctx context.Context, every time.Duration, repeat func()) bool {
	last := time.Now()
	for ; ctx.Err() == nil; site.Pause(ctx, step) {
		if a.silent.Load() {
			continue
		}
		if repeat != nil && time.Since(last) >= every {
			repeat()
			last = time.Now()
		}
		if !a.quiet.Load() && a.chance(a.pace()) {
			return true
		}
	}
	return false
}

// at names the node that the actor goes to, and addresses a port of it.
func (a *actor) at(port string) (name, addr string) {
	n := a.site.Nodes[a.node%len(a.site.Nodes)]
	return n.Name, net.JoinHostPort(n.Host.Addr, port)
}

func (c *cast) calendarFile(i int) string {
	return filepath.Join(c.cfg.Dir, "calendars", userOf(i)+".ics")
}
