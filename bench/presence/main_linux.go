package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/site"
)

// config is one run.
type config struct {
	Deskline string
	Dir      string // of everything that is written
	Only     *regexp.Regexp

	Users, Nodes int
	Rate         float64
	Duration     time.Duration
	Slack        float64
	Seed         uint64
	Stay, Keep   bool
}

// bounds are how long things may take.
func (c *config) bounds() bounds {
	times := func(d time.Duration) time.Duration { return time.Duration(float64(d) * c.Slack) }
	return bounds{spread: times(500 * time.Millisecond), settle: times(4 * time.Second), stuck: times(4 * time.Second), lag: times(time.Second)}
}

func main() {
	cfg := config{}
	flag.StringVar(&cfg.Deskline, "deskline", "bin/deskline", "path of the deskline binary")
	only := flag.String("only", ".", "scenarios to play, a regular expression")
	flag.IntVar(&cfg.Users, "users", 30, "people, each with some others as contacts")
	flag.IntVar(&cfg.Nodes, "nodes", 3, "nodes")
	flag.Float64Var(&cfg.Rate, "rate", 10, "changes a second, of all")
	flag.DurationVar(&cfg.Duration, "duration", 0, "how long it takes at least; 0 plays each scenario once")
	flag.Float64Var(&cfg.Slack, "slack", 1, "things may take so many times as long as is expected")
	flag.Uint64Var(&cfg.Seed, "seed", rand.Uint64(), "what decides who does what, and which nodes fail")
	flag.BoolVar(&cfg.Stay, "stay", false, "all come before the first line is told of, and stay")
	flag.BoolVar(&cfg.Keep, "keep", false, "keep the logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := start(ctx, cfg, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "presence:", err)
	}
	os.Exit(code)
}

func start(ctx context.Context, cfg config, only string) (code int, err error) {
	if !site.Inside() {
		return site.Enter(ctx)
	}
	if cfg.Only, err = regexp.Compile(only); err != nil {
		return 1, fmt.Errorf("-only: %w", err)
	}
	if cfg.Nodes < 2 || cfg.Nodes > 100 {
		return 1, errors.New("-nodes: 2 to 100")
	}
	if cfg.Users < 4 || cfg.Users > 1000 {
		return 1, errors.New("-users: 4 to 1000")
	}
	if cfg.Rate <= 0 || cfg.Slack < 1 {
		return 1, errors.New("-rate: above 0, -slack: 1 or more")
	}
	if cfg.Deskline, err = filepath.Abs(cfg.Deskline); err != nil {
		return 1, fmt.Errorf("-deskline: %w", err)
	}
	for _, name := range []string{cfg.Deskline, "ip", "redis-server", "redis-cli"} {
		if _, err := exec.LookPath(name); err != nil {
			return 1, fmt.Errorf("run make build and scripts/install.sh: %w", err)
		}
	}
	if cfg.Dir, err = os.MkdirTemp("", "deskline-presence-"); err != nil {
		return 1, fmt.Errorf("make a folder: %w", err)
	}
	rows, err := play(ctx, cfg)
	clean := err == nil && len(rows) > 0
	for _, r := range rows {
		clean = clean && r.Clean()
	}
	printRows(os.Stdout, rows)
	if clean && !cfg.Keep {
		return 0, os.RemoveAll(cfg.Dir)
	}
	fmt.Fprintf(os.Stderr, "logs: %s\n", cfg.Dir)
	if clean {
		return 0, nil
	}
	return 1, err
}
