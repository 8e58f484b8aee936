package bosh_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// fake is a session that notes what it receives and echoes messages.
type fake struct {
	conn session.Conn
	sid  router.SID

	mu       sync.Mutex
	received []string
	ended    chan string
	lost     []session.Frame
}

func (f *fake) SID() router.SID                                { return f.sid }
func (f *fake) JID() jid.JID                                   { return jid.JID{} }
func (f *fake) Authenticated() bool                            { return true }
func (f *fake) Features() []byte                               { return []byte("<features/>") }
func (f *fake) Restart(context.Context, session.Opening) error { return nil }

func (f *fake) Receive(_ context.Context, n *stanza.Node) error {
	f.mu.Lock()
	f.received = append(f.received, n.Attr("id"))
	f.mu.Unlock()
	switch n.Attr("type") {
	case "echo":
		return f.conn.Write(session.Frame{Bytes: []byte("<message id='" + n.Attr("id") + "'/>"), Stanza: &stanza.Stanza{Kind: stanza.KindMessage, ID: n.Attr("id")}})
	case "fatal":
		return stream.NewError(stream.InvalidFrom, "no")
	}
	return nil
}

func (f *fake) Ended(_ context.Context, reason string, lost []session.Frame) {
	f.lost = lost
	f.ended <- reason
}

func (f *fake) got() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.received, " ")
}

type bench struct {
	t    *testing.T
	h    *bosh.Handler
	srv  *httptest.Server
	sess chan *fake
}

// serve is the HTTP engine under the door.
var serve = func(_ *testing.T, h *bosh.Handler) *httptest.Server { return httptest.NewServer(h) }

func newBench(t *testing.T, cfg bosh.Config) *bench {
	b := &bench{t: t, sess: make(chan *fake, 10)}
	cfg.Open = func(_ context.Context, c session.Conn, o session.Opening) (bosh.Session, error) {
		if o.To != "example.com" {
			return nil, stream.NewError(stream.HostUnknown, "")
		}
		f := &fake{conn: c, sid: router.NewSID(), ended: make(chan string, 1)}
		b.sess <- f
		return f, nil
	}
	cfg.Peer = func(*http.Request) (netip.AddrPort, bool) { return netip.AddrPort{}, true }
	cfg.Origin = func(r *http.Request) (string, bool) {
		o := r.Header.Get("Origin")
		return o, o == "https://desk.example.com"
	}
	b.h = bosh.New(cfg)
	b.srv = serve(t, b.h)
	t.Cleanup(func() {
		if err := b.h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		b.srv.Close()
	})
	return b
}

// post sends a body and returns the status and the response.
func (b *bench) post(ctx context.Context, body string) (int, string) {
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
	_, body := b.post(b.t.Context(), `<body rid='100' to='example.com' ver='1.11' wait='30' hold='1' xmlns='http://jabber.org/protocol/httpbind' `+attrs+`/>`)
	if !strings.Contains(body, "<features/>") {
		b.t.Fatalf("creation: %s", body)
	}
	return <-b.sess
}

// body addresses a session.
func (f *fake) body(rid int, attrs, payload string) string {
	return fmt.Sprintf("<body rid='%d' sid='%s' xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' %s>%s</body>", rid, f.sid, attrs, payload)
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

func echo(id string) string { return "<message xmlns='jabber:client' type='echo' id='" + id + "'/>" }
func note(id string) string { return "<message xmlns='jabber:client' id='" + id + "'/>" }

func wantIn(t *testing.T, what, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Fatalf("%s: %q is not in %s", what, p, body)
		}
	}
}

