package web_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/deskline/deskline/internal/longpoll"
	"github.com/deskline/deskline/web"
)

// std leaves all connections of the tests to net/http.
var std bool

// TestWithoutEngine runs the tests of the edge with net/http alone.
func TestWithoutEngine(t *testing.T) {
	std = true
	defer func() { std = false }()
	for name, f := range map[string]func(*testing.T){
		"BothOnOnePort": TestBothOnOnePort, "ByteByByte": TestByteByByte, "EndsOfConnections": TestEndsOfConnections,
		"HeldRequest": TestHeldRequest, "GoneClient": TestGoneClient, "MaxConnections": TestMaxConnections,
		"ShutdownWaitsForRequests": TestShutdownWaitsForRequests, "ShutdownAnswersPolls": TestShutdownAnswersPolls,
	} {
		t.Run(name, f)
	}
}

// door answers what it is told of the client, the same by either engine, and
// holds requests for "hold".
type door struct {
	edge   *web.Edge
	held   chan func(string)
	polled atomic.Int64
}

func (d *door) MaxBody() int { return 1000 }

func (d *door) Poll(r *longpoll.Request) (longpoll.Held, bool) {
	d.polled.Add(1)
	x := r.Exchange()
	answer := func(body string) {
		x.Respond(&longpoll.Response{Status: 200, ContentType: "text/plain", Body: []byte(body)})
	}
	if string(r.Body) == "hold" {
		d.held <- answer
		return nil, true
	}
	answer(say(r.Remote, r.Secure, r.Get("user-agent"), string(r.Body)))
	return nil, true
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := w.Header()
	if origin, ok := d.edge.AllowOrigin(r); r.Header.Get("Origin") != "" {
		if origin != "*" {
			h.Set("Vary", "Origin")
		}
		if ok {
			h.Set("Access-Control-Allow-Origin", origin)
		}
	}
	h.Set("Content-Type", "text/plain")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Content-Security-Policy", "sandbox")
	if string(body) == "hold" {
		answer := make(chan string, 1)
		d.held <- func(s string) { answer <- s }
		body = []byte(<-answer)
		_, _ = w.Write(body)
		return
	}
	remote, secure := d.edge.Peer(r)
	_, _ = io.WriteString(w, say(remote, secure, r.UserAgent(), string(body)))
}

func say(remote netip.AddrPort, secure bool, agent, body string) string {
	port := "0"
	if remote.Port() != 0 {
		port = "some"
	}
	return fmt.Sprintf("%s port %s secure %v agent %q body %q", remote.Addr(), port, secure, agent, body)
}

func startDoor(t *testing.T, p web.Policy) (d *door, e *web.Edge, addr string) {
	t.Helper()
	d = &door{held: make(chan func(string), 10)}
	e, addr = start(t, func(c *web.Config) { c.Policy = p }, nil, func(e *web.Edge) {
		d.edge = e
		e.HandlePoll("/http-bind", d)
	})
	return d, e, addr
}

