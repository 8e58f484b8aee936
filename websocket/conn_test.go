package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/websocket"
	"github.com/deskline/deskline/xmpp/stream"
)

func frame(i int, size int) session.Frame {
	return session.Frame{Bytes: fmt.Appendf(nil, "<m n='%d'>%s</m>", i, bytes.Repeat([]byte("x"), size))}
}

func TestOrder(t *testing.T) {
	b := newBench(t, func(c *websocket.Config) { c.Queue = 5000 })
	c := b.dial()
	c.open()
	f := <-b.sessions
	go func() {
		for i := range 500 {
			if err := f.conn.Write(frame(2*i, 10), frame(2*i+1, 10)); err != nil {
				t.Error(err)
				return
			}
			if i%50 == 0 {
				c.send("<message xmlns='jabber:client'/>") // an echo stands in between
			}
		}
	}()
	for i := 0; i < 1000; {
		if got := c.want(""); strings.HasPrefix(got, "<m n=") {
			if !strings.HasPrefix(got, fmt.Sprintf("<m n='%d'>", i)) {
				t.Fatalf("got %s, want %d", got, i)
			}
			i++
		}
	}
}

// budget counts what is reserved.
type budget struct{ used, limit atomic.Int64 }

func (b *budget) Reserve(n int) bool {
	if b.used.Add(int64(n)) > b.limit.Load() {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

func (b *budget) Release(n int) { b.used.Add(int64(-n)) }

// TestBacklog has a client that takes nothing: the queue fills, its session
// is ended, and what was not written comes back in order.
func TestBacklog(t *testing.T) {
	cases := []struct {
		name   string
		change func(*websocket.Config, *budget)
	}{
		{"frames", func(c *websocket.Config, _ *budget) { c.Queue = 40 }},
		{"bytes", func(c *websocket.Config, _ *budget) { c.QueueBytes = 40 << 20 }},
		{"bytes of all", func(_ *websocket.Config, b *budget) { b.limit.Store(40 << 20) }},
	}
	// A frame is known by its size.
	payload := bytes.Repeat([]byte("x"), 1<<20)
	nth := func(i int) session.Frame { return session.Frame{Bytes: payload[i:]} }
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			total := &budget{}
			total.limit.Store(1 << 40)
			b := newBench(t, func(c *websocket.Config) {
				c.WriteTimeout, c.Queue, c.QueueBytes, c.Budget = 2*time.Second, 1<<20, 1<<40, total
				tc.change(c, total)
			})
			c := b.dial()
			c.open()
			f := <-b.sessions
			n := 0
			var err error
			for ; n < 10_000 && err == nil; n++ {
				err = f.conn.Write(nth(n))
			}
			if !errors.Is(err, session.ErrBacklog) {
				t.Fatalf("after %d frames: %v", n, err)
			}
			if err := f.conn.Close(stream.NewError(stream.ResourceConstraint, "")); err != nil {
				t.Fatal(err)
			}
			rest := f.wantEnd(t, "resource-constraint")
			if len(rest) == 0 {
				t.Error("no frame came back")
			}
			for i := range rest {
				if want := n - 1 - len(rest) + i; len(rest[i].Bytes) != len(nth(want).Bytes) {
					t.Errorf("frame %d came back in place of %d", len(payload)-len(rest[i].Bytes), want)
				}
			}
			if used := total.used.Load(); used != 0 {
				t.Errorf("%d bytes stay reserved", used)
			}
		})
	}
}

func TestLostConnection(t *testing.T) {
	cases := []struct {
		name   string
		leave  func(c *client)
		reason string
	}{
		{"cut", func(c *client) { _ = c.net.Close() }, "lost"},
		{"page left", func(c *client) { _ = c.ws.Close(ws.StatusGoingAway, "") }, "left"},
		{"half a message", func(c *client) {
			w, err := c.ws.Writer(c.ctx, ws.MessageText)
			if err == nil {
				_, err = w.Write([]byte("<message xmlns='jab"))
			}
			if err != nil {
				c.t.Error(err)
			}
			_ = c.net.Close()
		}, "lost"},
		{"stream error of the client", func(c *client) {
			c.send("<stream:error xmlns:stream='http://etherx.jabber.org/streams'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
			c.wantEnd(ws.StatusNormalClosure)
		}, "closed"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, nil)
			c := b.dial()
			c.open()
			tc.leave(c)
			(<-b.sessions).wantEnd(t, tc.reason)
			eventually(t, "connection gone", func() bool { return b.door.Len() == 0 })
		})
	}
}

