// Package innovaphone is a source of evidence for presence: what a PBX of innovaphone says of
// its users by SubscribePresence of the PbxApi, over an AppWebsocket
// (sdk.innovaphone.com, AppWebsocket and PbxApi).
//
//	client, err := innovaphone.New(innovaphone.Config{URL: "wss://pbx.example.com/PBX0/APPS/websocket", App: "deskline", Password: secret, Lines: lines})
//	source := pbx.New(pbx.Config{Name: "innovaphone:main", Talk: client.Talk, …})
//
// Deskline signs in as an app object that may use the PbxApi, and asks for each line by
// itself. The picture is full when all have been told, or do not answer.
package innovaphone

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
)

// Config is where a PBX is and whom it is to tell of.
type Config struct {
	URL      string
	TLS      *tls.Config // nil = the system's roots
	App      string      // the name of the app object
	Password string
	Lines    []string // as Lines returns them

	Ping    time.Duration // between signs of life, and how long one may take
	Timeout time.Duration // of a full picture
	Settle  time.Duration // how long lines that say nothing hold up the full picture
	Log     *slog.Logger
}

const (
	maxMessage = 256 << 10 // bytes of one message
	window     = 32        // subscriptions under way at once
	writeTime  = 10 * time.Second
)

// Client speaks with one PBX.
type Client struct{ cfg Config }

// New makes a Client; it does nothing yet.
func New(cfg Config) (*Client, error) {
	if cfg.App == "" || cfg.Password == "" {
		return nil, errors.New("the name of the app or the password is empty")
	}
	if cfg.Ping <= 0 {
		cfg.Ping = 10 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Settle <= 0 {
		cfg.Settle = 5 * time.Second
	}
	return &Client{cfg}, nil
}

// talk is one connection.
type talk struct {
	cfg   Config
	conn  *websocket.Conn
	heard <-chan pbx.Heard[message]
	board *pbx.Board

	asked    int    // lines that were asked for
	answered int    // of which that was confirmed
	told     []bool // lines of which something was told
	silent   int    // lines of which nothing was told
	whole    bool
}

// errSilent is for a PBX that hangs.
var errSilent = errors.New("the switch does not answer")

// Talk implements pbx.Talk.
func (c *Client) Talk(ctx context.Context, b *pbx.Board) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c.cfg.TLS, Proxy: http.ProxyFromEnvironment}}
	defer client.CloseIdleConnections()
	dial, cancel := context.WithTimeout(ctx, c.cfg.Ping)
	conn, res, err := websocket.Dial(dial, c.cfg.URL, &websocket.DialOptions{HTTPClient: client})
	cancel()
	if res != nil && res.Body != nil {
		defer res.Body.Close()
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.cfg.URL, err)
	}
	conn.SetReadLimit(maxMessage)
	ctx, cancel = context.WithCancel(ctx)
	heard := pbx.Listen(ctx, func() (message, error) {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return message{}, fmt.Errorf("read from the switch: %w", err)
		}
		if kind != websocket.MessageText {
			return message{}, errors.New("the switch sends what is no text")
		}
		return parse(data)
	})
	defer func() {
		cancel()
		_ = conn.CloseNow()
		for range heard { // until its goroutine has ended
		}
	}()
	t := &talk{cfg: c.cfg, conn: conn, heard: heard, board: b, told: make([]bool, len(c.cfg.Lines)), silent: len(c.cfg.Lines)}
	if err := t.login(ctx); err != nil {
		return err
	}
	return t.watch(ctx)
}

func (t *talk) send(ctx context.Context, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if err := t.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("write to the switch: %w", err)
	}
	return nil
}

// await waits for a message of a type.
func (t *talk) await(ctx context.Context, kind string) (message, error) {
	limit := time.NewTimer(t.cfg.Ping)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return message{}, ctx.Err()
		case <-limit.C:
			return message{}, fmt.Errorf("%s: %w", kind, errSilent)
		case h := <-t.heard:
			if h.Err != nil || h.What.Type == kind {
				return h.What, h.Err
			}
		}
	}
}

