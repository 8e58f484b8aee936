// Package app builds a node out of its parts: it gives each the piece of the
// configuration it needs, joins them by the interfaces they declare, starts
// them in order and stops them in reverse.
//
//	err := app.Run(ctx, app.Options{Config: cfg, File: file, Log: log, Level: level})
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/configs"
)

// Options are what a node is made from.
type Options struct {
	Config configs.Config
	File   string // where Config came from, for a reload; "" is the demo
	Log    *slog.Logger
	Level  *slog.LevelVar // changed by a reload; may be nil
	// Ready, if not nil, is called once all listeners stand, with the public
	// and the admin address.
	Ready func(public, admin net.Addr)
}

// stopTime is how long a node takes at most to let go of what it holds.
const stopTime = 15 * time.Second

// Version tells which build this is.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// version is set by the linker.
var version string

// Run runs a node until ctx ends, then stops it in good order. SIGHUP reloads
// the configuration.
func Run(ctx context.Context, o Options) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return run(ctx, o, hup)
}

// run is Run, which reloads when something comes from hup.
func run(ctx context.Context, o Options, hup <-chan os.Signal) error {
	n, err := build(ctx, o)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.listen(ctx); err != nil {
		return err
	}
	// What runs in the background outlives ctx: it serves those that stop.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, background := errgroup.WithContext(background)
	n.start(background, g)
	n.ready()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-background.Done():
			running = false // a part failed; Wait tells which
		case <-hup:
			n.reload(ctx)
		}
	}
	o.Log.Info("stopping")
	err = n.stop(context.WithoutCancel(ctx))
	stop()
	if e := g.Wait(); e != nil && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	o.Log.Info("stopped")
	return err
}

// listen opens the ports, so that a port in use is told before anything runs.
func (n *node) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	if n.public, err = lc.Listen(ctx, "tcp", n.cfg.HTTP.Listen); err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	if err := n.listenSIP(ctx); err != nil {
		return err
	}
	if n.cfg.Admin.Listen == "off" || n.cfg.Admin.Listen == "" {
		return nil
	}
	if n.private, err = lc.Listen(ctx, "tcp", n.cfg.Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen: %w", err)
	}
	return nil
}

func (n *node) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return n.bosh.Run(ctx) })
	g.Go(func() error { return n.sessions.Run(ctx) })
	g.Go(func() error { return n.certs.Run(ctx) })
	g.Go(func() error { return n.oauth.Run(ctx) })
	g.Go(func() error { return n.tickets.Run(ctx) })
	if n.acme != nil {
		g.Go(func() error { return n.acme.Run(ctx) })
	}
	if n.shared != nil {
		g.Go(func() error { return n.shared.Run(ctx) })
		g.Go(func() error { return n.takeover.Run(ctx) })
		g.Go(func() error { return n.takeover.beacon(ctx) })
		g.Go(func() error { return n.takeover.grantAll(ctx) })
	}
	g.Go(func() error { return trim(ctx) })
	n.startPresence(ctx, g)
	n.startPeople(ctx, g)
	if n.directory != nil {
		g.Go(func() error { return n.enforce(ctx) })
	}
	g.Go(func() error { return n.rosters.Run(ctx) })
	g.Go(func() error { return n.watchGroups(ctx) })
	g.Go(func() error { return n.enforceGroups(ctx) })
	if n.members != nil {
		g.Go(func() error { return n.members.Run(ctx) })
		g.Go(func() error { return n.recovery.Run(ctx) })
		g.Go(func() error { return n.report(ctx) })
	}
	g.Go(func() error { return n.edge.Serve(n.public) })
	if n.private != nil {
		g.Go(func() error { return n.admin.Serve(n.private) })
	}
}

func (n *node) ready() {
	n.log.Info("listening", "name", "http", "addr", n.public.Addr().String())
	var private net.Addr
	if n.private != nil {
		private = n.private.Addr()
		n.log.Info("listening", "name", "admin", "addr", private.String())
	}
	n.phonesListen()
	if n.members != nil {
		n.log.Info("listening", "name", "gossip", "addr", n.members.Addr())
	}
	n.log.Info("ready", "version", Version(), "domains", n.cfg.Domains)
	if n.options.Ready != nil {
		n.options.Ready(n.public.Addr(), private)
	}
}

// stop lets go in the order of the architecture: nobody new, held requests
// answered, then the listeners, then the goodbye to other nodes.
func (n *node) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	n.admin.Drain()
	n.sessions.Drain()
	n.composing.lines.Close()
	var err error
	if n.takeover != nil {
		err = n.websocket.Shutdown(ctx) // these cannot go on elsewhere, and tell so while they may
		n.bequeath(ctx)
		err = errors.Join(err, n.takeover.leave(ctx))
	} else if n.members == nil {
		err = n.rest(ctx)
	}
	err = errors.Join(err, n.bosh.Shutdown(ctx), n.websocket.Shutdown(ctx), n.edge.Shutdown(ctx))
	n.composing.lines.Wait()     // for feeds over WebSocket, which the edge does not know
	n.presence.FlushHistory(ctx) // while sessions can still be looked up
	return errors.Join(err, n.leave(ctx), n.admin.Shutdown(ctx))
}
