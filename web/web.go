// Package web is the public HTTP edge of a node: HTTP and HTTPS on one port,
// the rules of who is answered without TLS, where a request really comes from,
// which origins may call, and the few pages every node has.
//
//	edge, err := web.New(web.Config{TLS: keeper.TLSConfig(0), Site: site, Log: log})
//	edge.HandlePoll("/http-bind", door)
//	err = edge.Serve(listener)
//
// The doors behind it know nothing of it: they get [Edge.Peer] and
// [Edge.AllowOrigin] as functions.
//
// Two engines read requests under the same rules. Package longpoll has all
// connections first and keeps those whose requests are plain and for a door that
// holds them ([Edge.HandlePoll]): very many that wait cost little. It hands over
// all others to net/http.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/internal/longpoll"
)

// Config is what an [Edge] needs. A duration or number of 0 means no limit.
type Config struct {
	Policy
	TLS               *tls.Config   // nil = plain HTTP only
	ReadHeaderTimeout time.Duration // from the first byte waited for to the end of the header, the TLS handshake included
	ReadTimeout       time.Duration // of a body
	WriteTimeout      time.Duration // of one write, so that a response may be held first
	IdleTimeout       time.Duration // between two requests
	MaxHeader         int           // bytes; 0 = 1 MiB
	MaxConnections    int           // further ones are closed at once
	PlainPrefix       string        // what an authority asks for without TLS (RFC 8555 §8.3); "" = nothing
	Std               bool          // net/http alone, without the engine for long polling
	Site              Site
	Log               *slog.Logger
}

// Edge is an HTTP server with its routes.
type Edge struct {
	cfg    Config
	policy atomic.Pointer[policy]
	mux    *http.ServeMux
	server *http.Server

	polls map[string]Poller // by path

	mu      sync.Mutex // guards what follows
	engine  *longpoll.Engine
	queue   *longpoll.Queue // what the engine hands over; set before it
	stopped bool

	open    atomic.Int64
	refused atomic.Uint64
}

// New returns an edge that answers discovery, the pages of cfg.Site, and 404.
func New(cfg Config) (*Edge, error) {
	e := &Edge{cfg: cfg, mux: http.NewServeMux(), polls: make(map[string]Poller)}
	if err := e.SetPolicy(cfg.Policy); err != nil {
		return nil, err
	}
	e.server = &http.Server{
		Handler:                      http.HandlerFunc(e.serve),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            cfg.ReadHeaderTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		MaxHeaderBytes:               cfg.MaxHeader,
		ErrorLog:                     slog.NewLogLogger(serverLog{cfg.Log.Handler()}, slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		// HTTP/2 would need a multiplexer and its buffers for each connection.
		Protocols: protocols(),
	}
	if err := e.handleSite(); err != nil {
		return nil, err
	}
	return e, nil
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Handle registers a handler for a pattern of http.ServeMux. It is called
// before Serve; a pattern that is taken or malformed panics as it does there.
func (e *Edge) Handle(pattern string, h http.Handler) { e.mux.Handle(pattern, h) }

// Serve answers connections of l until Shutdown, and closes l.
func (e *Edge) Serve(l net.Listener) error {
	err := e.servePolls(&listener{Listener: l, edge: e})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// Shutdown stops accepting, waits for the requests under way, and closes what
// is left when ctx ends. Doors have to let go of what they hold before.
// Connections taken over by WebSocket are their door's.
func (e *Edge) Shutdown(ctx context.Context) error {
	polls := make(chan error, 1)
	go func() { polls <- e.stopPolls(ctx) }()
	err := errors.Join(e.server.Shutdown(ctx), <-polls)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("wait for requests: %w", err), e.server.Close())
}

// Connections returns how many connections are open, those taken over by
// WebSocket included.
func (e *Edge) Connections() int { return int(e.open.Load()) }

// Refused returns how many connections were closed for want of room.
func (e *Edge) Refused() uint64 { return e.refused.Load() }

// serve is the way of each request.
func (e *Edge) serve(w http.ResponseWriter, r *http.Request) {
	pol := e.policy.Load()
	c, _ := r.Context().Value(connKey{}).(*conn)
	p := pol.peerOf(r, c)
	if !pol.answers(&p) && !e.forAll(r.URL.Path) {
		e.sendToTLS(w, r, pol, &p)
		return
	}
	if c != nil && r.Body != http.NoBody && e.cfg.ReadTimeout > 0 {
		r.Body = c.bound(r.Body)
	}
	e.mux.ServeHTTP(w, r)
}

// sendToTLS tells a client that came without TLS to come with it. Only what a
// client will repeat by itself is redirected; others get words.
func (e *Edge) sendToTLS(w http.ResponseWriter, r *http.Request, pol *policy, p *peer) {
	where := pol.secureBase(r, p) + r.URL.RequestURI()
	h := w.Header()
	// A browser would keep a permanent redirect for ever.
	h.Set("Cache-Control", "no-store")
	upgrade := r.Header.Get("Upgrade") != ""
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && !upgrade {
		h.Set("Location", where)
		plainText(w, http.StatusPermanentRedirect, "This is at "+where)
		return
	}
	if upgrade {
		where = "wss" + strings.TrimPrefix(where, "https")
	}
	if origin, ok := e.AllowOrigin(r); ok && origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Add("Vary", "Origin")
	}
	plainText(w, http.StatusForbidden, "Without TLS this is answered on loopback only. Use "+where)
}

// plainText answers with a line of text.
func plainText(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client may be gone
}

// serverLog raises what net/http says about a panic, and lets the noise of
// broken connections be debug.
type serverLog struct{ slog.Handler }

func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, "http server", 0)
	if strings.HasPrefix(r.Message, "http: panic") || strings.HasPrefix(r.Message, "http: Accept error") {
		out.Level = slog.LevelError
	}
	out.AddAttrs(slog.String("detail", r.Message))
	if !l.Handler.Enabled(ctx, out.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, out)
}

func (serverLog) Enabled(context.Context, slog.Level) bool { return true }
