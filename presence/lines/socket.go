package lines

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	maxMessage   = 64 << 10 // bytes
	pingAfter    = 30 * time.Second
	pingWait     = 10 * time.Second
	writeTimeout = 10 * time.Second // of one answer
)

// socket is one feed over WebSocket. Its one loop reads a message, carries it out
// and writes the answer before it reads the next: who sends faster is held back by
// the connection itself, and nothing waits here.
type socket struct {
	s     *Service
	ws    *websocket.Conn
	token string // it was let in by

	alive atomic.Int64 // counts what came and what the client has taken
	sum   verdict      // of all messages
}

// serveSocket takes a feed over WebSocket for as long as it lasts.
func (s *Service) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		answer(w, http.StatusUpgradeRequired, problem{Error: "connect by WebSocket, or send rows by POST"})
		return
	}
	if !s.allows(r) {
		answer(w, http.StatusForbidden, problem{Error: "pages of this origin may not connect: http.cors_origins"})
		return
	}
	if !s.begin(w) {
		return
	}
	defer s.end()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // allows has decided
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		s.cfg.Log.DebugContext(r.Context(), "feed of lines: handshake", "remote", s.remote(r), "err", err)
		return
	}
	ws.SetReadLimit(maxMessage)
	one := &socket{s: s, ws: ws, token: bearer(r)}
	ctx := context.WithoutCancel(r.Context()) // what was said is carried out though the sender has gone
	s.cfg.Log.InfoContext(ctx, "feed of lines begins", "remote", s.remote(r))
	reason := why(one.run(ctx))
	s.cfg.Log.InfoContext(ctx, "feed of lines ended", "remote", s.remote(r), "messages", one.sum.Message,
		"taken", one.sum.Taken, "stale", one.sum.Stale, "failed", one.sum.Failed, "reason", reason)
}

// why is the end of a feed as the log has it.
func why(err error) string {
	if gone, ok := errors.AsType[websocket.CloseError](err); ok {
		return strings.TrimSpace(gone.Code.String() + " " + gone.Reason)
	}
	return err.Error()
}

// allows reports whether a page may connect; programs say no origin.
func (s *Service) allows(r *http.Request) bool {
	if s.cfg.AllowOrigin == nil {
		return r.Header.Get("Origin") == ""
	}
	_, ok := s.cfg.AllowOrigin(r)
	return ok
}

func (s *Service) remote(r *http.Request) string {
	if s.cfg.Peer == nil {
		return r.RemoteAddr
	}
	addr, _ := s.cfg.Peer(r)
	return addr.Addr().String()
}

// run reads until the end and returns why it came.
func (c *socket) run(ctx context.Context) error {
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(ctx, over) })
	defer watch.Wait()
	defer close(over)
	defer func() { _ = c.ws.CloseNow() }() // how it went is known by then
	for {
		kind, data, err := c.ws.Read(ctx)
		if err != nil {
			return err
		}
		c.alive.Add(1)
		if kind != websocket.MessageText {
			_ = c.ws.Close(websocket.StatusUnsupportedData, "send text")
			return errors.New("it sent a binary message")
		}
		if !c.trusted() {
			return errors.New("the token has changed")
		}
		c.sum.Message++
		if err := c.hear(ctx, data); err != nil {
			return err
		}
	}
}

// watch ends the feed when the node stops, when its token counts no more, and when
// its sender is gone and nobody has told.
func (c *socket) watch(ctx context.Context, over chan struct{}) {
	tick := time.NewTicker(c.s.cfg.Ping)
	defer tick.Stop()
	last := c.alive.Load()
	for {
		select {
		case <-over:
			return
		case <-c.s.done:
			_ = c.ws.Close(websocket.StatusGoingAway, "the node stops")
			return
		case <-tick.C:
		}
		if !c.trusted() {
			return
		}
		now := c.alive.Load()
		if now == last && !c.answers(ctx) && now == c.alive.Load() {
			_ = c.ws.CloseNow() // which ends run
			return
		}
		last = now
	}
}

func (c *socket) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.s.cfg.PingWait)
	defer cancel()
	return c.ws.Ping(ctx) == nil
}

// trusted ends the feed of who was let in by another token than the present one.
func (c *socket) trusted() bool {
	if c.s.settings.Load().Token == c.token {
		return true
	}
	_ = c.ws.Close(websocket.StatusPolicyViolation, "the token has changed")
	return false
}

// hear carries out one message and answers it.
func (c *socket) hear(ctx context.Context, data []byte) error {
	if what, ok := asked(data); ok {
		return c.tell(ctx, what)
	}
	v := c.s.message(ctx, data)
	v.Message = c.sum.Message
	c.sum.Taken += v.Taken
	c.sum.Stale += v.Stale
	c.sum.Failed += v.Failed
	return c.write(ctx, v)
}

// known is a part of what is known of lines.
type known struct {
	Message uint64 `json:"message"`
	Lines   []view `json:"lines"`
	More    bool   `json:"more"`
}

// linesAtOnce is how many lines are in one answer.
const linesAtOnce = 200

// tell answers a question.
func (c *socket) tell(ctx context.Context, what string) error {
	if what != askLines {
		return c.write(ctx, verdict{Message: c.sum.Message, Error: "ask is not " + askLines})
	}
	for ids := c.s.ids(); ; {
		part := ids[:min(len(ids), linesAtOnce)]
		ids = ids[len(part):]
		k := known{Message: c.sum.Message, Lines: []view{}, More: len(ids) > 0}
		for _, id := range part {
			if v, ok := c.s.get(id, time.Now()); ok {
				k.Lines = append(k.Lines, v)
			}
		}
		if err := c.write(ctx, k); err != nil || !k.More {
			return err
		}
	}
}

func (c *socket) write(ctx context.Context, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	c.alive.Add(1)
	return nil
}
