package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/xmpp/jid"
)

// server is a whole node on a port of its own, with the accounts alice and bob.
type server struct {
	t    testing.TB
	addr string // of http.listen
	ops  string // of admin.listen
	cfg  configs.Config
	log  *buffer
}

// buffer may be read while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const password = "correct horse"

func start(t *testing.T, change func(*configs.Config)) *server {
	t.Helper()
	return startBy(t, change, app.Run)
}

func startBy(t *testing.T, change func(*configs.Config), run func(context.Context, app.Options) error) *server {
	t.Helper()
	cfg := configs.Default()
	cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	if change != nil {
		change(&cfg)
	}
	s := &server{t: t, cfg: cfg, log: new(buffer)}
	s.accounts()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan [2]string, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, app.Options{
			Config: cfg, Log: slog.New(slog.NewTextHandler(s.log, nil)),
			Ready: func(public, private net.Addr) { ready <- [2]string{public.String(), private.String()} },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
	select {
	case addrs := <-ready:
		s.addr, s.ops = addrs[0], addrs[1]
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	return s
}

func (s *server) accounts() {
	s.t.Helper()
	store, err := app.OpenStore(s.t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	service := auth.New(store, auth.Config{})
	for _, name := range []string{"alice", "bob"} {
		if err := service.Create(s.t.Context(), auth.Account{JID: jid.MustParse(name + "@localhost")}, password); err != nil && !errors.Is(err, auth.ErrExists) {
			s.t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) storePath() string { return filepath.Join(s.cfg.DataDir, "deskline.db") }

// client speaks BOSH, one request after the other.
type client struct {
	s   *server
	rid int
	sid string
}

// post sends a body and returns the response.
func (s *server) post(body string) (status int, response string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.addr+"/http-bind", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

var sidOf = regexp.MustCompile(` sid='([^']+)'`)

// open begins a session; hold 0 has every request answered at once.
func (s *server) open() *client {
	s.t.Helper()
	c := &client{s: s, rid: 1000}
	_, body := s.post("<body xmlns='http://jabber.org/protocol/httpbind' rid='1000' to='localhost' ver='1.11' wait='5' hold='1'/>")
	m := sidOf.FindStringSubmatch(body)
	if m == nil {
		s.t.Fatalf("creation: %s", body)
	}
	c.sid = m[1]
	return c
}

// send posts elements and returns what comes back.
func (c *client) send(elements string) string {
	c.s.t.Helper()
	return c.body("", elements)
}

func (c *client) body(attrs, elements string) string {
	c.s.t.Helper()
	c.rid++
	_, response := c.s.post("<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='" + strconv.Itoa(c.rid) +
		"' sid='" + c.sid + "' " + attrs + ">" + elements + "</body>")
	return response
}

func (c *client) auth(user, password string) string {
	c.s.t.Helper()
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	return c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + token + "</auth>")
}

// login signs in and binds.
func (s *server) login(user string) *client {
	s.t.Helper()
	c := s.open()
	want(s.t, "auth", c.auth(user, password), "<success")
	want(s.t, "restart", c.body("xmpp:restart='true' to='localhost'", ""), "urn:ietf:params:xml:ns:xmpp-bind")
	want(s.t, "bind", c.send("<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>"), user+"@localhost/desk")
	return c
}

func message(to, id string) string {
	return fmt.Sprintf("<message xmlns='jabber:client' to='%s@localhost' type='chat' id='%s'><body>%s</body></message>", to, id, id)
}

// ask sends an IQ after elements, and returns all that comes up to its result:
// what the elements caused is there by then.
func (c *client) ask(elements string) string {
	c.s.t.Helper()
	id := "ask" + strconv.Itoa(c.rid)
	got := c.send(elements + "<iq xmlns='jabber:client' type='get' id='" + id + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	for range 20 {
		if strings.Contains(got, "id='"+id+"'") || strings.Contains(got, "type='terminate'") {
			return got
		}
		got += c.send("")
	}
	c.s.t.Fatalf("no answer to a ping: %s", got)
	return ""
}

func want(t testing.TB, what, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Fatalf("%s: %q is not in %s", what, p, got)
		}
	}
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not in time: %s", what)
		}
	}
}
