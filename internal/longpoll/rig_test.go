//go:build linux

package longpoll_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/longpoll"
)

// door is a handler for /poll. It answers with what body says:
//
//	now X   X at once
//	soon X  X from another goroutine
//	hold    when the test says so
//	leave   not at all, so that the general server has to
//	panic   by panicking
type door struct {
	limit int
	held  chan *held
}

// held is a request that the test answers.
type held struct {
	longpoll.Exchange
	gone chan struct{}
}

func (h *held) Gone() { close(h.gone) }

func (d *door) MaxBody(path []byte) int {
	if string(path) != "/poll" {
		return -1
	}
	return d.limit
}

func (d *door) Serve(r *longpoll.Request) (longpoll.Held, bool) {
	word, text, _ := strings.Cut(string(r.Body), " ")
	x := r.Exchange()
	switch word {
	case "leave":
		return nil, false
	case "panic":
		panic("as the test wants it")
	case "hold":
		h := &held{x, make(chan struct{})}
		d.held <- h
		return h, true
	case "soon":
		go x.Respond(reply(text))
		return nil, true
	}
	x.Respond(reply(fmt.Sprint(text, r.Get("x-echo"), r.Values("X-Twice"))))
	return nil, true
}

func reply(body string) *longpoll.Response {
	return &longpoll.Response{Status: 200, ContentType: "text/plain", Body: []byte(body)}
}

// rig is an engine with a general server behind it.
type rig struct {
	t      testing.TB
	engine *longpoll.Engine
	door   *door
	addr   string
	handed atomic.Int64
	closed atomic.Int64
}

// over is a connection that was handed over, as a general server wants it.
type over struct {
	net.Conn
	io.Reader
}

func (o *over) Read(p []byte) (int, error) { return o.Reader.Read(p) }

func newRig(t testing.TB, change func(*longpoll.Config)) *rig {
	t.Helper()
	r := &rig{t: t, door: &door{limit: 1 << 20, held: make(chan *held, 20000)}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	queue := longpoll.NewQueue(l.Addr())
	cfg := longpoll.Config{
		Handler: r.door, TLS: tlsConfig(t), Log: slog.New(slog.DiscardHandler),
		Closed: func() { r.closed.Add(1) },
		HandOver: func(c longpoll.Connection) {
			r.handed.Add(1)
			inner := c.Conn
			if c.TLS != nil {
				inner = c.TLS
			}
			queue.Push(&over{inner, io.MultiReader(strings.NewReader(string(c.Head)), inner)})
		},
	}
	if change != nil {
		change(&cfg)
	}
	if r.engine, err = longpoll.New(cfg); err != nil {
		t.Fatal(err)
	}
	general := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "general %s %s %v", r.Method, body, err)
	})}
	var work sync.WaitGroup
	work.Go(func() { _ = general.Serve(queue) })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := r.engine.Add(c); err != nil {
				queue.Push(c)
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what tests leave behind is closed at once
		_ = r.engine.Shutdown(ctx)
		_ = general.Close()
		work.Wait()
	})
	return r
}

var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

func tlsConfig(t testing.TB) *tls.Config {
	pair, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// dial connects, with TLS if asked to.
func (r *rig) dial(secure bool) net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

func request(body string, fields ...string) string {
	head := "POST /poll HTTP/1.1\r\nHost: localhost\r\n"
	for _, f := range fields {
		head += f + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// got reads one response.
func got(t testing.TB, in *bufio.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func write(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// both runs a test without and with TLS.
func both(t *testing.T, f func(t *testing.T, secure bool)) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { f(t, secure) })
	}
}

// eventually polls until ok, for ten seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(10 * time.Second)
	defer end.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatal("still not: " + what)
		case <-tick.C:
		}
	}
}
