//go:build linux

// Command report measures BOSH servers side by side and prints a table: Deskline
// beside the bare relay, nodes of a cluster, and Prosody and ejabberd where they are installed.
//
//	report -deskline bin/deskline                       Deskline, relay, installed peers
//	report -servers relay,deskline -phases flow,closed  a part of it
//	report -servers deskline,cluster                    alone, and as nodes with Redis
//	report -url http://127.0.0.1:5280/http-bind -pid 4711 -domain example.com -users u -password x
//
// The last form measures a server that runs already and whose users u0, u1, …
// exist; its storm needs the contacts that package load names. The exit code
// is 1 when a server lost, doubled or reordered a message.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/peer"
)

// options are the command's flags.
type options struct {
	servers, phases, out, json string
	deskline, profile          string
	duration                   time.Duration
	few, many, watched         int
	scram, fsync               string
	url, domain, users, passwd string
	mech                       string
	pid                        int
}

func main() {
	var o options
	flag.StringVar(&o.servers, "servers", "", "servers, of relay,deskline,cluster,prosody,ejabberd (default: all that are installed)")
	flag.StringVar(&o.phases, "phases", "setup,idle,flow,closed,discovery,across,takeover,scram,many,presence,storm", "what to measure")
	flag.StringVar(&o.out, "o", "", "also write the table to this file")
	flag.StringVar(&o.json, "json", "", "also write all figures as JSON to this file")
	flag.StringVar(&o.deskline, "deskline", "bin/deskline", "path of the deskline binary")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of Deskline's phases into this directory")
	flag.DurationVar(&o.duration, "d", 10*time.Second, "length of each message phase")
	flag.IntVar(&o.few, "few", 1000, "sessions in the set-up and first idle phase")
	flag.IntVar(&o.many, "many", 10000, "sessions in the second idle phase")
	flag.IntVar(&o.watched, "watched", stormUsers, "users whose presence changes, each seen by 50 contacts")
	flag.StringVar(&o.scram, "scram", "SCRAM-SHA-256", "mechanism of the second set-up phase")
	flag.StringVar(&o.fsync, "fsync", "always", "appendfsync of the cluster's Redis")
	flag.StringVar(&o.url, "url", "", "measure the server at this BOSH URL instead")
	flag.IntVar(&o.pid, "pid", 0, "its process")
	flag.StringVar(&o.domain, "domain", peer.Domain, "its domain")
	flag.StringVar(&o.users, "users", peer.Prefix, "prefix of its users' names")
	flag.StringVar(&o.passwd, "password", peer.Password, "password of its users")
	flag.StringVar(&o.mech, "mech", "PLAIN", "SASL mechanism (for the started Deskline's storm: see -scram)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	clean, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !clean {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (clean bool, err error) {
	raiseFiles()
	tmp, err := os.MkdirTemp("", "deskline-bench-")
	if err != nil {
		return false, fmt.Errorf("make directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	files := peer.Options{Deskline: o.deskline, Relay: filepath.Join(tmp, "relay"), Fsync: o.fsync}
	kinds, err := o.kinds()
	if err != nil {
		return false, err
	}
	if slices.Contains(kinds, peer.Relay) {
		build := exec.CommandContext(ctx, "go", "build", "-o", files.Relay, "github.com/deskline/deskline/bench/relay")
		if out, err := build.CombinedOutput(); err != nil {
			return false, fmt.Errorf("build the relay: %w\n%s", err, out)
		}
	}
	began := time.Now()
	var columns []*column
	var failed error
	for _, kind := range kinds {
		c := &column{Kind: kind, Title: o.title(ctx, kind, files), o: o, files: files}
		if err := c.measure(ctx); err != nil {
			c.Error = err.Error()
			failed = errors.Join(failed, fmt.Errorf("%s: %w", kind, err))
		}
		columns = append(columns, c)
		if ctx.Err() != nil {
			break
		}
	}
	table := render(columns, o, time.Now(), time.Since(began))
	fmt.Print("\n" + table)
	return cleanAll(columns), errors.Join(failed, write(o, table, columns))
}

func (o options) title(ctx context.Context, kind peer.Kind, files peer.Options) string {
	if o.url != "" {
		return o.url
	}
	return peer.Version(ctx, kind, files)
}

// kinds is which servers to measure.
func (o options) kinds() ([]peer.Kind, error) {
	if o.url != "" {
		return []peer.Kind{"url"}, nil
	}
	if o.servers == "" {
		return append([]peer.Kind{peer.Relay, peer.Deskline}, peer.Installed()...), nil
	}
	known := []peer.Kind{peer.Relay, peer.Deskline, peer.Cluster, peer.Prosody, peer.Ejabberd}
	var kinds []peer.Kind
	for name := range strings.SplitSeq(o.servers, ",") {
		k := peer.Kind(strings.TrimSpace(name))
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("unknown server %q in -servers", name)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// raiseFiles allows as many open files as it may: each session has two
// connections, here and in the server that inherits the limit.
func raiseFiles() {
	for _, n := range []uint64{1 << 17, 1 << 16} {
		lim := syscall.Rlimit{Cur: n, Max: n}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
			return
		}
	}
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		lim.Cur = lim.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim)
	}
}

func maxFiles() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	return int(min(lim.Cur, 1<<30))
}
