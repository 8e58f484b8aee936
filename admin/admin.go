// Package admin is what operators look at: health, readiness, metrics and
// profiles, on a listener of its own that answers this machine only unless it
// is told otherwise.
//
//	server := admin.New(admin.Config{Metrics: metrics, Level: level, Log: log})
//	server.Check("store", store.Ping)
//	err := server.Serve(listener)
//
// [Metrics] holds the node's numbers under the names operators know. Other
// packages count through small interfaces of their own, which it fills.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"
)

// Config is what a [Server] needs.
type Config struct {
	// Remote answers other machines too. Without it the listener's address does
	// not matter: whoever comes from elsewhere is refused.
	Remote  bool
	Metrics *Metrics       // nil = no /metrics
	Level   *slog.LevelVar // nil = cannot be changed
	Cluster Cluster        // nil = the node stands alone
	Log     *slog.Logger
}

// Server is the operators' HTTP server.
type Server struct {
	cfg    Config
	mux    *http.ServeMux
	server *http.Server
	checks checks
}

// New returns a server without checks: it is ready at once.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux()}
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      10 * time.Minute, // a profile takes as long as it is asked to
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	s.mux.HandleFunc("GET /{$}", index)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { line(w, http.StatusOK, "ok") })
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /loglevel", s.loglevel)
	s.mux.HandleFunc("PUT /loglevel", s.setLoglevel)
	s.handleCluster()
	if cfg.Metrics != nil {
		s.mux.Handle("GET /metrics", cfg.Metrics.handler())
	}
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return s
}

// Handle adds a route, a pattern of http.ServeMux, before Serve.
func (s *Server) Handle(pattern string, h http.Handler) { s.mux.Handle(pattern, h) }

// HandleJSON adds a route, a pattern of http.ServeMux, that answers with what read
// returns, before Serve.
func (s *Server) HandleJSON(pattern string, read func() any) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, read()) })
}

// Serve answers connections of l until Shutdown, and closes l.
func (s *Server) Serve(l net.Listener) error {
	err := s.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// Shutdown waits for the requests under way, and cuts them when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("wait for requests: %w", err), s.server.Close())
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.cfg.Remote && !local(r) {
		s.cfg.Log.WarnContext(r.Context(), "admin request refused", "remote", r.RemoteAddr, "path", r.URL.Path)
		line(w, http.StatusForbidden, "This is answered on this machine only.")
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// local reports whether r comes from this machine and means it: a page of some
// site whose name was turned to this address asks for another host.
func local(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

func line(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the client may be gone
}

func index(w http.ResponseWriter, _ *http.Request) {
	line(w, http.StatusOK, "Deskline\n\n/healthz\n/readyz\n/metrics\n/loglevel\n/cluster\n/presence?user= /presence?group=\n/presence/history?user= /presence/history?group=\n/presence/choice?user=\n/certificates\n/debug/pprof/")
}

func (s *Server) loglevel(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Level == nil {
		line(w, http.StatusNotFound, "The log level is not to be had here.")
		return
	}
	line(w, http.StatusOK, strings.ToLower(s.cfg.Level.Level().String()))
}

// setLoglevel takes the level as the body: curl -X PUT -d debug …/loglevel
func (s *Server) setLoglevel(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	var level slog.Level
	switch text := strings.ToLower(strings.TrimSpace(string(body))); {
	case s.cfg.Level == nil || err != nil:
		line(w, http.StatusBadRequest, "The log level cannot be set.")
		return
	case text != "debug" && text != "info" && text != "warn" && text != "error":
		line(w, http.StatusBadRequest, "The log level is debug, info, warn or error.")
		return
	default:
		err = level.UnmarshalText([]byte(text))
	}
	if err != nil {
		line(w, http.StatusBadRequest, err.Error())
		return
	}
	before := s.cfg.Level.Level()
	s.cfg.Level.Set(level)
	s.cfg.Log.InfoContext(r.Context(), "log level changed", "from", before.String(), "to", level.String())
	line(w, http.StatusOK, strings.ToLower(level.String()))
}
