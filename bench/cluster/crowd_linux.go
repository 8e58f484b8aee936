package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// client is a session of either kind.
type client interface {
	open(ctx context.Context) error
	say(ctx context.Context, mark string) error
	home() // go to the first door again
	close(ctx context.Context)
}

// crowd is clients who talk in pairs.
type crowd struct {
	book    *book
	clients []client
	troupe  *troupe
	stop    chan struct{} // ends the talk
	talk    sync.WaitGroup
}

// flowTime is how long the talk may stand still before it counts as ended.
const flowTime = 40 * time.Second

func startCrowd(ctx context.Context, s *site.Site, cfg config, b *book) (*crowd, error) {
	t, err := startTroupe(s.Dir, cfg.Modules, b)
	if err != nil {
		return nil, err
	}
	c := &crowd{book: b, troupe: t, stop: make(chan struct{})}
	for i := range cfg.Sessions {
		if i%2 == 0 { // a pair is one of each kind
			c.clients = append(c.clients, newRaw(i, doors(s, i), b))
		} else {
			c.clients = append(c.clients, t.add(i, doors(s, i)))
		}
	}
	if err := c.open(ctx); err != nil {
		c.end(ctx)
		return nil, err
	}
	b.mark()
	for i := range c.clients {
		c.talk.Go(func() { c.speak(ctx, i, cfg.pace()) })
	}
	return c, nil
}

// doors are the addresses a client has, in its order. Half of them come through
// HAProxy, the others have a primary and a secondary node.
func doors(s *site.Site, i int) []string {
	switch i / 2 % 4 {
	case 0:
		return []string{site.Door(s.Hosts.Proxy.Addr, site.EvenPort)}
	case 2:
		return []string{site.Door(s.Hosts.Proxy.Addr, site.LeastPort)}
	}
	return s.Doors(i/4 + i) // the two of a pair have different homes
}

// open signs all clients in at once.
func (c *crowd) open(ctx context.Context) error {
	errs := make([]error, len(c.clients))
	var wg sync.WaitGroup
	for i, one := range c.clients {
		wg.Go(func() {
			if err := one.open(ctx); err != nil {
				errs[i] = fmt.Errorf("client %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *crowd) speak(ctx context.Context, i int, gap time.Duration) {
	tick := time.NewTicker(gap)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.clients[i].say(ctx, c.book.send(i)) != nil {
			return // it is in the book
		}
	}
}

// flows waits until every client has something that was sent after now.
func (c *crowd) flows(ctx context.Context) error {
	places := c.book.places()
	for i := range places {
		places[i]++ // one is on its way
	}
	limit := time.Now().Add(flowTime)
	for {
		behind := c.book.behind(places)
		if len(behind) == 0 {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			return fmt.Errorf("nothing arrives any more from clients %v", behind)
		}
		site.Pause(ctx, 5*time.Millisecond)
	}
}

func (c *crowd) home() {
	for _, one := range c.clients {
		one.home()
	}
}

// quiet ends the talk and waits for its last messages.
func (c *crowd) quiet(ctx context.Context) error {
	close(c.stop)
	c.talk.Wait()
	for limit := time.Now().Add(flowTime); !c.book.settled(); site.Pause(ctx, 5*time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return errors.New("the last messages do not arrive")
		}
	}
	return nil
}

// end ends all sessions. The book is closed before.
func (c *crowd) end(ctx context.Context) {
	var wg sync.WaitGroup
	for _, one := range c.clients {
		wg.Go(func() { one.close(ctx) })
	}
	wg.Wait()
	c.troupe.stop()
}