// TestSamePolicy sends each request twice, once so that the engine for long
// polling takes it and once so that net/http does: all that a client or a door
// can see of it is the same.
func TestSamePolicy(t *testing.T) {
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tc := range []struct {
		name    string
		policy  web.Policy
		headers []string
		secure  bool // TLS
		refused bool
	}{
		{name: "loopback"},
		{name: "TLS", secure: true},
		{name: "browser", headers: []string{"User-Agent: Mozilla/5.0"}},
		{name: "proxy without trust", headers: []string{"X-Forwarded-For: 192.0.2.1"}, refused: true},
		{name: "proxy without trust, TLS", headers: []string{"X-Forwarded-For: 192.0.2.1"}, secure: true},
		{name: "via another", headers: []string{"via: 1.1 other"}, refused: true},
		{name: "anything goes", policy: web.Policy{Plain: web.PlainAny}, headers: []string{"X-Forwarded-For: 192.0.2.1"}},
		{name: "trusted proxy", policy: web.Policy{TrustedProxies: here}, headers: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"}},
		{name: "trusted proxy of a plain client", policy: web.Policy{TrustedProxies: here}, headers: []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"}, refused: true},
		{name: "chain", policy: web.Policy{TrustedProxies: here}, headers: []string{"X-Forwarded-For: 192.0.2.7, 192.0.2.1", "X-Forwarded-For: 127.0.0.9", "X-Forwarded-Proto: https"}},
		{name: "trusted proxy over TLS", policy: web.Policy{TrustedProxies: here}, headers: []string{"X-Forwarded-For: 192.0.2.1:99", "X-Forwarded-Proto: HTTPS"}, secure: true},
		{name: "own page", headers: []string{"Origin: http://localhost:5280"}},
		{name: "listed page", policy: web.Policy{CORSOrigins: []string{"https://desk.example"}}, headers: []string{"Origin: https://desk.example"}},
		{name: "strange page", headers: []string{"Origin: https://evil.example"}},
		{name: "any page", policy: web.Policy{CORSOrigins: []string{"*"}}, headers: []string{"Origin: https://evil.example"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, _, addr := startDoor(t, tc.policy)
			var seen [2]string
			for i, extra := range []string{"", "TE: trailers\r\n"} {
				c := dial(t, addr)
				if tc.secure {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				}
				head := "POST /http-bind HTTP/1.1\r\nHost: chat.example\r\n" + extra
				for _, h := range tc.headers {
					head += h + "\r\n"
				}
				if _, err := io.WriteString(c, head+"Content-Length: 3\r\n\r\nabc"); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || (res.StatusCode == http.StatusForbidden) != tc.refused {
					t.Fatalf("%d %q %v", res.StatusCode, body, err)
				}
				res.Header.Del("Date")
				seen[i] = fmt.Sprint(res.StatusCode, res.Header, string(body))
			}
			if seen[0] != seen[1] {
				t.Errorf("engine   %s\nnet/http %s", seen[0], seen[1])
			}
			want := int64(1)
			if tc.refused || !supported() {
				want = 0
			}
			if n := d.polled.Load(); n != want {
				t.Errorf("%d by the engine, want %d", n, want)
			}
		})
	}
}

func supported() bool {
	e, err := longpoll.New(longpoll.Config{})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = e.Shutdown(ctx)
	return true
}

// TestLargeForPoll shows that what is above the door's limit is net/http's.
func TestLargeForPoll(t *testing.T) {
	d, _, addr := startDoor(t, web.Policy{})
	for _, n := range []int{1000, 1001, 100_000} {
		res, err := client(t).Post("http://"+addr+"/http-bind", "text/xml", strings.NewReader(strings.Repeat("x", n)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || len(body) < n {
			t.Errorf("%d: %.60q %v", n, body, err)
		}
	}
	if n := d.polled.Load(); supported() && n != 1 {
		t.Errorf("%d by the engine", n)
	}
}

func TestPollConnections(t *testing.T) {
	d, e, addr := startDoor(t, web.Policy{})
	c := dial(t, addr)
	if _, err := io.WriteString(c, "POST /http-bind HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nhold"); err != nil {
		t.Fatal(err)
	}
	<-d.held
	if n := e.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	_ = c.Close()
	eventually(t, "counted down", func() bool { return e.Connections() == 0 })
}

// TestShutdownAnswersPolls shows that a held request is answered and its
// connection closed.
func TestShutdownAnswersPolls(t *testing.T) {
	d, e, addr := startDoor(t, web.Policy{})
	answered := make(chan string, 1)
	go func() {
		res, err := client(t).Post("http://"+addr+"/http-bind", "text/xml", strings.NewReader("hold"))
		if err != nil {
			answered <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		answered <- string(body)
	}()
	answer := <-d.held
	done := make(chan error, 1)
	go func() { done <- e.Shutdown(context.Background()) }()
	eventually(t, "no new connection", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	answer("the end")
	if got := <-answered; got != "the end" {
		t.Errorf("got %q", got)
	}
	if err := <-done; err != nil || e.Connections() != 0 {
		t.Errorf("%v, %d connections", err, e.Connections())
	}
}
