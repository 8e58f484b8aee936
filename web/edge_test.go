package web_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/web"
)

// start serves an edge on a free loopback port until the test ends.
func start(t testing.TB, change func(*web.Config), routes map[string]http.HandlerFunc, before ...func(*web.Edge)) (e *web.Edge, addr string) {
	t.Helper()
	certPEM, keyPEM, err := certs.SelfSigned([]string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	cfg := web.Config{
		Site: site(), Log: quiet(), TLS: &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second,
	}
	cfg.Std = std
	if change != nil {
		change(&cfg)
	}
	if e, err = web.New(cfg); err != nil {
		t.Fatal(err)
	}
	for path, h := range routes {
		e.Handle(path, h)
	}
	for _, f := range before {
		f(e)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = e.Shutdown(ctx) // tests leave connections behind on purpose
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e, l.Addr().String()
}

func client(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBothOnOnePort(t *testing.T) {
	echo := func(e *web.Edge) {
		e.Handle("/echo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			remote, secure := e.Peer(r)
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %v %s %v", remote.Addr(), secure, body, err)
		}))
	}
	e, addr := start(t, nil, nil, echo)
	// A silent client must not hold up the others.
	dial(t, addr)
	c := client(t)
	long := strings.Repeat("x", 100_000)
	for _, scheme := range []string{"http", "https", "http", "https"} {
		res, err := c.Post(scheme+"://"+addr+"/echo", "text/plain", strings.NewReader(long))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if want := "127.0.0.1 true " + long + " <nil>"; err != nil || string(body) != want || res.ProtoMajor != 1 {
			t.Errorf("%s: %.40s %v %s", scheme, body, err, res.Proto)
		}
	}
	// The client may or may not keep its own; the silent one stands.
	if n := e.Connections(); n < 1 {
		t.Errorf("%d connections, the silent one is gone", n)
	}
}

func TestByteByByte(t *testing.T) {
	_, addr := start(t, nil, nil)
	c := dial(t, addr)
	for _, b := range []byte("GET /none HTTP/1.1\r\nHost: x\r\n\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 404 {
		t.Fatalf("%v %v", res, err)
	}
	_ = res.Body.Close()

	// The same for a TLS client whose first record comes in pieces.
	slow := tls.Client(&trickle{dial(t, addr)}, &tls.Config{InsecureSkipVerify: true})
	if err := slow.Handshake(); err != nil {
		t.Fatal(err)
	}
}

// trickle writes a byte at a time.
type trickle struct{ net.Conn }

func (c *trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestEndsOfConnections(t *testing.T) {
	short := 200 * time.Millisecond
	cases := []struct {
		name   string
		change func(*web.Config)
		send   string
		status int // 0 = closed without a word
	}{
		{"silent", func(c *web.Config) { c.ReadHeaderTimeout = short }, "", 0},
		{"half a header", func(c *web.Config) { c.ReadHeaderTimeout = short }, "GET / HTTP/1.1\r\nHost:", 0},
		{"half a handshake", func(c *web.Config) { c.ReadHeaderTimeout = short }, "\x16\x03\x01\x02", 0},
		{"bad handshake", nil, "\x16GET / HTTP/1.1\r\n\r\n", 0},
		{"slow body", func(c *web.Config) { c.ReadTimeout = short }, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 408},
		{"slow body that nobody reads", func(c *web.Config) { c.ReadTimeout = short }, "POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 404},
		{"idle", func(c *web.Config) { c.IdleTimeout = short }, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		{"large header", func(c *web.Config) { c.MaxHeader = 1 << 10 }, "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n", 431},
		{"no HTTP", nil, "\x80\x2e\x01\x00\r\n\r\n", 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, addr := start(t, c.change, map[string]http.HandlerFunc{"/read": func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.ReadAll(r.Body); err != nil {
					w.WriteHeader(http.StatusRequestTimeout)
				}
			}})
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(c.name, "bad handshake") {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(conn) // ends when the server closes
			if err != nil && c.status != 0 {
				t.Fatal(err)
			}
			if c.status == 0 && strings.Contains(string(got), "HTTP/1.1") || c.status != 0 && !strings.HasPrefix(string(got), fmt.Sprint("HTTP/1.1 ", c.status)) {
				t.Errorf("got %q, want status %d", got, c.status)
			}
			eventually(t, "connection counted down", func() bool { return e.Connections() == 0 })
		})
	}
}

// TestHeldRequest shows that the limits for bodies and writes do not end a
// request that is held for longer than they are.
func TestHeldRequest(t *testing.T) {
	ended := make(chan error, 1)
	_, addr := start(t, func(c *web.Config) { c.ReadTimeout, c.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond },
		map[string]http.HandlerFunc{"/hold": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			hold := time.NewTimer(500 * time.Millisecond)
			defer hold.Stop()
			select {
			case <-hold.C:
			case <-r.Context().Done():
			}
			ended <- r.Context().Err()
			_, _ = io.WriteString(w, "held")
		}})
	for _, scheme := range []string{"http://", "https://"} {
		res, err := client(t).Post(scheme+addr+"/hold", "text/xml", strings.NewReader("<body/>"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err := <-ended; err != nil || string(body) != "held" {
			t.Errorf("%s: %q, context %v", scheme, body, err)
		}
	}
}

// TestGoneClient shows that a held request learns that its client has gone.
func TestGoneClient(t *testing.T) {
	held, gone := make(chan struct{}), make(chan struct{})
	_, addr := start(t, nil, map[string]http.HandlerFunc{"/hold": func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		close(held)
		<-r.Context().Done()
		close(gone)
	}})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"); err != nil {
		t.Fatal(err)
	}
	<-held
	_ = c.Close()
	<-gone
}

func TestMaxConnections(t *testing.T) {
	e, addr := start(t, func(c *web.Config) { c.MaxConnections = 2 }, nil)
	first := dial(t, addr)
	dial(t, addr)
	eventually(t, "two connections", func() bool { return e.Connections() == 2 })
	if n, err := dial(t, addr).Read(make([]byte, 1)); err == nil {
		t.Errorf("third got %d bytes", n)
	}
	if e.Refused() != 1 {
		t.Errorf("%d refused", e.Refused())
	}
	_ = first.Close()
	eventually(t, "room again", func() bool { return e.Connections() == 1 })
	res, err := client(t).Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

func TestShutdownWaitsForRequests(t *testing.T) {
	held, let := make(chan struct{}), make(chan struct{})
	e, addr := start(t, nil, map[string]http.HandlerFunc{"/hold": func(w http.ResponseWriter, _ *http.Request) {
		close(held)
		<-let
		_, _ = io.WriteString(w, "answered")
	}})
	answer := make(chan string, 1)
	go func() {
		res, err := client(t).Get("http://" + addr + "/hold")
		if err != nil {
			answer <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		answer <- string(body)
	}()
	<-held
	done := make(chan error, 1)
	go func() { done <- e.Shutdown(context.Background()) }()
	eventually(t, "no new connection", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(let)
	if got, err := <-answer, <-done; got != "answered" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

// eventually polls until ok, for ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("still not: " + what)
		case <-tick.C:
		}
	}
}
