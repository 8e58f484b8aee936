// Package ami is a source of evidence for presence: what the extensions or devices of an
// Asterisk do, told by its manager interface (docs.asterisk.org, Asterisk Manager Interface).
//
//	client, err := ami.New(ami.Config{Address: "pbx.example.com:5038", User: "deskline", Secret: secret})
//	source := pbx.New(pbx.Config{Name: "asterisk:main", Talk: client.Talk, …})
//
// A connection begins with a list of all states, and the list is asked for again from
// time to time, so that nothing that was missed stays. Asterisk is asked for a sign of life in between.
package ami

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what the manager interface has
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

// Config is where an Asterisk is and what it is to tell.
type Config struct {
	Address string // host:port
	TLS     *tls.Config
	User    string
	Secret  string

	// Devices has devices told, such as PJSIP/2001, and not what hints make of them.
	Devices      bool
	Contexts     []string // of hints; empty = all
	Technologies []string // of devices

	Ping    time.Duration // between signs of life, and how long one may take
	Resync  time.Duration // between full pictures
	Timeout time.Duration // of a full picture
	Log     *slog.Logger
}

// Client speaks with one Asterisk.
type Client struct{ cfg Config }

// New makes a Client; it does nothing yet.
func New(cfg Config) (*Client, error) {
	for _, text := range []string{cfg.User, cfg.Secret} {
		if text == "" || strings.ContainsAny(text, "\r\n\x00") {
			return nil, errors.New("the user or the secret is empty, or has a line break")
		}
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
	return &Client{cfg}, nil
}

// talk is one connection.
type talk struct {
	cfg   Config
	wire  *pbx.Wire
	heard <-chan pbx.Heard[packet]
	board *pbx.Board
	lines *asterisk.Lines
	last  uint64 // ActionID
	begun bool   // the full picture was asked for
	again bool   // and is to be again
}

// Talk implements pbx.Talk.
func (c *Client) Talk(ctx context.Context, b *pbx.Board) error {
	wire, err := pbx.Dial(ctx, c.cfg.Address, c.cfg.TLS)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := newReader(wire)
	heard := pbx.Listen(ctx, r.next)
	defer func() {
		cancel()
		_ = wire.Close()
		for range heard { // until its goroutine has ended
		}
	}()
	t := &talk{cfg: c.cfg, wire: wire, heard: heard, board: b, lines: asterisk.NewLines(b, c.cfg.Address, c.cfg.Log)}
	if err := t.login(ctx); err != nil {
		return err
	}
	if err := t.filter(ctx); err != nil {
		return err
	}
	return t.watch(ctx)
}

// watch has the full picture first, then changes.
func (t *talk) watch(ctx context.Context) error {
	if err := t.sync(ctx); err != nil {
		return err
	}
	ping, resync := time.NewTicker(t.cfg.Ping), time.NewTicker(t.cfg.Resync)
	defer ping.Stop()
	defer resync.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-t.heard:
			if h.Err != nil {
				return h.Err
			}
			t.event(h.What)
		case <-ping.C:
			if _, err := t.ask(ctx, t.cfg.Ping, "Ping"); err != nil {
				return err
			}
			t.board.Alive()
		case <-resync.C:
			t.again = true
		}
		if t.again {
			if err := t.sync(ctx); err != nil {
				return err
			}
		}
	}
}

// errSilent is for an Asterisk that hangs.
var errSilent = errors.New("the switch does not answer")

// hear waits for the next packet.
func (t *talk) hear(ctx context.Context, limit <-chan time.Time) (packet, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-limit:
		return nil, errSilent
	case h := <-t.heard:
		return h.What, h.Err
	}
}

// send writes an action; the fields are keys and values.
func (t *talk) send(action string, fields ...string) (id string, err error) {
	t.last++
	id = strconv.FormatUint(t.last, 10)
	var b strings.Builder
	b.WriteString("Action: " + action + "\r\nActionID: " + id + "\r\n")
	for i := 0; i+1 < len(fields); i += 2 {
		b.WriteString(fields[i] + ": " + fields[i+1] + "\r\n")
	}
	return id, t.wire.Send(b.String() + "\r\n")
}

