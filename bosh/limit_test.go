package bosh_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
)

// A client that takes nothing fills its own queue and nobody else's.
func TestQueueLimits(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  bosh.Config
		fits int
	}{
		{"frames", bosh.Config{Queue: 3}, 3},
		{"bytes", bosh.Config{QueueBytes: 100}, 2},
		{"memory of all", bosh.Config{Memory: 600}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.cfg)
			f := b.create("")
			frame := session.Frame{Bytes: []byte(strings.Repeat("x", 40))}
			if tc.name == "memory of all" {
				kept := int(b.h.Stats().KeptBytes)
				frame.Bytes = []byte(strings.Repeat("x", (600-kept)/tc.fits))
			}
			for i := range tc.fits {
				if err := f.conn.Write(frame); err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
			}
			if err := f.conn.Write(frame); !errors.Is(err, session.ErrBacklog) {
				t.Fatalf("one too many: %v", err)
			}
		})
	}
}

// What is kept of a session counts, and all of it is given back.
func TestMemoryIsGivenBack(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	long := "<x>" + strings.Repeat("y", 4000) + "</x>"
	parked := f.body(103, "", note("c")+long)
	f.write(t, long)
	b.mustPost(f.body(101, "", ""))
	ch := b.hold(1, parked)
	if s := b.h.Stats(); s.KeptBytes < int64(len(long)+len(parked)) || s.QueuedBytes != 0 {
		t.Fatalf("kept: %+v", s)
	}
	b.mustPost(f.body(102, "", note("b")))
	f.write(t, "<y/>")
	wantIn(t, "response", <-ch, "<y/>")
	if s := b.h.Stats(); s.KeptBytes > 1000 {
		t.Fatalf("kept after the window has moved on: %+v", s)
	}
	b.hold(1, f.body(105, "", note("e")+long))
	b.mustPost(f.body(104, "type='terminate'", ""))
	<-f.ended
	if s := b.h.Stats(); s.KeptBytes != 0 || s.QueuedBytes != 0 || s.Queued != 0 {
		t.Fatalf("left behind: %+v", s)
	}
}

// Without memory a client that sends more is put off, and gets what there is
// for it; a new one is told why it cannot come.
func TestMemoryIsFull(t *testing.T) {
	b := newBench(t, bosh.Config{Memory: 10000})
	f := b.create("")
	if !b.h.Reserve(9000) || b.h.Reserve(9000) {
		t.Fatal("the memory is not bounded")
	}
	more := f.body(101, "", note("a")+"<x>"+strings.Repeat("y", 4000)+"</x>")
	status, body := b.post(t.Context(), more)
	if status != 503 || body != again {
		t.Fatalf("%d %s", status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.srv.URL, strings.NewReader(more))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // its head was read
	want(t, "when to come again", resp.Header.Get("Retry-After"), "1")
	b.h.Release(9000)
	want(t, "the same again", b.mustPost(f.body(101, "pause='10'", note("a"))), nothing)
	if !b.h.Reserve(9000) || f.conn.Write(session.Frame{Bytes: make([]byte, 900)}) == nil {
		t.Fatal("the memory is not bounded")
	}
	b.h.Release(9000)
	small := newBench(t, bosh.Config{Memory: 1})
	small.h.Reserve(1)
	small.create("")
	_, body = small.post(t.Context(), "<body rid='1' to='example.com' ver='1.11' "+ns+"/>")
	wantIn(t, "one client more", body, "condition='remote-stream-error'", "<resource-constraint", "no memory")
}

// Strangers get little room.
func TestUnauthenticatedBody(t *testing.T) {
	b := newBench(t, bosh.Config{})
	b.unknown.Store(true)
	long := "<x>" + strings.Repeat("y", 20000) + "</x>"
	_, body := b.post(t.Context(), "<body rid='1' to='example.com' ver='1.11' "+ns+">"+long+"</body>")
	wantIn(t, "creation", body, "condition='policy-violation'")
	f := b.create("")
	wantIn(t, "request", b.mustPost(f.body(101, "", long)), "condition='policy-violation'")
	want(t, "log", <-f.ended, "policy-violation: body too large before authentication")
	f = b.create("")
	b.mustPost(f.body(101, "", echo("a")+"<auth type='login'/>"))
	wantIn(t, "once authenticated", b.mustPost(f.body(102, "", echo("b")+long)), "<message id='b'/>")
}

// A body that does not come in time is not waited for.
func TestSlowBody(t *testing.T) {
	b := newDoor(t, bosh.Config{})
	b.srv = httptest.NewUnstartedServer(b.h)
	b.srv.Config.ReadTimeout = 100 * time.Millisecond
	b.srv.Start()
	t.Cleanup(b.srv.Close)
	t.Cleanup(b.stop)
	for _, tc := range []struct{ name, headers, begin string }{
		{"half a body", "Content-Length: 100\r\n", "<body "},
		{"half a long body", "Content-Length: 100000\r\n", strings.Repeat(" ", 50000)},
		{"half a chunk", "Transfer-Encoding: chunked\r\n", "64\r\n<body "},
		{"half of what is packed", "Content-Length: 100\r\nContent-Encoding: gzip\r\n", "\x1f\x8b"},
		{"nothing of a body", "Content-Length: 100\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := io.WriteString(nc, "POST / HTTP/1.1\r\nHost: x\r\n"+tc.headers+"\r\n"+tc.begin); err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(nc)
			if err != nil {
				t.Fatal(err)
			}
			wantIn(t, "response", string(data), "HTTP/1.1 408 ", "Connection: close")
		})
	}
}
