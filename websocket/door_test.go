package websocket_test

import (
	"context"
	"errors"
	"io"
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

func TestConversation(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	first := c.open()
	f := <-b.sessions
	if f.opening != (session.Opening{To: "example.com", From: "alice@example.com", Lang: "de"}) {
		t.Errorf("opening %+v", f.opening)
	}
	if info := f.conn.Info(); info.Transport != "websocket" || !info.Secure || !info.Remote.Addr().IsLoopback() || info.UserAgent == "" {
		t.Errorf("info %+v", info)
	}
	c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>")
	c.want("<success")
	if second := c.open(); second == first || strings.Contains(second, "secret") {
		t.Errorf("stream id of the restart: %s", second)
	}
	if f.restarts != 1 {
		t.Errorf("%d restarts", f.restarts)
	}
	c.send(" \n")
	c.send("<iq xmlns='jabber:client' type='set' id='1'/>")
	for _, text := range []string{"<message xmlns='jabber:client'><body>1</body></message>", "<?xml version='1.0'?><message xmlns='jabber:client'><body>Grüße</body></message>"} {
		c.send(text)
		_, text, _ = strings.Cut(text, "?>")
		c.want(text)
	}
	c.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
	c.wantEnd(ws.StatusNormalClosure)
	if rest := f.wantEnd(t, "closed"); len(rest) != 0 {
		t.Errorf("undelivered %v", rest)
	}
	if err := f.conn.Write(session.Frame{Bytes: []byte("<late/>")}); !errors.Is(err, session.ErrEnded) {
		t.Errorf("late write: %v", err)
	}
}

func TestStreamErrors(t *testing.T) {
	const framing = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
	cases := []struct {
		name      string
		opened    bool
		send      string
		condition string
	}{
		{"unknown host", false, "<open " + framing + " to='example.org' version='1.0'/>", "host-unknown"},
		{"no version", false, "<open " + framing + " to='example.com'/>", "unsupported-version"},
		{"old version", false, "<open " + framing + " to='example.com' version='0.9'/>", "unsupported-version"},
		{"stream header", false, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0'>", "not-well-formed"},
		{"wrong namespace", false, "<open xmlns='jabber:client' to='example.com' version='1.0'/>", "invalid-namespace"},
		{"stanza first", false, "<message xmlns='jabber:client'/>", "bad-format"},
		{"not well-formed", true, "<message xmlns='jabber:client'>", "not-well-formed"},
		{"two elements", true, "<message xmlns='jabber:client'/><message xmlns='jabber:client'/>", "not-well-formed"},
		{"entity", true, "<!DOCTYPE a [<!ENTITY b 'c'>]><message xmlns='jabber:client'/>", "restricted-xml"},
		{"comment", true, "<message xmlns='jabber:client'><!-- x --></message>", "restricted-xml"},
		{"too deep", true, "<message xmlns='jabber:client'>" + strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40) + "</message>", "policy-violation"},
		{"too large", true, "<message xmlns='jabber:client'><body>" + strings.Repeat("x", 70<<10) + "</body></message>", "policy-violation"},
		{"said by the session", true, "<presence xmlns='jabber:client' type='error'/>", "invalid-from"},
		{"fault of the session", true, "<presence xmlns='jabber:client' type='broken'/>", "internal-server-error"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, nil)
			cl := b.dial()
			if c.opened {
				cl.open()
			}
			cl.send(c.send)
			if !c.opened {
				cl.want("<open ", "from='example.com'")
			}
			cl.want("<stream:error", "<"+c.condition+" xmlns=")
			cl.wantEnd(ws.StatusNormalClosure)
			if c.opened {
				(<-b.sessions).wantEnd(t, c.condition)
			}
		})
	}
}

func TestBinaryMessage(t *testing.T) {
	b := newBench(t, nil)
	c := b.dial()
	c.open()
	if err := c.ws.Write(c.ctx, ws.MessageBinary, []byte("<presence xmlns='jabber:client'/>")); err != nil {
		t.Fatal(err)
	}
	c.want("<stream:error", "<bad-format ")
	c.wantEnd(ws.StatusNormalClosure)
}

func TestRefusals(t *testing.T) {
	b := newBench(t, nil)
	cases := []struct {
		name    string
		headers []string
		status  int
		text    string
	}{
		{"browser's address bar", nil, 426, "XMPP client"},
		{"other origin", []string{"Upgrade: websocket", "Origin: https://evil.example", "Sec-WebSocket-Protocol: xmpp"}, 403, "http.cors_origins"},
		{"no subprotocol", []string{"Upgrade: websocket"}, 400, "subprotocol xmpp"},
		{"other subprotocol", []string{"Upgrade: websocket", "Sec-WebSocket-Protocol: chat, mqtt"}, 400, "subprotocol xmpp"},
		{"no key", []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: xmpp"}, 400, "Sec-WebSocket-Key"},
		{"taken", []string{
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol: chat, xmpp", "Origin: https://desk.example",
		}, 101, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, b.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range c.headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Add(name, value)
			}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			if c.status == 101 {
				if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "xmpp" {
					t.Errorf("subprotocol %q", got)
				}
				return
			}
			if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), c.text) {
				t.Errorf("body %s lacks %q", body, c.text)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	cases := []struct {
		name, other string
		want        []string
	}{
		{"alone", "", []string{"<system-shutdown ", "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"}},
		{"another node", "wss://n2.example.com/xmpp-websocket?a&b", []string{"see-other-uri='wss://n2.example.com/xmpp-websocket?a&amp;b'"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, func(cfg *websocket.Config) { cfg.SeeOther = func() string { return c.other } })
			cl := b.dial()
			cl.open()
			f := <-b.sessions
			if err := f.conn.Write(session.Frame{Bytes: []byte("<last/>")}); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- b.door.Shutdown(cl.ctx) }()
			cl.want("<last/>")
			for _, text := range c.want {
				cl.want(text)
			}
			if _, _, err := cl.ws.Read(cl.ctx); ws.CloseStatus(err) != ws.StatusGoingAway {
				t.Errorf("end %v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if rest := f.wantEnd(t, "system-shutdown"); len(rest) != 0 || b.door.Len() != 0 {
				t.Errorf("undelivered %v, %d left", rest, b.door.Len())
			}
			_, res, err := ws.Dial(cl.ctx, b.url, &ws.DialOptions{Subprotocols: []string{"xmpp"}})
			if err == nil || res == nil || res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("dial afterwards: %v", err)
			}
		})
	}
}
