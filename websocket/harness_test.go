package websocket_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/websocket"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// fake is a session that answers <auth/> with success, binds on an IQ, echoes
// messages, and fails on <presence type='error'/>.
type fake struct {
	conn    session.Conn
	opening session.Opening
	full    jid.JID

	mu       sync.Mutex // guards below
	restarts int
	received []string
	ended    chan end
}

type end struct {
	reason      string
	undelivered []session.Frame
}

func (f *fake) SID() router.SID { return "secret" }
func (f *fake) JID() jid.JID    { return f.full }
func (f *fake) Domain() jid.JID { return jid.MustParse("example.com") }
func (f *fake) Features() []byte {
	return []byte("<stream:features xmlns:stream='" + stream.NS + "'/>")
}

func (f *fake) Restart(context.Context, session.Opening) error {
	f.restarts++
	return nil
}

func (f *fake) Receive(_ context.Context, n *stanza.Node) error {
	f.mu.Lock()
	f.received = append(f.received, n.Raw())
	f.mu.Unlock()
	switch n.Name.Local {
	case "auth":
		return f.conn.Write(session.Frame{Bytes: []byte("<success xmlns='" + stream.NSSASL + "'/>")})
	case "iq":
		f.full = jid.MustParse("alice@example.com/desk")
	case "message":
		return f.conn.Write(session.Frame{Bytes: []byte(n.Raw())})
	case "presence":
		switch n.Attr("type") {
		case "error":
			return stream.NewError(stream.InvalidFrom, "not you")
		case "broken":
			return errors.New("disk on fire")
		}
	}
	return nil
}

func (f *fake) Ended(_ context.Context, reason string, undelivered []session.Frame) {
	f.ended <- end{reason, undelivered}
}

// bench is a door on a real port with fake sessions behind it.
type bench struct {
	t        testing.TB
	door     *websocket.Door
	url      string
	sessions chan *fake
}

func newBench(t testing.TB, change func(*websocket.Config)) *bench {
	t.Helper()
	b := &bench{t: t, sessions: make(chan *fake, 100)}
	cfg := websocket.Config{
		Open: func(_ context.Context, conn session.Conn, o session.Opening) (websocket.Session, error) {
			if o.To != "example.com" {
				return nil, stream.NewError(stream.HostUnknown, "")
			}
			f := &fake{conn: conn, opening: o, ended: make(chan end, 1)}
			b.sessions <- f
			return f, nil
		},
		Peer: func(r *http.Request) (netip.AddrPort, bool) { return netip.MustParseAddrPort(r.RemoteAddr), true },
		AllowOrigin: func(r *http.Request) (string, bool) {
			o := r.Header.Get("Origin")
			return o, o == "" || o == "https://desk.example"
		},
		Domain: "example.com", Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	b.door = websocket.New(cfg)
	srv := httptest.NewServer(b.door)
	b.url = srv.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = b.door.Shutdown(ctx) // tests leave clients behind that do not answer
		srv.Close()
	})
	return b
}

// client is one side of a conversation.
type client struct {
	t   testing.TB
	ws  *ws.Conn
	ctx context.Context
	net net.Conn
}

func (b *bench) dial() *client {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	b.t.Cleanup(cancel)
	c := &client{t: b.t, ctx: ctx}
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		c.net, err = new(net.Dialer).DialContext(ctx, network, addr)
		return c.net, err
	}}
	conn, _, err := ws.Dial(ctx, b.url, &ws.DialOptions{Subprotocols: []string{"xmpp"}, HTTPClient: &http.Client{Transport: tr}})
	if err != nil {
		b.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	b.t.Cleanup(func() { _ = c.net.Close(); _ = conn.CloseNow() })
	c.ws = conn
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, ws.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("send %.60s: %v", text, err)
	}
}

// want reads one message that has all parts.
func (c *client) want(parts ...string) string {
	c.t.Helper()
	kind, data, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("want %q: %v", parts, err)
	}
	for _, part := range parts {
		if kind != ws.MessageText || !strings.Contains(string(data), part) {
			c.t.Fatalf("got %v %s, want %q", kind, data, part)
		}
	}
	return string(data)
}

// wantEnd reads <close/> and the end of the connection.
func (c *client) wantEnd(status ws.StatusCode) {
	c.t.Helper()
	c.want("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'")
	if _, data, err := c.ws.Read(c.ctx); ws.CloseStatus(err) != status {
		c.t.Fatalf("got %s %v, want status %d", data, err, status)
	}
}

const opening = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0' xml:lang='de' from='alice@example.com'/>"

func (c *client) open() string {
	c.t.Helper()
	c.send(opening)
	out := c.want("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'", "version='1.0'", "from='example.com'")
	c.want("<stream:features")
	return out
}

func (f *fake) wantEnd(t testing.TB, reason string) []session.Frame {
	t.Helper()
	select {
	case e := <-f.ended:
		if e.reason != reason {
			t.Errorf("ended by %q, want %q", e.reason, reason)
		}
		return e.undelivered
	case <-time.After(20 * time.Second):
		t.Fatal("session has not ended")
		return nil
	}
}