// ask has an action carried out and returns the response. Events that come meanwhile count.
func (t *talk) ask(ctx context.Context, within time.Duration, action string, fields ...string) (packet, error) {
	id, err := t.send(action, fields...)
	if err != nil {
		return nil, err
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		p, err := t.hear(ctx, limit.C)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", action, err)
		case p["response"] != "" && p["actionid"] == id:
			return p, nil
		}
		t.event(p)
	}
}

func ok(p packet) bool { return strings.EqualFold(p["response"], "Success") }

func (t *talk) login(ctx context.Context) error {
	limit := time.NewTimer(t.cfg.Ping)
	defer limit.Stop()
	if _, err := t.hear(ctx, limit.C); err != nil { // the greeting
		return err
	}
	p, err := t.ask(ctx, t.cfg.Ping, "Challenge", "AuthType", "MD5")
	if err != nil {
		return err
	}
	challenge := p["challenge"]
	if !ok(p) || challenge == "" {
		return fmt.Errorf("%w: no MD5 challenge: %s", pbx.ErrRefused, p["message"])
	}
	sum := md5.Sum([]byte(challenge + t.cfg.Secret)) //nolint:gosec // see above
	p, err = t.ask(ctx, t.cfg.Ping, "Login", "AuthType", "MD5", "Username", t.cfg.User, "Key", hex.EncodeToString(sum[:]), "Events", "system,call")
	switch {
	case err != nil:
		return err
	case !ok(p):
		return fmt.Errorf("%w: %s", pbx.ErrRefused, p["message"])
	}
	return nil
}

// wanted are the events that matter here.
var wanted = []string{"ExtensionStatus", "DeviceStateChange", "FullyBooted", "Reload"}

// filter has Asterisk send no other events, of which there are many with each call. A user who may not
// ask for that gets them all.
func (t *talk) filter(ctx context.Context) error {
	for _, name := range wanted {
		p, err := t.ask(ctx, t.cfg.Timeout, "Filter", "Operation", "Add", "Filter", "Event: "+name)
		if err != nil {
			return err
		}
		if !ok(p) {
			t.cfg.Log.InfoContext(ctx, "Asterisk sends all events of calls: its user may not set filters, which takes write=system", "switch", t.cfg.Address, "answer", p["message"])
			return nil
		}
	}
	return nil
}

// sync has the full picture.
func (t *talk) sync(ctx context.Context) error {
	t.begun, t.again = true, false
	t.lines.Begin()
	action := "ExtensionStateList"
	if t.cfg.Devices {
		action = "DeviceStateList"
	}
	id, err := t.send(action)
	if err != nil {
		return err
	}
	limit := time.NewTimer(t.cfg.Timeout)
	defer limit.Stop()
	for {
		p, err := t.hear(ctx, limit.C)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", action, err)
		case p["actionid"] == id && p["response"] != "" && !ok(p):
			return fmt.Errorf("%w: %s: %s; the user needs read=call and write=call,reporting, and devices the module res_manager_devicestate", pbx.ErrRefused, action, p["message"])
		case p["actionid"] == id && strings.EqualFold(p["event"], action+"Complete"):
			t.lines.End()
			return nil
		}
		t.event(p)
	}
}

// event takes a change, or a piece of the full picture.
func (t *talk) event(p packet) {
	switch p["event"] {
	case "ExtensionStatus":
		exten, context := p["exten"], p["context"]
		if t.cfg.Devices || strings.HasPrefix(exten, "_") || len(t.cfg.Contexts) > 0 && !slices.Contains(t.cfg.Contexts, context) {
			return // a pattern is no line
		}
		t.lines.Set(exten, context, extension(p["status"]))
	case "DeviceStateChange":
		technology, line := asterisk.Split(p["device"])
		known := slices.ContainsFunc(t.cfg.Technologies, func(name string) bool { return strings.EqualFold(name, technology) })
		if t.cfg.Devices && known {
			t.lines.Set(line, technology, asterisk.Device(p["state"]))
		}
	case "FullyBooted", "Reload":
		// There may be more hints than before. The first one comes with each sign-in, before the list.
		t.again = t.begun
	}
}
