// Package websocket is the door for XMPP over WebSocket (RFC 7395): each text
// message is one element, <open/> and <close/> stand for the stream's tags, and
// everything between goes to a session, which knows nothing of all this.
//
//	door := websocket.New(websocket.Config{Open: websocket.Sessions(manager), Peer: edge.Peer, AllowOrigin: edge.AllowOrigin, ...})
//	edge.Handle("/xmpp-websocket", door)
//	defer door.Shutdown(ctx)
//
// A connection has two goroutines: the one of its HTTP request reads, a second
// one writes and keeps the time. What a session sends waits in a bounded queue.
package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// Subprotocol is the name of RFC 7395 §3.1.
const Subprotocol = "xmpp"

// Session is what the door needs of a session. Features, Restart and Receive
// are called one at a time.
type Session interface {
	SID() router.SID
	JID() jid.JID // with a resource once bound
	Domain() jid.JID
	Features() []byte
	Restart(ctx context.Context, o session.Opening) error
	Receive(ctx context.Context, n *stanza.Node) error
	Ended(ctx context.Context, reason string, undelivered []session.Frame)
}

// Open starts a session for a client that opened a stream. The error is a
// *stream.Error.
type Open func(ctx context.Context, conn session.Conn, o session.Opening) (Session, error)

// Sessions returns the Open of a session manager.
func Sessions(m *session.Manager) Open {
	return func(ctx context.Context, conn session.Conn, o session.Opening) (Session, error) {
		s, err := m.Open(ctx, conn, o)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Budget bounds the bytes that wait for all clients together.
type Budget interface {
	Reserve(n int) bool
	Release(n int)
}

// Limits can change while running; a connection keeps those it began with.
type Limits struct {
	Stanza          stanza.Limits
	Queue           int           // frames waiting for a client, 0 = 1000
	QueueBytes      int           // their size, 0 = 1 MiB
	Unauthenticated time.Duration // until a resource is bound, 0 = 30 s
	Ping            time.Duration // of silence, then the client is asked for a sign of life, 0 = never
}

// Config is what a [Door] needs.
type Config struct {
	Limits
	Open         Open
	Peer         func(*http.Request) (remote netip.AddrPort, secure bool)
	AllowOrigin  func(*http.Request) (origin string, ok bool)
	Domain       string              // says who speaks to a client that asked for nobody served here
	SeeOther     func() string       // another node's address for clients when this one stops; nil or "" = none
	Budget       Budget              // nil = no bound
	PingWait     time.Duration       // for that sign, 0 = 10 s
	Delivered    func(time.Duration) // notes how long a message took from its arrival to being written; nil = nothing
	WriteTimeout time.Duration       // of one write, 0 = 10 s
	CloseWait    time.Duration       // for the client's part of a close, 0 = 5 s, which is also the longest
	Log          *slog.Logger
}

// Door is an http.Handler.
type Door struct {
	cfg    Config
	limits atomic.Pointer[Limits]

	mu       sync.Mutex // guards all and stopping
	all      map[*conn]struct{}
	stopping bool
	wg       sync.WaitGroup // one for each of all
}

// New returns a door without clients.
func New(cfg Config) *Door {
	cfg.PingWait = orDefault(cfg.PingWait, 10*time.Second)
	cfg.WriteTimeout = orDefault(cfg.WriteTimeout, 10*time.Second)
	cfg.CloseWait = orDefault(cfg.CloseWait, 5*time.Second)
	d := &Door{cfg: cfg, all: map[*conn]struct{}{}}
	d.SetLimits(cfg.Limits)
	return d
}

func orDefault[T int | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// SetLimits is for the connections to come.
func (d *Door) SetLimits(l Limits) {
	l.Queue = orDefault(l.Queue, 1000)
	l.QueueBytes = orDefault(l.QueueBytes, 1<<20)
	l.Unauthenticated = orDefault(l.Unauthenticated, 30*time.Second)
	l.Stanza.StanzaBytes = orDefault(l.Stanza.StanzaBytes, 64<<10)
	d.limits.Store(&l)
}

// Limits returns what is in force.
func (d *Door) Limits() Limits { return *d.limits.Load() }

// Len counts the connections.
func (d *Door) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all)
}

// ServeHTTP takes a connection over and returns when it has ended.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	remote, secure := d.cfg.Peer(r)
	if status, text := d.refusal(r); status != 0 {
		d.cfg.Log.DebugContext(r.Context(), "WebSocket refused", "remote", remote.Addr().String(), "status", status, "origin", r.Header.Get("Origin"))
		if status == http.StatusUpgradeRequired {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
		}
		http.Error(w, text, status)
		return
	}
	c := newConn(d, session.ConnInfo{Transport: "websocket", Remote: remote, Secure: secure, UserAgent: agent(r)})
	if !d.enter(c) {
		http.Error(w, "This server is stopping.", http.StatusServiceUnavailable)
		return
	}
	defer d.leave(c)
	ws, err := websocket.Accept(&hijack{ResponseWriter: w, conn: c}, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // AllowOrigin has decided
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     func(context.Context, []byte) bool { c.hear(); return true },
		OnPongReceived:     func(context.Context, []byte) { c.hear() },
	})
	if err != nil {
		d.cfg.Log.DebugContext(r.Context(), "WebSocket handshake", "remote", remote.Addr().String(), "err", err)
		return
	}
	ws.SetReadLimit(-1) // the limit is the reader's, which can tell the client
	c.ws = ws
	// What a client has said is carried out though the client has gone.
	c.run(context.WithoutCancel(r.Context()))
}

// refusal says why a request is no WebSocket of ours, 0 if it is one.
func (d *Door) refusal(r *http.Request) (status int, text string) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return http.StatusUpgradeRequired, "Here is XMPP over WebSocket (RFC 7395). Connect with an XMPP client."
	}
	if _, ok := d.cfg.AllowOrigin(r); !ok {
		return http.StatusForbidden, "Pages of " + r.Header.Get("Origin") + " may not connect. The administrator can list the origin in http.cors_origins."
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(name), Subprotocol) {
				return 0, ""
			}
		}
	}
	return http.StatusBadRequest, "Ask for the subprotocol xmpp (RFC 7395)."
}

// agent returns what the client calls itself, short and printable.
func agent(r *http.Request) string {
	ua := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, r.UserAgent())
	return ua[:min(len(ua), 200)]
}

func (d *Door) enter(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return false
	}
	d.all[c] = struct{}{}
	d.wg.Add(1)
	return true
}

func (d *Door) leave(c *conn) {
	d.mu.Lock()
	delete(d.all, c)
	d.mu.Unlock()
	d.wg.Done()
}

// Shutdown refuses new clients, ends all streams in order, and cuts what is
// left when ctx ends. It returns when all connections have ended.
func (d *Door) Shutdown(ctx context.Context) error {
	d.mu.Lock()
	d.stopping = true
	list := make([]*conn, 0, len(d.all))
	for c := range d.all {
		list = append(list, c)
	}
	d.mu.Unlock()
	e := &ending{reason: stream.SystemShutdown, status: websocket.StatusGoingAway}
	if d.cfg.SeeOther != nil {
		e.seeOther = d.cfg.SeeOther()
	}
	if e.seeOther == "" {
		e.err = stream.NewError(stream.SystemShutdown, "")
	}
	for _, c := range list {
		c.end(e)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.wg.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	for _, c := range list {
		c.cut()
	}
	<-done
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("end WebSocket streams: %w", ctx.Err())
	}
	return fmt.Errorf("end WebSocket streams in time: %w", ctx.Err())
}
