package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/bench/wire"
)

// fate is what happens to one copy of a request.
type fate int

const (
	fateNone        fate = iota
	fateCutRequest       // the connection ends in the middle of the request
	fateCutWait          // … while the response is awaited
	fateCutResponse      // … in the middle of the response
	fateTwice            // the request goes out on two connections at once
	fateRepeat           // the request is sent again after its answer
	fateReorder          // the next request arrives before it
	fateReload           // all connections end, all open requests are sent again
	fatePause            // the client pauses
	fates
)

func (f fate) String() string {
	return [...]string{
		"none", "cut-request", "cut-wait", "cut-response", "twice",
		"repeat", "reorder", "reload", "pause",
	}[f]
}

// perSource is how many connections leave from one loopback address before the
// next is used, since those closed keep their ports for a minute.
const perSource = 5000

// dialer makes connections to the server.
type dialer struct {
	addr   string
	head   string
	local  bool
	opened atomic.Int64
}

func newDialer(raw string) (*dialer, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("parse URL: %w", err)
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("URL %s: only plain HTTP is supported", raw)
	}
	ip := net.ParseIP(u.Hostname())
	return &dialer{
		addr: u.Host, local: ip != nil && ip.IsLoopback() && ip.To4() != nil,
		head: "POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host +
			"\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: ",
	}, nil
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	var nd net.Dialer
	if n := d.opened.Add(1); d.local {
		nd.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n/perSource%200))}
	}
	return nd.DialContext(ctx, "tcp", d.addr)
}

// lines are a client's connections.
type lines struct {
	dial *dialer

	mu   sync.Mutex
	idle []net.Conn            // guarded by mu
	busy map[net.Conn]struct{} // guarded by mu
}

func (l *lines) get(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var conn net.Conn
	if n := len(l.idle); n > 0 {
		conn, l.idle = l.idle[n-1], l.idle[:n-1]
	} else {
		var err error
		if conn, err = l.dial.dial(ctx); err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
	}
	l.busy[conn] = struct{}{}
	return conn, nil
}

// put gives a connection back, or closes it.
func (l *lines) put(conn net.Conn, usable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.busy[conn]
	delete(l.busy, conn)
	if usable && known && len(l.idle) < 2 {
		l.idle = append(l.idle, conn)
		return
	}
	_ = conn.Close()
}

// cut closes all connections, as a reload of the page does.
func (l *lines) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.idle {
		_ = conn.Close()
	}
	for conn := range l.busy {
		_ = conn.Close()
	}
	l.idle = nil
	clear(l.busy)
}

var errCut = errors.New("connection cut")

// exchange sends one copy of a request and reads its response, unless fate
// intervenes. The body returned is the caller's.
func (l *lines) exchange(ctx context.Context, req []byte, f fate, r *rand.Rand) (body []byte, err error) {
	conn, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	usable := false
	defer func() { l.put(conn, usable) }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if f == fateCutRequest {
		_, _ = conn.Write(req[:1+r.IntN(len(req)-1)])
		return nil, errCut
	}
	if _, err := conn.Write(req); err != nil {
		return nil, fmt.Errorf("write request: %w", err)
	}
	limit := time.Now().Add(2 * time.Minute)
	if f == fateCutWait {
		limit = time.Now().Add(time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)))
	}
	if err := conn.SetReadDeadline(limit); err != nil {
		return nil, fmt.Errorf("set deadline: %w", err)
	}
	buf := make([]byte, 0, 1024)
	if f == fateCutResponse {
		_, _ = conn.Read(buf[:1+r.IntN(200)])
		return nil, errCut
	}
	for {
		n, err := conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return nil, fmt.Errorf("read response: %w", err)
		}
		resp, used, err := wire.ParseResponse(buf)
		switch {
		case err != nil:
			return nil, err
		case used == 0:
			if len(buf) == cap(buf) {
				buf = append(make([]byte, 0, 2*cap(buf)), buf...)
			}
			continue
		case resp.Status != 200:
			return nil, fmt.Errorf("%w %d", errStatus, resp.Status)
		}
		usable = !resp.Close && used == len(buf)
		return resp.Body, nil
	}
}

var errStatus = errors.New("HTTP status")