func TestCreationNegotiates(t *testing.T) {
	b := newBench(t, bosh.Config{})
	for _, tc := range []struct {
		name, attrs string
		want        []string
	}{
		{"defaults", "to='example.com' ver='1.6' wait='300' hold='5'", []string{"wait='55'", "hold='1'", "requests='2'", "inactivity='60'", "polling='5'", "maxpause='300'", "ver='1.6'", "from='example.com'", "charsets='UTF-8'", "accept='gzip,deflate'", "xmpp:version='1.0'", "xmpp:restartlogic='true'", "<features/>"}},
		{"less than offered", "to='example.com' ver='1.99' wait='10' hold='0'", []string{"wait='10'", "hold='0'", "ver='1.11'"}},
		{"acknowledgements", "to='example.com' ver='1.6' ack='1'", []string{"ack='7'"}},
		{"unknown host", "to='other.example' ver='1.6'", []string{"type='terminate'", "condition='host-unknown'"}},
		{"no host", "ver='1.6'", []string{"condition='improper-addressing'"}},
		{"bad wait", "to='example.com' ver='1.6' wait='-1'", []string{"condition='bad-request'"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, body := b.post(t.Context(), "<body rid='7' xmlns='http://jabber.org/protocol/httpbind' "+tc.attrs+"/>")
			wantIn(t, tc.name, body, tc.want...)
		})
	}
}

func TestRubbishIsAnswered(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	for _, tc := range []struct{ name, body, want string }{
		{"html", "<!DOCTYPE html><html></html>", "bad-request"},
		{"nothing", "", "bad-request"},
		{"no rid", "<body sid='" + string(f.sid) + "' xmlns='http://jabber.org/protocol/httpbind'/>", "bad-request"},
		{"rid too large", f.body(9007199254740993, "", ""), "bad-request"},
		{"another element", "<message xmlns='jabber:client'/>", "bad-request"},
		{"stale sid", "<body rid='1' sid='AAAA' xmlns='http://jabber.org/protocol/httpbind'/>", "item-not-found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := b.post(t.Context(), tc.body)
			if status != 200 {
				t.Fatalf("status %d", status)
			}
			wantIn(t, tc.name, body, "type='terminate'", "condition='"+tc.want+"'")
		})
	}
	if _, body := b.post(t.Context(), f.body(101, "", echo("a"))); !strings.Contains(body, "id='a'") {
		t.Fatalf("the session did not survive: %s", body)
	}
}

func TestOvertakenRequests(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	second := b.later(t.Context(), f.body(102, "", note("two")))
	first := b.later(t.Context(), f.body(101, "", note("one")))
	wantIn(t, "overtaken", <-first, "<body")
	if got := f.got(); got != "one two" {
		t.Fatalf("received %q", got)
	}
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "held", <-second, "<x/>")
}

func TestRepeats(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	_, one := b.post(t.Context(), f.body(101, "", echo("a")))
	_, again := b.post(t.Context(), f.body(101, "", echo("a")))
	if one != again || f.got() != "a" {
		t.Fatalf("replay %q of %q; received %q", again, one, f.got())
	}
	// While the first copy is held, the repeat takes its place.
	held := b.later(t.Context(), f.body(102, "", note("b")))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	<-time.After(2 * bosh.Doubled) // a client that found its connection broken
	moved := b.later(t.Context(), f.body(102, "", note("b")))
	wantIn(t, "first copy", <-held, "type='error'")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "second copy", <-moved, "<x/>")
	if f.got() != "a b" {
		t.Fatalf("received %q", f.got())
	}
}

