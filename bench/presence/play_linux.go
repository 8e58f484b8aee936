package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/bench/site"
)

const nodeConfig = `presence:
  http: {token: %q, ttl: 1h}
  lines: [%s]
  calendars: [{name: work, kind: ics, file: %q, users: [%s], refresh: 1s, keep: 1m}]
sip: {listen: ":%s", transports: [udp, tcp], trusted: [10.78.0.0/24], min_expires: 1s}
`

// more is what the nodes' configuration says of presence.
func (c *config) more() string {
	var lines, calendars []string
	for i := range c.Users {
		lines = append(lines, fmt.Sprintf("%q, %q", lineOf(i)+"="+userOf(i), telephoneOf(i)+"="+userOf(i)))
		if hasCalendar(i) {
			calendars = append(calendars, userOf(i)+"@"+peer.Domain)
		}
	}
	return fmt.Sprintf(nodeConfig, token, strings.Join(lines, ", "), filepath.Join(c.Dir, "calendars", "{user}.ics"), strings.Join(calendars, ", "), sipPort)
}

// stage is what a scenario acts on.
type stage struct {
	*site.Site
	cast   *cast
	book   *book
	random *rand.Rand
	turn   int // of all events, from 0
	watch  http.Client
}

// node is the one whose turn it is to fail.
func (s *stage) node() *site.Process { return s.Nodes[s.turn%len(s.Nodes)] }

// play plays all scenarios that are asked for. The error is one of the play itself;
// those of the cluster are in the rows.
func play(ctx context.Context, cfg config) (rows []*row, err error) {
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
	fmt.Fprintf(os.Stderr, "seed %d, %d nodes, %d people\n", cfg.Seed, cfg.Nodes, cfg.Users)
	for i := range cfg.Users {
		if hasCalendar(i) {
			if err := writeWhole(filepath.Join(cfg.Dir, "calendars", userOf(i)+".ics"), emptyCalendar); err != nil {
				return nil, err
			}
		}
	}
	running, err := site.Start(ctx, site.Config{
		Deskline: cfg.Deskline, Nodes: cfg.Nodes, Users: cfg.Users, Contacts: min(contacts, cfg.Users-1), More: cfg.more(),
	}, h, cfg.Dir, false)
	if err != nil {
		return nil, errors.Join(err, running.Stop())
	}
	b := newBook(cfg.Users, sees(cfg.Users), cfg.bounds())
	s := &stage{Site: running, book: b, random: rand.New(rand.NewPCG(cfg.Seed, 1)), watch: http.Client{Timeout: time.Second}} //nolint:gosec // to be repeated
	s.cast = startCast(ctx, cfg, running, b)
	for _, sc := range chosen {
		if ctx.Err() == nil {
			rows = append(rows, s.play(ctx, sc, cfg.Duration/time.Duration(len(chosen))))
		}
	}
	s.cast.end()
	return rows, errors.Join(running.Stop(), ctx.Err())
}

// play has one scenario.
func (s *stage) play(ctx context.Context, sc scenario, atLeast time.Duration) *row {
	began, r := time.Now(), newRow(sc.name)
	s.book.turn(r)
	for r.Err == nil && ctx.Err() == nil && (r.Events < sc.times || time.Since(began) < atLeast) {
		s.act(ctx, 2*time.Second+time.Duration(s.random.Int64N(int64(time.Second))))
		if r.Err = sc.act(ctx, s); r.Err == nil {
			s.act(ctx, 3*time.Second)
			r.Err = s.quiet(ctx)
		}
		r.Events++
		s.turn++
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d times in %s\n", sc.name, r.Events, time.Since(began).Round(100*time.Millisecond))
	for _, story := range s.book.stories() {
		story.print(&text)
	}
	fmt.Fprint(os.Stderr, text.String())
	return r
}

// act has the cast act for a while.
func (s *stage) act(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); site.Pause(ctx, 2*step) {
		s.sweep(ctx)
	}
}

// quietTime is how long it takes at most until nothing changes any more, meetings included,
// and whoever does not see the truth by then is stuck.
const quietTime = 60 * time.Second

// quiet waits until everybody sees the truth, or is known to be stuck.
func (s *stage) quiet(ctx context.Context) error {
	s.cast.quiet.Store(true)
	defer s.cast.quiet.Store(false)
	same := 0
	for limit := time.Now().Add(time.Duration(float64(quietTime) * s.cast.cfg.Slack)); same < 10; site.Pause(ctx, 2*step) {
		if s.sweep(ctx) || s.book.stable() {
			same++
		} else {
			same = 0
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			return fmt.Errorf("there is no rest: %s", s.book.unrest())
		}
	}
	return nil
}

// sweep looks at all views, and asks the nodes about people of whom somebody has a wrong one.
func (s *stage) sweep(ctx context.Context) bool {
	same := s.book.sweep()
	for _, story := range s.book.unexplained() {
		var texts []string
		for _, n := range s.Nodes {
			texts = append(texts, n.Name+": "+s.ask(ctx, "http://"+net.JoinHostPort(n.Host.Addr, site.AdminPort)+"/presence?user="+userOf(story.of)+"@"+peer.Domain))
		}
		s.book.explain(story, texts)
	}
	return same
}

// ask reads what a node answers, or why it does not.
func (s *stage) ask(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	res, err := s.watch.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
