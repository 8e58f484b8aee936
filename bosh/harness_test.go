package bosh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

const (
	ns       = "xmlns='http://jabber.org/protocol/httpbind'"
	nsStream = "xmlns:stream='http://etherx.jabber.org/streams'"
	nothing  = "<body " + ns + "/>"
	again    = "<body " + ns + " type='error'/>"
	closed   = "<body " + ns + " type='terminate'></body>"
	blocking = "<message xmlns='jabber:client' type='wait' id='wait'/>"
	features = "<stream:features " + nsStream + "/>"
)

// fake is a session that notes what it receives and echoes messages.
type fake struct {
	conn    session.Conn
	sid     router.SID
	opening session.Opening
	unknown atomic.Bool // not authenticated yet
	gate    chan struct{}

	mu       sync.Mutex // guards received, restarts
	received []string
	restarts []session.Opening
	ended    chan string
	lost     []session.Frame
}

func (f *fake) SID() router.SID     { return f.sid }
func (f *fake) JID() jid.JID        { return jid.JID{} }
func (f *fake) Authenticated() bool { return !f.unknown.Load() }
func (f *fake) Features() []byte    { return []byte(features) }

func (f *fake) Restart(_ context.Context, o session.Opening) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restarts = append(f.restarts, o)
	return nil
}

func (f *fake) Receive(_ context.Context, n *stanza.Node) error {
	f.mu.Lock()
	f.received = append(f.received, n.Attr("id"))
	f.mu.Unlock()
	switch n.Attr("type") {
	case "echo":
		return f.conn.Write(message(n.Attr("id")))
	case "wait":
		<-f.gate
	case "login":
		f.unknown.Store(false)
	case "fatal":
		_ = f.conn.Write(message("before"))
		return stream.NewError(stream.InvalidFrom, "no")
	case "moved":
		return &stream.Error{Condition: stream.SeeOtherHost, Detail: "https://n2.example.com/http-bind?a&b"}
	case "shutdown":
		return stream.NewError(stream.SystemShutdown, "")
	case "broken":
		return errors.New("disk on fire")
	}
	return nil
}

func (f *fake) AppendState(dst []byte) ([]byte, bool) { return dst, false }
func (f *fake) Freeze()                               {}

func (f *fake) Ended(_ context.Context, reason string, lost []session.Frame) {
	f.lost = lost
	f.ended <- reason
}

func (f *fake) got() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.received, " ")
}

// body addresses the session.
func (f *fake) body(rid int, attrs, payload string) string {
	return fmt.Sprintf("<body rid='%d' sid='%s' %s xmlns:xmpp='urn:xmpp:xbosh' %s>%s</body>", rid, f.sid, ns, attrs, payload)
}

// write sends the client elements, which are no stanzas worth saving.
func (f *fake) write(t *testing.T, elements ...string) {
	t.Helper()
	for _, el := range elements {
		if err := f.conn.Write(session.Frame{Bytes: []byte(el)}); err != nil {
			t.Fatal(err)
		}
	}
}

// message is one to the client that is worth saving.
func message(id string) session.Frame {
	st := &stanza.Stanza{Kind: stanza.KindMessage, ID: id}
	return session.Frame{Bytes: []byte("<message id='" + id + "'/>"), Stanza: st}
}

func echo(id string) string { return "<message xmlns='jabber:client' type='echo' id='" + id + "'/>" }
func note(id string) string { return "<message xmlns='jabber:client' id='" + id + "'/>" }

// bench is a door with fake sessions behind it.
type bench struct {
	t       *testing.T
	h       *bosh.Handler
	srv     *httptest.Server // nil in a bubble of synctest
	sess    chan *fake
	refuse  atomic.Value // the error of every opening
	unknown atomic.Bool  // sessions do not sign in by themselves
	plain   atomic.Bool
	log     logs
}

// logs keeps what is logged.
type logs struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve is the HTTP engine under the door.
var serve = func(_ *testing.T, h *bosh.Handler) *httptest.Server { return httptest.NewServer(h) }

// newBench returns a door behind a real HTTP server.
func newBench(t *testing.T, cfg bosh.Config) *bench {
	b := newDoor(t, cfg)
	b.srv = serve(t, b.h)
	t.Cleanup(b.srv.Close)
	t.Cleanup(b.stop)
	return b
}

// newDoor returns a door without a server.
func newDoor(t *testing.T, cfg bosh.Config) *bench {
	b := &bench{t: t, sess: make(chan *fake, 10)}
	cfg.Open = func(_ context.Context, c session.Conn, o session.Opening) (bosh.Session, error) {
		if err, ok := b.refuse.Load().(error); ok {
			return nil, err
		}
		if o.To != "example.com" {
			return nil, stream.NewError(stream.HostUnknown, "")
		}
		f := &fake{conn: c, sid: router.NewSID(), opening: o, gate: make(chan struct{}), ended: make(chan string, 1)}
		f.unknown.Store(b.unknown.Load())
		b.sess <- f
		return f, nil
	}
	cfg.Peer = func(*http.Request) (netip.AddrPort, bool) { return netip.AddrPort{}, !b.plain.Load() }
	cfg.Origin = func(r *http.Request) (string, bool) {
		o := r.Header.Get("Origin")
		return o, o == "https://desk.example.com"
	}
	cfg.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	b.h = bosh.New(cfg)
	return b
}

func (b *bench) stop() {
	if err := b.h.Shutdown(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// post sends a body and returns the status and the response.
func (b *bench) post(ctx context.Context, body string) (int, string) {
	if b.srv == nil {
		out, _ := b.h.Serve(ctx, &bosh.Request{Body: []byte(body), Secure: !b.plain.Load()})
		return out.Status, string(out.Body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.srv.URL, strings.NewReader(body))
	if err != nil {
		b.t.Error(err)
		return 0, ""
	}
	resp, err := b.srv.Client().Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	return resp.StatusCode, string(data)
}

func (b *bench) create(attrs string) *fake {
	b.t.Helper()
	if !strings.Contains(attrs, "wait=") {
		attrs += " wait='30' hold='1'"
	}
	_, body := b.post(b.t.Context(), `<body rid='100' to='example.com' ver='1.11' xmlns='http://jabber.org/protocol/httpbind' `+attrs+`/>`)
	if !strings.Contains(body, features) {
		b.t.Fatalf("creation: %s", body)
	}
	return <-b.sess
}

// later posts in the background.
func (b *bench) later(ctx context.Context, body string) <-chan string {
	ch := make(chan string, 1)
	go func() {
		_, s := b.post(ctx, body)
		ch <- s
	}()
	return ch
}

// hold posts in the background and returns once n requests are held.
func (b *bench) hold(n int64, body string) <-chan string {
	b.t.Helper()
	ch := b.later(b.t.Context(), body)
	waitFor(b.t, func() bool { return b.h.Stats().Held == n })
	return ch
}

func wantIn(t *testing.T, what, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Fatalf("%s: %q is not in %s", what, p, body)
		}
	}
}

func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Fatalf("%s: got %s\nwant %s", what, got, wanted)
	}
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(5 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("waited too long")
		}
	}
}