func (t *talk) login(ctx context.Context) error {
	if err := t.send(ctx, message{Type: "AppChallenge"}); err != nil {
		return err
	}
	m, err := t.await(ctx, "AppChallengeResult")
	if err != nil {
		return err
	}
	if m.Challenge == "" {
		return fmt.Errorf("%w: it has no challenge", pbx.ErrRefused)
	}
	if err := t.send(ctx, login{Type: "AppLogin", App: t.cfg.App, Digest: digest(t.cfg.App, m.Challenge, t.cfg.Password)}); err != nil {
		return err
	}
	if m, err = t.await(ctx, "AppLoginResult"); err == nil && !m.OK {
		err = fmt.Errorf("%w: look at the name and the password of the app object %s", pbx.ErrRefused, t.cfg.App)
	}
	return err
}

// watch asks for all lines, and hears what they do.
func (t *talk) watch(ctx context.Context) error {
	t.board.Begin()
	limit, settled := time.NewTimer(t.cfg.Timeout), time.NewTimer(t.cfg.Settle)
	ping := time.NewTicker(t.cfg.Ping)
	defer limit.Stop()
	defer settled.Stop()
	defer ping.Stop()
	for {
		for !t.whole && t.asked < len(t.cfg.Lines) && t.asked-t.answered < window {
			if err := t.send(ctx, ask(t.asked, t.cfg.Lines[t.asked])); err != nil {
				return err
			}
			t.asked++
		}
		if !t.whole && t.answered == len(t.cfg.Lines) && t.silent == 0 {
			t.full()
		}
		select {
		case <-ctx.Done():
			return nil
		case h := <-t.heard:
			if h.Err != nil {
				return h.Err
			}
			t.hear(h.What)
			settled.Reset(t.cfg.Settle)
		case <-settled.C: // the rest are no users, or not connected
			if !t.whole && t.answered == len(t.cfg.Lines) {
				t.full()
			}
		case <-limit.C:
			if !t.whole {
				return fmt.Errorf("SubscribePresence: %w", errSilent)
			}
		case <-ping.C:
			if err := t.ping(ctx); err != nil {
				return err
			}
		}
	}
}

func (t *talk) full() {
	t.whole = true
	t.board.End()
}

func (t *talk) ping(ctx context.Context) error {
	// What comes before the answer has to be read by Listen, which waits when there is much of it.
	done, over := make(chan error, 1), make(chan struct{})
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Ping)
	defer cancel()
	go func() {
		defer close(over)
		done <- t.conn.Ping(ctx)
	}()
	defer func() { <-over }()
	defer cancel()
	for {
		select {
		case err := <-done:
			if err != nil {
				return errSilent
			}
			t.board.Alive()
			return nil
		case h := <-t.heard:
			if h.Err != nil {
				return h.Err
			}
			t.hear(h.What)
		}
	}
}

// hear takes what is said of a line.
func (t *talk) hear(m message) {
	at, err := strconv.Atoi(m.Src)
	if err != nil || at < 0 || at >= t.asked || m.API != "" && m.API != "PbxApi" {
		return
	}
	state := presence.LineUnknown
	switch m.Type {
	case "SubscribePresenceResult":
		t.answered = min(t.answered+1, len(t.cfg.Lines))
		return
	case "PresenceState":
		if m.Up { // what it does comes next
			return
		}
	case "PresenceUpdate":
		state = judge(m.Presence)
	default:
		return
	}
	if !t.told[at] {
		t.told[at] = true
		t.silent--
	}
	if err := t.board.Set(t.cfg.Lines[at], state, time.Time{}); err != nil {
		t.cfg.Log.Debug("line of a telephone switch", "switch", t.cfg.URL, "err", err)
	}
}
