package sip_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
	"github.com/deskline/deskline/xmpp/jid"
)

// patience is how long anything may take on a machine with much else to do.
const patience = 60 * time.Second

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// owners give each line the user of its number.
type owners struct{}

func (owners) Users(line string) []jid.JID {
	n := sip.Number(line)
	if n == "nobody" {
		return nil
	}
	return []jid.JID{jid.MustParse("u" + strings.TrimPrefix(n, "+") + "@example.com")}
}

// world is a source that runs, and what it has told.
type world struct {
	t      testing.TB
	source *sip.Source

	mu      sync.Mutex
	latest  map[string]presence.Evidence // by user and line
	history map[string][]presence.Line
	count   int
	change  chan struct{}
}

func start(t testing.TB, cfg sip.Config) *world {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen, cfg.UDP, cfg.TCP = "127.0.0.1:0", true, true
	}
	if cfg.Lines == nil {
		cfg.Lines = owners{}
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := sip.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, source: s, latest: map[string]presence.Evidence{}, history: map[string][]presence.Line{}, change: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	out, done := make(chan presence.Evidence), make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	sunk := make(chan struct{})
	go func() {
		defer close(sunk)
		for {
			select {
			case e := <-out:
				w.take(e)
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-sunk
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the source does not end")
		}
	})
	return w
}

func (w *world) take(e presence.Evidence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := e.User.String() + " " + e.Item
	if old := w.latest[key]; old.Seq > e.Seq {
		w.t.Errorf("seq %d after %d", e.Seq, old.Seq)
	}
	w.latest[key] = e
	w.history[key] = append(w.history[key], e.Line)
	w.count++
	close(w.change)
	w.change = make(chan struct{})
}

func (w *world) state(line string) presence.Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest["u"+sip.Number(line)+"@example.com "+line]
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		change := w.change
		w.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-change:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (w *world) await(line string, want presence.Line) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s is %d", line, want), func() bool { return w.state(line).Line == want })
}

func (w *world) addr() string {
	_, tcp, _ := w.source.Addrs()
	return tcp.String()
}

// phone speaks SIP as text.
type phone struct {
	t       testing.TB
	conn    net.Conn
	r       *bufio.Reader
	network string
	seq     int
}

func dial(t testing.TB, network, addr string) *phone {
	t.Helper()
	var c net.Conn
	var err error
	if network == "tls" {
		c, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test's certificate
	} else {
		c, err = net.Dial(network, addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &phone{t: t, conn: c, r: bufio.NewReaderSize(c, 64<<10), network: network}
}

type response struct {
	code    int
	headers map[string][]string
}

func (r response) get(name string) string {
	return strings.Join(r.headers[strings.ToLower(name)], ", ")
}

// say sends a request and returns the response. Headers end with \r\n each.
func (p *phone) say(method, uri, headers, body string) response {
	p.t.Helper()
	p.send(method, uri, headers, body)
	return p.read()
}

func (p *phone) send(method, uri, headers, body string) {
	p.t.Helper()
	p.seq++
	id := p.conn.LocalAddr().String() + "-" + strconv.Itoa(p.seq)
	text := method + " " + uri + " SIP/2.0\r\nVia: SIP/2.0/" + strings.ToUpper(p.network) + " " + p.conn.LocalAddr().String() + ";branch=z9hG4bK" + id +
		";rport\r\nMax-Forwards: 70\r\nFrom: <sip:pbx@127.0.0.1>;tag=a\r\nTo: <" + uri + ">\r\nCall-ID: " + id + "\r\nCSeq: " + strconv.Itoa(p.seq) + " " + method +
		"\r\n" + headers + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	if _, err := p.conn.Write([]byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) read() response {
	p.t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	res := response{headers: map[string][]string{}}
	if _, err := fmt.Sscanf(line, "SIP/2.0 %d", &res.code); err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatal(err)
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			break
		}
		name = strings.ToLower(name)
		res.headers[name] = append(res.headers[name], strings.TrimSpace(value))
	}
	n, _ := strconv.Atoi(res.get("Content-Length"))
	_, _ = io.CopyN(io.Discard, p.r, int64(n))
	return res
}