// A request that the network has doubled is answered alike, whichever of the
// responses is passed on; of more than two the oldest is let go.
func TestDoubledRequests(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	body := f.body(101, "", note("a"))
	copies := make([]<-chan string, 3)
	for i := range copies {
		copies[i] = b.later(t.Context(), body)
		waitFor(t, func() bool { return b.h.Stats().Held >= min(int64(i)+1, 2) })
	}
	wantIn(t, "oldest copy", <-copies[0], "type='error'")
	if err := f.conn.Write(session.Frame{Bytes: []byte("<x/>")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range copies[1:] {
		wantIn(t, "copy", <-c, "<x/>")
	}
	if f.got() != "a" {
		t.Fatalf("received %q", f.got())
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

func TestReloadWhileHeld(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	ctx, reload := context.WithCancel(t.Context())
	cut := b.later(ctx, f.body(101, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	reload()
	<-cut
	waitFor(t, func() bool { return b.h.Stats().Held == 0 })
	if err := f.conn.Write(session.Frame{Bytes: []byte("<missed/>")}); err != nil {
		t.Fatal(err)
	}
	_, body := b.post(t.Context(), f.body(102, "", ""))
	wantIn(t, "after the reload", body, "<missed/>")
}

func TestPause(t *testing.T) {
	b := newBench(t, bosh.Config{MaxPause: 90 * time.Second})
	f := b.create("")
	held := b.later(t.Context(), f.body(101, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	_, body := b.post(t.Context(), f.body(102, "pause='900'", ""))
	if empty := "<body xmlns='http://jabber.org/protocol/httpbind'/>"; body != empty || <-held != empty {
		t.Fatalf("a pause is answered at once and empty: %s", body)
	}
}

func TestTermination(t *testing.T) {
	for _, tc := range []struct {
		name, attrs, payload, want, reason string
	}{
		{"by the client", "type='terminate'", note("last"), "type='terminate'", "closed by the client"},
		{"by a stream error", "", "<message xmlns='jabber:client' type='fatal'/>", "<invalid-from", "invalid-from: no"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			f := b.create("")
			_, body := b.post(t.Context(), f.body(101, tc.attrs, tc.payload))
			wantIn(t, tc.name, body, "type='terminate'", tc.want)
			if reason := <-f.ended; reason != tc.reason {
				t.Fatalf("reason %q", reason)
			}
			_, late := b.post(t.Context(), f.body(102, "", ""))
			wantIn(t, "late request", late, "type='terminate'")
		})
	}
}

func TestUndeliveredIsHandedBack(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	for _, id := range []string{"a", "b"} {
		st := &stanza.Stanza{Kind: stanza.KindMessage, ID: id}
		if err := f.conn.Write(session.Frame{Bytes: []byte("<m/>"), Stanza: st}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if <-f.ended; len(f.lost) != 2 || f.lost[0].Stanza.ID != "a" {
		t.Fatalf("handed back %v", f.lost)
	}
}

func TestLegacyCodes(t *testing.T) {
	b := newBench(t, bosh.Config{})
	_, body := b.post(t.Context(), "<body rid='1' to='example.com' xmlns='http://jabber.org/protocol/httpbind'/>")
	if strings.Contains(body, " ver='") {
		t.Fatalf("a legacy client is told a version: %s", body)
	}
	f := <-b.sess
	if status, _ := b.post(t.Context(), f.body(50, "", "")); status != http.StatusNotFound {
		t.Fatalf("status %d", status)
	}
}

func TestCORS(t *testing.T) {
	b := newBench(t, bosh.Config{})
	for _, tc := range []struct{ name, method, origin, want string }{
		{"preflight", http.MethodOptions, "https://desk.example.com", "https://desk.example.com"},
		{"request", http.MethodPost, "https://desk.example.com", "https://desk.example.com"},
		{"stranger", http.MethodOptions, "https://evil.example", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), tc.method, b.srv.URL, strings.NewReader("x"))
			req.Header.Set("Origin", tc.origin)
			resp, err := b.srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			got := resp.Header.Values("Access-Control-Allow-Origin")
			if strings.Join(got, "|") != tc.want || len(resp.Header.Values("Vary")) != 1 {
				t.Fatalf("allowed %q, vary %q", got, resp.Header.Values("Vary"))
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	b := newBench(t, bosh.Config{Limits: stanza.Limits{Bytes: 20 << 10}})
	status, _ := b.post(t.Context(), strings.Repeat("x", 30<<10))
	if status != http.StatusRequestEntityTooLarge {
		t.Fatalf("status %d", status)
	}
}
