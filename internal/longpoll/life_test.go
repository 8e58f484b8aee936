//go:build linux

package longpoll_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/longpoll"
)

func TestHeld(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := newRig(t, nil)
		c := r.dial(secure)
		in := bufio.NewReader(c)
		for i := range 3 {
			write(t, c, request("hold"))
			h := <-r.door.held
			var once sync.WaitGroup
			for range 3 { // one of them counts
				once.Go(func() { h.Respond(reply(fmt.Sprint("held ", i))) })
			}
			if _, body := got(t, in); body != fmt.Sprint("held ", i) {
				t.Fatal(body)
			}
			once.Wait()
			h.Respond(reply("late"))
		}
		write(t, c, request("now end"))
		if _, body := got(t, in); body != "end[]" {
			t.Fatal(body)
		}
	})
}

func TestHangUp(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for name, hangUp := range map[string]func(c net.Conn) error{
			"closed": func(c net.Conn) error { return c.Close() },
			"half closed": func(c net.Conn) error {
				if s, ok := c.(*tls.Conn); ok {
					c = s.NetConn()
				}
				return c.(*net.TCPConn).CloseWrite()
			},
			"reset": func(c net.Conn) error {
				if s, ok := c.(*tls.Conn); ok {
					c = s.NetConn()
				}
				return errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close())
			},
			"closed after more": func(c net.Conn) error {
				_, err := io.WriteString(c, request("now x"))
				return errors.Join(err, c.Close())
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, nil)
				c := r.dial(secure)
				write(t, c, request("hold"))
				h := <-r.door.held
				if err := hangUp(c); err != nil {
					t.Fatal(err)
				}
				<-h.gone
				h.Respond(reply("nobody")) // is harmless
				eventually(t, "closed", func() bool { return r.closed.Load() == 1 })
			})
		}
	})
}

// TestSlowReader shows that a client that does not read keeps nobody up, gets
// all in the end, and is given up if it never reads.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		large := strings.Repeat("0123456789", 3_000_000)
		r := newRig(t, nil)
		c := r.dial(secure)
		write(t, c, request("hold"))
		(<-r.door.held).Respond(reply(large)) // returns, though nobody reads
		write(t, c, request("now b"))
		in := bufio.NewReader(c)
		if _, body := got(t, in); body != large {
			t.Fatalf("%d bytes, want %d", len(body), len(large))
		}
		if _, body := got(t, in); body != "b[]" {
			t.Fatal(body)
		}

		r = newRig(t, func(cfg *longpoll.Config) { cfg.WriteTimeout = 200 * time.Millisecond })
		c = r.dial(secure)
		write(t, c, request("hold"))
		(<-r.door.held).Respond(reply(large))
		eventually(t, "given up", func() bool { return r.closed.Load() == 1 })
	})
}

func TestTimes(t *testing.T) {
	short := 150 * time.Millisecond
	for _, tc := range []struct {
		name, send string
		change     func(*longpoll.Config)
		want       string // how what comes begins, "" = closed without a word
	}{
		{"silent", "", func(c *longpoll.Config) { c.HeaderTimeout = short }, ""},
		{"half a head", "POST /poll HTTP/1.1\r\nHo", func(c *longpoll.Config) { c.HeaderTimeout = short }, ""},
		{"half a body", "POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", func(c *longpoll.Config) { c.BodyTimeout = short }, "HTTP/1.1 408 Request Timeout\r\n"},
		{"half a handshake", "\x16\x03\x01\x02", func(c *longpoll.Config) { c.HeaderTimeout = short }, ""},
		{"a bad handshake", "\x16POST /poll HTTP/1.1\r\n", nil, ""},
		{"idle", request("now a"), func(c *longpoll.Config) { c.IdleTimeout = short }, "HTTP/1.1 200 OK\r\n"},
		{"panic", request("panic"), nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.change)
			c := r.dial(false)
			write(t, c, tc.send)
			all, err := io.ReadAll(c) // ends when the server closes
			if err != nil && tc.want != "" || !strings.HasPrefix(string(all), tc.want) || tc.want == "" && len(all) > 0 {
				t.Errorf("%q, %v", all, err)
			}
			eventually(t, "counted", func() bool { return r.closed.Load() == 1 })
		})
	}
}

// TestHeldIsNotTimed shows that none of the limits ends a held request.
func TestHeldIsNotTimed(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		short := 100 * time.Millisecond
		r := newRig(t, func(c *longpoll.Config) {
			c.BodyTimeout, c.WriteTimeout, c.IdleTimeout = short, short, short
		})
		c := r.dial(secure)
		write(t, c, request("hold"))
		h := <-r.door.held
		timer := time.NewTimer(5 * short)
		defer timer.Stop()
		select {
		case <-h.gone:
			t.Fatal("given up")
		case <-timer.C:
		}
		h.Respond(reply("held"))
		if _, body := got(t, bufio.NewReader(c)); body != "held" {
			t.Fatal(body)
		}
	})
}

func TestShutdown(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := newRig(t, nil)
		idle, busy := r.dial(secure), r.dial(secure)
		write(t, idle, request("now a"))
		in := bufio.NewReader(idle)
		got(t, in)
		write(t, busy, request("hold"))
		h := <-r.door.held
		done := make(chan error, 1)
		go func() { done <- r.engine.Shutdown(context.Background()) }()
		if _, err := in.ReadByte(); err != io.EOF {
			t.Fatalf("the idle one is not closed: %v", err)
		}
		select {
		case err := <-done:
			t.Fatalf("ended before the answer: %v", err)
		default:
		}
		h.Respond(&longpoll.Response{Status: 200, ContentType: "text/plain", Body: []byte("last"), Close: true})
		res, body := got(t, bufio.NewReader(busy))
		if !res.Close || body != "last" {
			t.Fatalf("%v %q", res.Close, body)
		}
		_ = busy.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestMany has clients that come, go, cut and answer at the same time.
func TestMany(t *testing.T) {
	r := newRig(t, nil)
	stop := make(chan struct{})
	var answering sync.WaitGroup
	for range 4 {
		answering.Go(func() {
			for {
				select {
				case h := <-r.door.held:
					h.Respond(reply("answer"))
				case <-stop:
					return
				}
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for range 10 {
				c := r.dial(i%4 == 0)
				in := bufio.NewReader(c)
				for range random.IntN(10) {
					write(t, c, request("hold"))
					if _, body := got(t, in); body != "answer" {
						t.Error(body)
					}
				}
				if random.IntN(2) == 0 {
					write(t, c, request("hold")[:random.IntN(40)+20])
				}
				_ = c.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all closed", func() bool { return r.closed.Load() == 400 })
	close(stop)
	answering.Wait()
}
