// Package ari is a source of evidence for presence: what the devices of an Asterisk do, told
// by its REST interface (docs.asterisk.org, Asterisk REST Interface).
//
//	client, err := ari.New(ari.Config{URL: "http://127.0.0.1:8088/ari", User: "deskline", Password: secret, App: "deskline"})
//	source := pbx.New(pbx.Config{Name: "asterisk:main", Talk: client.Talk, …})
//
// Events come over a WebSocket, of which an Asterisk has one for each name of an app. They begin
// before the full picture is asked for, and what they tell meanwhile counts more. The picture is
// asked for again from time to time, so that nothing that was missed stays.
package ari

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

// Config is where an Asterisk is and what it is to tell.
type Config struct {
	URL      string      // such as http://pbx.example.com:8088/ari
	TLS      *tls.Config // nil = the system's roots
	User     string
	Password string
	App      string // under which the events are had; a second one of the name ends the first

	Technologies []string // of devices
	Devices      []string // that are no endpoints and are to be asked for, such as Custom:2001

	// Quiet has no events told, for one who wants the full picture alone.
	Quiet bool

	Ping    time.Duration // between signs of life, and how long one may take
	Resync  time.Duration // between full pictures
	Timeout time.Duration // of a full picture
	Log     *slog.Logger
}

// Client speaks with one Asterisk.
type Client struct {
	cfg  Config
	base *url.URL
}

// New makes a Client; it does nothing yet.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is no address such as http://pbx.example.com:8088/ari", cfg.URL)
	}
	if cfg.User == "" || cfg.Password == "" || strings.Contains(cfg.User, ":") {
		return nil, errors.New("the user or the password is empty, or the user has a colon")
	}
	if cfg.App == "" || strings.ContainsAny(cfg.App, ",/ ") {
		return nil, fmt.Errorf("%q is no name of an app", cfg.App)
	}
	if cfg.Ping <= 0 {
		cfg.Ping = 10 * time.Second
	}
	if cfg.Resync <= 0 {
		cfg.Resync = 5 * time.Minute
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	return &Client{cfg, base}, nil
}

// talk is one connection.
type talk struct {
	cfg   Config
	rest  *rest
	conn  *websocket.Conn
	heard <-chan pbx.Heard[event]
	board *pbx.Board
	lines *asterisk.Lines

	calls   *calls
	shown   map[string]sight         // by device; nil = there was no full picture yet
	touched map[string]presence.Line // by device, since the next one was begun; nil = none was
	also    map[string]struct{}      // devices that events told of and lists do not
}

// Talk implements pbx.Talk.
func (c *Client) Talk(ctx context.Context, b *pbx.Board) error {
	r := newRest(c)
	defer r.close()
	conn, err := r.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	heard := pbx.Listen(ctx, func() (event, error) { return next(ctx, conn) })
	defer func() {
		cancel()
		_ = conn.CloseNow()
		for range heard { // until its goroutine has ended
		}
	}()
	t := &talk{
		cfg: c.cfg, rest: r, conn: conn, heard: heard, board: b, lines: asterisk.NewLines(b, c.cfg.URL, c.cfg.Log), calls: newCalls(), also: map[string]struct{}{},
	}
	return t.watch(ctx)
}

// errSilent is for an Asterisk that hangs.
var errSilent = errors.New("the switch does not answer")

// seen is a full picture, or why there is none.
type seen struct {
	picture picture
	err     error
}

// watch has the full picture first, then changes. Events are heard while Asterisk is asked for something.
func (t *talk) watch(ctx context.Context) error {
	var errands sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer errands.Wait()
	defer cancel()
	pongs, looks := make(chan error, 1), make(chan seen, 1)
	look := func() {
		t.touched = map[string]presence.Line{}
		t.calls.begin()
		further := t.further()
		errands.Go(func() {
			p, err := t.look(ctx, further)
			looks <- seen{p, err}
		})
	}
	look()
	ping, resync := time.NewTicker(t.cfg.Ping), time.NewTicker(t.cfg.Resync)
	defer ping.Stop()
	defer resync.Stop()
	for pinging := false; ; {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case h := <-t.heard:
			err = t.hear(h)
		case <-ping.C:
			if !pinging {
				pinging = true
				errands.Go(func() { pongs <- t.ping(ctx) })
			}
		case err = <-pongs:
			if pinging = false; err == nil {
				t.board.Alive()
			}
		case <-resync.C:
			if t.touched == nil {
				look()
			}
		case s := <-looks:
			if err = s.err; err == nil {
				err = t.show(s.picture)
			}
		}
		if err != nil {
			return err
		}
	}
}

// ping waits for a sign of life.
func (t *talk) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Ping)
	defer cancel()
	if t.conn.Ping(ctx) != nil { // a broken connection ends the other side of heard, too
		return errSilent
	}
	return nil
}

// show has a full picture take effect. What events have told since it was begun is newer or will be
// followed by what is, and it was not there before all events that had been sent by then.
func (t *talk) show(p picture) error {
	for range len(t.heard) {
		if err := t.hear(<-t.heard); err != nil {
			return err
		}
	}
	for device, state := range t.touched {
		p.devices[device] = sight{state, p.devices[device].listed}
	}
	t.touched, t.shown = nil, p.devices
	t.lines.Begin()
	for device, s := range t.shown {
		if s.listed {
			t.calls.list(device, p.channels[device])
		}
		t.set(device)
		if s.listed || s.state == presence.LineUnknown {
			delete(t.also, device)
		} else {
			t.also[device] = struct{}{}
		}
	}
	t.calls.done()
	t.lines.End()
	return nil
}
