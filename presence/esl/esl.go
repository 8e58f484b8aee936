// Package esl is a source of evidence for presence: what the telephones of a FreeSWITCH do,
// told by its event socket (mod_event_socket).
//
//	client, err := esl.New(esl.Config{Address: "127.0.0.1:8021", Password: secret})
//	source := pbx.New(pbx.Config{Name: "freeswitch:main", Talk: client.Talk, …})
//
// A telephone does what its channels do, which name it by their presence_id, such as
// 1002@example.com. A connection begins with a list of all channels, and the list is
// asked for again from time to time, so that nothing that was missed stays.
package esl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deskline/deskline/presence/pbx"
)

// Config is where a FreeSWITCH is.
type Config struct {
	Address  string // host:port
	TLS      *tls.Config
	User     string // such as desk@example.com, of its directory; "" = the one of the event socket
	Password string

	Ping    time.Duration // between signs of life, and how long one may take
	Resync  time.Duration // between full pictures
	Timeout time.Duration // of a full picture
	Log     *slog.Logger
}

// again is when the first list is followed by a second: a channel that ended just before the
// events began may still have been in the first.
const again = settle + time.Second

// Client speaks with one FreeSWITCH.
type Client struct{ cfg Config }

// New makes a Client; it does nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.Password == "" || strings.ContainsAny(cfg.User+cfg.Password, "\r\n\x00") {
		return nil, errors.New("the password is empty, or has a line break")
	}
	if strings.Contains(cfg.User, ":") {
		return nil, errors.New("the user has a colon")
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
	heard <-chan pbx.Heard[message]
	board *pbx.Board
	book  *book
	over  bool // the board is full, which has been told
}

// Talk implements pbx.Talk.
func (c *Client) Talk(ctx context.Context, b *pbx.Board) error {
	wire, err := pbx.Dial(ctx, c.cfg.Address, c.cfg.TLS)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	heard := pbx.Listen(ctx, newReader(wire).next)
	defer func() {
		cancel()
		_ = wire.Close()
		for range heard { // until its goroutine has ended
		}
	}()
	t := &talk{cfg: c.cfg, wire: wire, heard: heard, board: b, book: newBook()}
	if err := t.login(ctx); err != nil {
		return err
	}
	return t.watch(ctx)
}

// errSilent is for a FreeSWITCH that hangs.
var errSilent = errors.New("the switch does not answer")

// hear waits for the next message, which may be its good-bye.
func (t *talk) hear(ctx context.Context, limit <-chan time.Time) (message, error) {
	select {
	case <-ctx.Done():
		return message{}, ctx.Err()
	case <-limit:
		return message{}, errSilent
	case h := <-t.heard:
		return h.What, t.fatal(h)
	}
}

// fatal returns why there is no more to hear, if so.
func (t *talk) fatal(h pbx.Heard[message]) error {
	switch {
	case h.Err != nil:
		return h.Err
	case h.What.kind == "text/rude-rejection":
		return fmt.Errorf("%w: %s: look at apply-inbound-acl", pbx.ErrRefused, h.What.reply)
	case h.What.kind == "text/disconnect-notice":
		return fmt.Errorf("the switch ends the connection: %s", h.What.reply)
	}
	return nil
}

// ask sends a command and returns the answer, the next there is. Events that come meanwhile count.
func (t *talk) ask(ctx context.Context, within time.Duration, command string) (message, error) {
	if err := t.wire.Send(command + "\n\n"); err != nil {
		return message{}, err
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	for {
		m, err := t.hear(ctx, limit.C)
		if err != nil {
			word, _, _ := strings.Cut(command, " ") // the rest may be a password
			return m, fmt.Errorf("%s: %w", word, err)
		}
		if m.kind == "command/reply" || m.kind == "api/response" {
			return m, nil
		}
		t.event(m)
	}
}

func (t *talk) login(ctx context.Context) error {
	limit := time.NewTimer(t.cfg.Ping)
	defer limit.Stop()
	m, err := t.hear(ctx, limit.C)
	if err != nil {
		return err
	}
	if m.kind != "auth/request" {
		return errors.New("this is no event socket of FreeSWITCH")
	}
	command := "auth " + t.cfg.Password
	if t.cfg.User != "" {
		command = "userauth " + t.cfg.User + ":" + t.cfg.Password
	}
	if m, err = t.ask(ctx, t.cfg.Ping, command); err != nil {
		return err
	}
	if !strings.HasPrefix(m.reply, "+OK") {
		return fmt.Errorf("%w: %s", pbx.ErrRefused, m.reply)
	}
	m, err = t.ask(ctx, t.cfg.Ping, "event plain CHANNEL_CREATE CHANNEL_CALLSTATE CHANNEL_UUID CHANNEL_HANGUP_COMPLETE CHANNEL_DESTROY HEARTBEAT")
	if err == nil && !strings.HasPrefix(m.reply, "+OK") {
		err = fmt.Errorf("%w: events: %s", pbx.ErrRefused, m.reply)
	}
	return err
}

// watch has the full picture first, then changes.
func (t *talk) watch(ctx context.Context) error {
	if err := t.sync(ctx); err != nil {
		return err
	}
	ping, resync := time.NewTicker(t.cfg.Ping), time.NewTimer(min(again, t.cfg.Resync))
	defer ping.Stop()
	defer resync.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case h := <-t.heard:
			if err = t.fatal(h); err == nil {
				t.event(h.What)
			}
		case <-ping.C:
			if _, err = t.ask(ctx, t.cfg.Ping, "api echo deskline"); err == nil { // a refusal is a sign of life, too
				t.board.Alive()
			}
		case <-resync.C:
			err = t.sync(ctx)
			resync.Reset(t.cfg.Resync)
		}
		if err != nil {
			return err
		}
	}
}

// sync has the full picture.
func (t *talk) sync(ctx context.Context) error {
	m, err := t.ask(ctx, t.cfg.Timeout, "api show channels as json")
	if err != nil {
		return err
	}
	if !m.isRow {
		return fmt.Errorf("%w: show channels: %s", pbx.ErrRefused, m.reply)
	}
	t.book.list(m.list, time.Now())
	t.board.Begin()
	for line := range t.book.lines {
		t.set(line)
	}
	for line := range t.book.idle {
		t.set(line)
	}
	t.board.End()
	return nil
}

// event takes a change.
func (t *talk) event(m message) {
	if m.event["event-name"] == "HEARTBEAT" {
		t.board.Alive()
		return
	}
	for _, line := range t.book.event(m.event, time.Now()) {
		t.set(line)
	}
}

func (t *talk) set(line string) {
	state, since := t.book.line(line)
	err := t.board.Set(line, state, since)
	if errors.Is(err, pbx.ErrFull) && !t.over {
		t.over = true
		t.cfg.Log.Warn("lines of a telephone switch are left out", "switch", t.cfg.Address, "err", err)
	}
}