func TestUnauthenticated(t *testing.T) {
	limit := func(c *websocket.Config) { c.Unauthenticated = 200 * time.Millisecond }
	for _, open := range []bool{false, true} {
		b := newBench(t, limit)
		c := b.dial()
		if open {
			c.open()
		} else {
			c.want("<open ")
		}
		c.want("<connection-timeout ")
		c.wantEnd(ws.StatusNormalClosure)
		if open {
			(<-b.sessions).wantEnd(t, "connection-timeout")
		}
	}
	// One that is bound in time stays.
	b := newBench(t, limit)
	c := b.dial()
	c.open()
	c.send("<iq xmlns='jabber:client' type='set' id='1'/>")
	ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
	defer cancel()
	if _, data, err := c.ws.Read(ctx); err == nil {
		t.Errorf("got %s", data)
	}
	f := <-b.sessions
	select {
	case e := <-f.ended:
		if e.reason == "connection-timeout" {
			t.Error("ended though it was bound")
		}
	default:
	}
}

// A connection keeps the limits it began with.
func TestSetLimits(t *testing.T) {
	b := newBench(t, nil)
	old := b.dial()
	old.open()
	limits := b.door.Limits()
	limits.Stanza.StanzaBytes = 300
	b.door.SetLimits(limits)
	long := "<message xmlns='jabber:client'><body>" + strings.Repeat("x", 300) + "</body></message>"
	old.send(long)
	old.want("<message ")
	c := b.dial()
	c.open()
	c.send(long)
	c.want("<policy-violation ")
}

// TestDeadPeer has one client that answers pings and one that has frozen.
func TestDeadPeer(t *testing.T) {
	b := newBench(t, func(c *websocket.Config) { c.Ping, c.PingWait = 100*time.Millisecond, 300*time.Millisecond })
	alive := b.dial()
	alive.open()
	living := <-b.sessions
	messages := make(chan string, 1)
	go func() {
		_, data, _ := alive.ws.Read(alive.ctx) // answers pings on the way
		messages <- string(data)
	}()
	frozen := b.dial()
	frozen.open()
	(<-b.sessions).wantEnd(t, "connection-timeout")
	select {
	case <-living.ended:
		t.Error("the living one was ended")
	default:
	}
	if err := living.conn.Write(session.Frame{Bytes: []byte("<still-here/>")}); err != nil {
		t.Error(err)
	}
	if got := <-messages; got != "<still-here/>" {
		t.Errorf("got %q", got)
	}
}

// TestNoMoreAfterClose shows that what a client says after the server ended
// the stream does not reach the session.
func TestNoMoreAfterClose(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.open()
	f := <-b.sessions
	if err := f.conn.Close(stream.NewError(stream.Conflict, "")); err != nil {
		t.Fatal(err)
	}
	c.want("<conflict ")
	c.want("<close ")
	_ = c.ws.Write(c.ctx, ws.MessageText, []byte("<message xmlns='jabber:client'/>")) // may be closed already
	f.wantEnd(t, "conflict")
	_ = c.ws.Close(ws.StatusNormalClosure, "")
	eventually(t, "connection gone", func() bool { return b.door.Len() == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.received) != 0 {
		t.Errorf("received %v", f.received)
	}
}

// TestShutdownCutsTheSilent has a client that does not take part in closing.
func TestShutdownCutsTheSilent(t *testing.T) {
	b := newBench(t, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r, _ := http.NewRequest(http.MethodGet, b.url, nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "xmpp",
	} {
		r.Header.Set(name, value)
	}
	if err := r.Write(c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one connection", func() bool { return b.door.Len() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.door.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || b.door.Len() != 0 {
		t.Errorf("%v, %d left", err, b.door.Len())
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

// BenchmarkEcho is one message in and one out, the client's part included.
func BenchmarkEcho(b *testing.B) {
	bn := newBench(b, nil)
	c := bn.dial()
	c.open()
	c.send("<iq xmlns='jabber:client' type='set' id='1'/>")
	c.ctx = context.Background()
	text := "<message xmlns='jabber:client' to='bob@example.com' type='chat' id='1'><body>Hello</body></message>"
	b.ReportAllocs()
	for b.Loop() {
		c.send(text)
		c.want(text)
	}
}
