package websocket_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	ws "github.com/coder/websocket"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/websocket"
	"github.com/deskline/deskline/xmpp/stream"
)

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

// TestSeeOther shows that a session that is sent elsewhere is told where to.
func TestSeeOther(t *testing.T) {
	b := newBench(t, nil)
	cl := b.dial()
	cl.open()
	f := <-b.sessions
	if err := f.conn.Close(&stream.Error{Condition: stream.SeeOtherHost, Detail: "wss://n2.example.com/xmpp-websocket"}); err != nil {
		t.Fatal(err)
	}
	cl.want("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='wss://n2.example.com/xmpp-websocket'/>")
	f.wantEnd(t, "see-other-host")
}
