// Command soak torments a node with thousands of BOSH sessions whose network
// is bad in every way a client's can be, and keeps a ledger of what they say to
// each other: connections cut in the middle of a request, while it is held and
// in the middle of the response; page reloads that drop all connections and
// repeat the last requests; requests sent twice at once, repeated after their
// answer, and out of order; pauses.
//
// Each message carries its stream and place. A client sends a request again
// until it is answered, so in the end every message was accepted, and each must
// have arrived once and in order, in a session that was never lost.
//
//	soak -sessions 2000 -duration 5m                 starts bin/deskline itself
//	soak -url http://127.0.0.1:5280/http-bind -users u -password x
//
// The exit code is 1 when the ledger shows a violation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/peer"
)

func main() {
	cfg := config{Domain: peer.Domain, Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	server := flag.String("server", string(peer.Deskline), "server to start: deskline, prosody or ejabberd")
	binary := flag.String("deskline", "bin/deskline", "path of the deskline binary")
	flag.StringVar(&cfg.URL, "url", "", "use the server at this BOSH URL instead")
	flag.StringVar(&cfg.Domain, "domain", cfg.Domain, "its domain")
	flag.StringVar(&cfg.Prefix, "users", peer.Prefix, "prefix of its users' names")
	flag.StringVar(&cfg.Password, "password", peer.Password, "password of its users")
	flag.IntVar(&cfg.Sessions, "sessions", 2000, "sessions, two to a pair")
	flag.DurationVar(&cfg.Duration, "duration", 5*time.Minute, "how long messages are sent")
	flag.Float64Var(&cfg.Rate, "rate", 0.5, "messages a second each session sends")
	flag.Float64Var(&cfg.Harm, "harm", 0.2, "share of requests that something happens to")
	flag.Uint64Var(&cfg.Seed, "seed", rand.Uint64(), "what decides the harm; the same seed does the same")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	clean, err := start(ctx, cfg, peer.Kind(*server), *binary)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !clean {
		os.Exit(1)
	}
}

func start(ctx context.Context, cfg config, kind peer.Kind, binary string) (clean bool, err error) {
	if cfg.URL == "" {
		s, err := peer.Start(ctx, kind, peer.Options{Users: cfg.Sessions, Deskline: binary})
		if err != nil {
			return false, err
		}
		defer func() { err = errors.Join(err, s.Stop()) }()
		cfg.URL = s.URL
	}
	r, err := run(ctx, cfg)
	if err != nil {
		return false, err
	}
	fmt.Print(r)
	return r.Clean(), nil
}

// config is one run.
type config struct {
	URL, Domain, Prefix, Password string

	Sessions int
	Duration time.Duration
	Rate     float64 // messages a second and session
	Harm     float64 // share of requests something happens to
	Seed     uint64
	Log      func(format string, args ...any)
}

// drain is how long the last messages may take; a client may be pausing.
const drain = 30 * time.Second

// run signs all sessions in, lets them talk for the duration, waits for the
// last messages and closes the ledger.
func run(ctx context.Context, cfg config) (*report, error) {
	dial, err := newDialer(cfg.URL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cfg.Sessions -= cfg.Sessions % 2
	rep := &report{cfg: cfg}
	book := newBook(cfg.Sessions, rep)
	clients := make([]*client, cfg.Sessions)
	for i := range clients {
		clients[i] = newClient(i, cfg, dial, book)
	}
	cfg.Log("seed %d: signing %d sessions in", cfg.Seed, cfg.Sessions)
	if err := signIn(ctx, clients); err != nil {
		return nil, err
	}
	for i, c := range clients {
		c.peer = clients[i^1].jid
	}
	cfg.Log("talking for %s", cfg.Duration)
	talk, stopTalking := context.WithTimeout(ctx, cfg.Duration)
	defer stopTalking()
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { c.drive(ctx, talk) })
	}
	<-talk.Done()
	rep.took = time.Since(began)
	book.settle(ctx, drain)
	cancel()
	wg.Wait()
	book.close()
	return rep, nil
}

// signIn has some clients sign in at a time.
func signIn(ctx context.Context, clients []*client) error {
	var wg sync.WaitGroup
	next := make(chan *client)
	errs := make(chan error, len(clients))
	for range 32 {
		wg.Go(func() {
			for c := range next {
				if err := c.signIn(ctx); err != nil {
					errs <- fmt.Errorf("sign %s in: %w", c.user, err)
				}
			}
		})
	}
	for _, c := range clients {
		if len(errs) > 0 {
			break
		}
		next <- c
	}
	close(next)
	wg.Wait()
	close(errs)
	return <-errs
}
