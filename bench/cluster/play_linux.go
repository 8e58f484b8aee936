package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// scenario is one way to make a cluster suffer. Its act is one event: it
// returns when everything is as before.
type scenario struct {
	name      string
	sentinels bool // Redis is one found by Sentinels
	times     int  // events at least
	limit     time.Duration
	act       func(ctx context.Context, s *stage) error
}

// stage is what a scenario acts on.
type stage struct {
	*site.Site
	cfg    config
	crowd  *crowd
	random *rand.Rand
	turn   int // of the events, from 0
}

// node is the one whose turn it is to fail.
func (s *stage) node() *site.Process { return s.Nodes[s.turn%len(s.Nodes)] }

// moment waits for a random while.
func (s *stage) moment(ctx context.Context) {
	site.Pause(ctx, time.Duration(s.random.Int64N(int64(300*time.Millisecond))))
}

// play plays all scenarios that are asked for. The error is one of the play
// itself; those of the cluster are in the rows.
func play(ctx context.Context, cfg config, dir string) (rows []row, err error) {
	var chosen []scenario
	for _, sc := range scenarios {
		if cfg.Only.MatchString(sc.name) {
			chosen = append(chosen, sc)
		}
	}
	h, err := site.BuildHosts(ctx, cfg.Nodes)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(cfg.Seed, 1))
	fmt.Fprintf(os.Stderr, "seed %d, %d nodes, %d sessions\n", cfg.Seed, cfg.Nodes, cfg.Sessions)
	for _, sentinels := range []bool{false, true} {
		var running *site.Site
		for _, sc := range chosen {
			if sc.sentinels != sentinels || ctx.Err() != nil {
				continue
			}
			if running == nil {
				running, err = site.Start(ctx, cfg.site(), h, filepath.Join(dir, fmt.Sprintf("sentinels-%t", sentinels)), sentinels)
				if err != nil {
					return rows, errors.Join(err, running.Stop())
				}
			}
			r := playOne(ctx, running, cfg, len(rows), sc, random, cfg.Duration/time.Duration(len(chosen)))
			rows = append(rows, r)
		}
		if running != nil {
			if err := running.Stop(); err != nil {
				return rows, err
			}
		}
	}
	return rows, ctx.Err()
}

func playOne(ctx context.Context, s *site.Site, cfg config, number int, sc scenario, random *rand.Rand, atLeast time.Duration) row {
	began := time.Now()
	b := newBook(number, sc.name, cfg.Sessions, cfg.pace(), time.Duration(float64(sc.limit)*cfg.Slack))
	c, err := startCrowd(ctx, s, cfg, b)
	if err != nil {
		b.close(err)
		return b.row
	}
	st := &stage{Site: s, cfg: cfg, crowd: c, random: random}
	err = c.flows(ctx)
	for ; err == nil && ctx.Err() == nil && (st.turn < sc.times || time.Since(began) < atLeast); st.turn++ {
		st.moment(ctx)
		b.mark()
		if err = sc.act(ctx, st); err == nil {
			c.home()
			err = c.flows(ctx)
		}
		b.event()
	}
	err = errors.Join(err, c.quiet(ctx))
	b.close(err)
	c.end(ctx)
	fmt.Fprintf(os.Stderr, "%s: %d times in %s; longest pause of raw clients %s through HAProxy and %s without, of Strophe.js %s and %s\n",
		sc.name, b.row.Events, time.Since(began).Round(100*time.Millisecond),
		seconds(b.longest[0][0]), seconds(b.longest[0][1]), seconds(b.longest[1][0]), seconds(b.longest[1][1]))
	for _, story := range b.stories {
		fmt.Fprintln(os.Stderr, "  "+story)
	}
	return b.row
}
