//go:build linux

package bosh_test

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/internal/longpoll"
	"github.com/deskline/deskline/session"
)

// polling puts the door behind the engine for long polling, as package web does.
type polling struct{ *bosh.Handler }

func (p polling) MaxBody([]byte) int { return p.Handler.MaxBody() }

func (p polling) Serve(r *longpoll.Request) (longpoll.Held, bool) {
	r.VaryOrigin = r.Get("origin") != ""
	_, r.Secure = p.Config().Peer(nil)
	if origin := r.Get("origin"); origin == "https://desk.example.com" {
		r.AllowOrigin = origin
	}
	return p.Poll(r)
}

// poll serves the door by the engine, and what that hands over by net/http.
func poll(t *testing.T, h *bosh.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	l := srv.Listener
	queue := longpoll.NewQueue(l.Addr())
	srv.Listener = queue
	engine, err := longpoll.New(longpoll.Config{
		Handler: polling{h}, Log: slog.New(slog.DiscardHandler),
		HandOver: func(c longpoll.Connection) {
			if head := string(c.Head); strings.HasPrefix(head, "POST") && !unusual.MatchString(head) {
				t.Errorf("the engine does not take %q", head)
			}
			queue.Push(&handed{c.Conn, io.MultiReader(strings.NewReader(string(c.Head)), c.Conn)})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := engine.Add(c); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = engine.Shutdown(ctx) // what the client keeps open is closed
	})
	srv.Start()
	return srv
}

// unusual is what the engine leaves to net/http.
var unusual = regexp.MustCompile(`Transfer-Encoding|Content-Encoding|HTTP/1.0|Content-Length: [3-9]....`)

type handed struct {
	net.Conn
	io.Reader
}

func (h *handed) Read(p []byte) (int, error) { return h.Reader.Read(p) }

// TestPolled runs all conversations over the engine for long polling.
func TestPolled(t *testing.T) {
	std := serve
	serve = poll
	defer func() { serve = std }()
	for name, f := range map[string]func(*testing.T){
		"Creation": TestCreation, "CreationRID": TestCreationRID, "CreationOpens": TestCreationOpens,
		"CreationWithPayload": TestCreationWithPayload, "CreationWithoutTLS": TestCreationWithoutTLS,
		"Refusal": TestRefusal, "LegacyCodes": TestLegacyCodes, "Restart": TestRestart, "Rubbish": TestRubbish,
		"OvertakenRequests": TestOvertakenRequests, "Order": TestOrder, "WindowOverHTTP": TestWindowOverHTTP,
		"TooManyRequests": TestTooManyRequests, "Repeats": TestRepeats, "CopiesOfARequest": TestCopiesOfARequest,
		"BrokenConnections": TestBrokenConnections, "ReloadWhileHeld": TestReloadWhileHeld, "SeveralStanzas": TestSeveralStanzas,
		"PauseResponses": TestPauseResponsesDoNotCount, "Acknowledgements": TestAcknowledgements, "Report": TestReport,
		"Keys": TestKeys, "Endings": TestEndings, "Close": TestClose, "Shutdown": TestShutdown,
		"UndeliveredIsHandedBack": TestUndeliveredIsHandedBack, "LostRequest": TestLostRequest, "Wait": TestWait,
		"RequestEncoding": TestRequestEncoding, "ResponseEncoding": TestResponseEncoding, "Compression": TestCompression,
		"ContentType": TestContentType, "Content": TestContent, "Methods": TestMethods, "CORS": TestCORS,
		"OldHTTP": TestOldHTTP, "SecureSession": TestSecureSession, "MemoryIsGivenBack": TestMemoryIsGivenBack,
		"MemoryIsFull": TestMemoryIsFull, "UnauthenticatedBody": TestUnauthenticatedBody,
	} {
		t.Run(name, f)
	}
}

// TestWait shows that a request is held as long as was agreed, and not longer.
func TestWait(t *testing.T) {
	b := newBench(t, bosh.Config{Wait: time.Second})
	f := b.create("")
	began := time.Now()
	if _, body := b.post(t.Context(), f.body(101, "", "")); body != "<body xmlns='http://jabber.org/protocol/httpbind'/>" {
		t.Fatal(body)
	}
	if took := time.Since(began); took < time.Second || took > 3*time.Second {
		t.Fatalf("held for %s", took)
	}
	if held := b.h.Stats().Held; held != 0 {
		t.Fatalf("%d held", held)
	}
}

// TestCompression shows that a large response is compressed for a client that
// takes it.
func TestCompression(t *testing.T) {
	b := newBench(t, bosh.Config{Compress: 1000})
	f := b.create("")
	large := strings.Repeat("<x/>", 1000)
	held := make(chan *http.Response, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, b.srv.URL, strings.NewReader(f.body(101, "", "")))
		req.Header.Set("Accept-Encoding", "br, gzip")
		req.Header.Set("Origin", "https://desk.example.com")
		resp, err := b.srv.Client().Do(req)
		if err != nil {
			t.Error(err)
		}
		held <- resp
	}()
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	if err := f.conn.Write(session.Frame{Bytes: []byte(large)}); err != nil {
		t.Fatal(err)
	}
	resp := <-held
	defer resp.Body.Close()
	if vary := strings.Join(resp.Header.Values("Vary"), ", "); vary != "Origin, Accept-Encoding" || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v", resp.Header)
	}
	z, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); err != nil || !strings.Contains(string(body), large) {
		t.Fatalf("%v %.100s", err, body)
	}
}

// TestContent shows that a client gets the content type it has asked for.
func TestContent(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("content='text/html; charset=utf-8'")
	for _, tc := range []struct{ name, body, want string }{
		{"in the session", f.body(101, "", echo("a")), "text/html; charset=utf-8"},
		{"outside of one", "rubbish", "text/xml; charset=utf-8"},
	} {
		resp, err := b.srv.Client().Post(b.srv.URL, "text/xml", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); got != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}
