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
	HAProxy  string
	Modules  string
	Only     *regexp.Regexp

	Sessions, Nodes int
	Rate            float64
	Duration        time.Duration
	Slack           float64
	Seed            uint64
	Keep            bool
}

// pace is the time between two messages of a session.
func (c *config) pace() time.Duration { return time.Duration(float64(time.Second) / c.Rate) }

// site is what the cluster is made of.
func (c *config) site() site.Config {
	return site.Config{Deskline: c.Deskline, HAProxy: c.HAProxy, Nodes: c.Nodes, Users: c.Sessions, Contacts: min(6, c.Sessions-1)}
}

func main() {
	cfg := config{}
	flag.StringVar(&cfg.Deskline, "deskline", "bin/deskline", "path of the deskline binary")
	flag.StringVar(&cfg.HAProxy, "haproxy", "haproxy", "path of HAProxy")
	flag.StringVar(&cfg.Modules, "modules", "test/clients", "folder with strophe.js among its modules")
	only := flag.String("only", ".", "scenarios to play, a regular expression")
	flag.IntVar(&cfg.Sessions, "sessions", 24, "sessions, two to a pair")
	flag.IntVar(&cfg.Nodes, "nodes", 3, "nodes")
	flag.Float64Var(&cfg.Rate, "rate", 4, "messages a second each session sends")
	flag.DurationVar(&cfg.Duration, "duration", 0, "how long it takes at least; 0 plays each scenario once")
	flag.Float64Var(&cfg.Slack, "slack", 1, "pauses may be so many times as long as promised")
	flag.Uint64Var(&cfg.Seed, "seed", rand.Uint64(), "what decides the moments and the nodes that fail")
	flag.BoolVar(&cfg.Keep, "keep", false, "keep the logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := start(ctx, cfg, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
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
	cfg.Sessions = max(cfg.Sessions/8*8, 8) // of every kind as many
	if cfg.Nodes < 2 || cfg.Nodes > 100 {
		return 1, errors.New("-nodes: 2 to 100")
	}
	if cfg.Deskline, err = filepath.Abs(cfg.Deskline); err != nil {
		return 1, fmt.Errorf("-deskline: %w", err)
	}
	for _, name := range []string{cfg.Deskline, cfg.HAProxy, "ip", "node", "redis-server", "redis-cli"} {
		if _, err := exec.LookPath(name); err != nil {
			return 1, fmt.Errorf("run make build and scripts/install.sh: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "deskline-cluster-")
	if err != nil {
		return 1, fmt.Errorf("make a folder: %w", err)
	}
	rows, err := play(ctx, cfg, dir)
	clean := err == nil && len(rows) > 0
	for i := range rows {
		clean = clean && rows[i].Clean()
	}
	printRows(os.Stdout, rows)
	if clean && !cfg.Keep {
		return 0, os.RemoveAll(dir)
	}
	fmt.Fprintf(os.Stderr, "logs: %s\n", dir)
	if clean {
		return 0, nil
	}
	return 1, err
}
