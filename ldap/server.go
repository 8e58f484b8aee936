package ldap

import (
	"context"
	"crypto/tls"
	"sync"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// idleTime is how long a connection may lie idle: servers and firewalls close
	// those that lie for longer.
	idleTime = time.Minute
)

// purpose keeps connections apart on which strangers' passwords were tried.
type purpose int

const (
	lookup purpose = iota
	login
	purposes
)

// server is one server of a directory and the connections to it.
type server struct {
	cfg    Config
	url    string
	addr   string
	secure bool
	tls    *tls.Config

	mu      sync.Mutex // guards what follows
	idle    [purposes][]*conn
	closed  bool
	retry   time.Time     // when to try again; zero while it answers
	backoff time.Duration // the next one
	probing bool          // somebody tries again
	err     error         // why it does not answer
	since   time.Time     // of that
}

func newServer(cfg Config, text string, t *tls.Config) (*server, error) {
	addr, host, secure, err := address(text)
	if err != nil {
		return nil, err
	}
	if t.ServerName == "" {
		t = t.Clone()
		t.ServerName = host
	}
	return &server{cfg: cfg, url: text, addr: addr, secure: secure, tls: t}, nil
}

// admit reports whether the server may be asked now. One that did not answer is
// tried by one asker at a time, and only when its time has come.
func (s *server) admit(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return true
	}
	if s.probing || now.Before(s.retry) {
		return false
	}
	s.probing = true
	return true
}

// report notes how it went: nil for an answer.
func (s *server) report(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = false
	if err == nil {
		if s.err != nil {
			s.cfg.Log.InfoContext(ctx, "directory server is back", "server", s.url, "away", time.Since(s.since).Round(time.Millisecond))
		}
		s.err, s.backoff = nil, 0
		return
	}
	now := time.Now()
	if s.err == nil {
		s.since = now
		s.cfg.Log.WarnContext(ctx, "directory server does not answer", "server", s.url, "err", err)
	}
	s.err = err
	s.backoff = min(max(2*s.backoff, firstBackoff), maxBackoff)
	s.retry = now.Add(s.backoff)
}

// release gives back the right to try again without having tried.
func (s *server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = false
}

// take returns a connection that lies idle, or a new one.
func (s *server) take(ctx context.Context, p purpose) (*conn, error) {
	if c := s.spare(p); c != nil {
		return c, nil
	}
	return s.dial(ctx, p == lookup)
}

func (s *server) spare(p purpose) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle[p]); n > 0; n = len(s.idle[p]) {
		c := s.idle[p][n-1]
		s.idle[p] = s.idle[p][:n-1]
		if c.usable() && time.Since(c.idle) < idleTime {
			c.reused = true
			return c
		}
		go c.close() // it may wait for the library
	}
	return nil
}

// put takes a connection back.
func (s *server) put(p purpose, c *conn) {
	s.mu.Lock()
	keep := c.usable() && !s.closed && len(s.idle[p]) < s.cfg.Pool
	if keep {
		c.idle = time.Now()
		s.idle[p] = append(s.idle[p], c)
	}
	s.mu.Unlock()
	if !keep {
		c.close()
	}
}

// close closes what lies idle, and later what is given back.
func (s *server) close() {
	s.mu.Lock()
	all := s.idle
	s.idle, s.closed = [purposes][]*conn{}, true
	s.mu.Unlock()
	for _, list := range all {
		for _, c := range list {
			c.close()
		}
	}
}

// state tells whether the server answered when it was last asked.
func (s *server) state() (err error, since time.Time) { //nolint:revive,staticcheck // the error is the value here
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err, s.since
}
