package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/store"
)

// nodeEnv makes the test binary a node with the configuration of that file.
const nodeEnv = "APP_TEST_NODE"

func TestMain(m *testing.M) {
	file := os.Getenv(nodeEnv)
	if file == "" {
		os.Exit(m.Run())
	}
	if err := runNode(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runNode(file string) error {
	cfg, err := configs.Load(file)
	if err != nil {
		return err
	}
	return app.Run(context.Background(), app.Options{
		Config: cfg, File: file, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ready: func(public, _ net.Addr) { fmt.Println(public) },
	})
}

// onRedis sets a node up to keep its data in r.
func onRedis(r *redistest.Server) func(*configs.Config) {
	return func(c *configs.Config) {
		c.Store.Kind, c.Redis.URL, c.Redis.Timeout = "redis", r.URL(), time.Second
	}
}

// readyz returns the status and what is told.
func (s *server) readyz() (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.ops+"/readyz", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const askRoster = "<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"

func addContact(user string) string {
	return "<iq xmlns='jabber:client' type='set' id='add'><query xmlns='jabber:iq:roster'><item jid='" + user + "@localhost' name='Added " +
		user + "'/></query></iq>"
}

// TestRedisAway takes Redis away from a node with clients: what would have to
// be kept is refused as an error that passes, clients stay, and when Redis is
// back all goes on with what was accepted.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	s := start(t, onRedis(r))
	alice := s.login("alice")
	ids, refused := accepted(alice, "before", 3)
	if refused != "" {
		t.Fatal(refused)
	}
	want(t, "contact", alice.ask(addContact("bob")), "id='add'", "type='result'")
	if status, text := s.readyz(); status != http.StatusOK {
		t.Fatalf("not ready: %s", text)
	}

	r.Kill()
	none, refused := accepted(alice, "during", 1)
	if len(none) != 0 {
		t.Fatal("a message was accepted though nothing can keep it")
	}
	want(t, "refusal", refused, "<message", "type='error'", "internal-server-error", "type='wait'")
	want(t, "contact refused", alice.ask(addContact("carol")), "id='add'", "type='error'", "type='wait'")
	status, text := s.readyz()
	if status != http.StatusServiceUnavailable {
		t.Errorf("ready without a store: %s", text)
	}
	want(t, "readyz", text, "store: ", "store unavailable")

	r.Start()
	eventually(t, "ready again", func() bool { status, _ := s.readyz(); return status == http.StatusOK })
	after, refused := accepted(alice, "after", 3) // in the same session
	if refused != "" {
		t.Fatal(refused)
	}
	got := alice.ask(askRoster)
	want(t, "roster", got, "Added bob")
	if strings.Contains(got, "Added carol") {
		t.Errorf("a contact that was refused is there: %s", got)
	}
	arrive(t, s, append(ids, after...))
	want(t, "log", s.log.String(), "redis is away", "redis is back")
	if strings.Contains(s.log.String(), "session ended") {
		t.Error("a session ended")
	}
}

// TestRedisNodeKilled kills a node with two clients as kill -9 does, and starts
// it again: accounts, contacts and messages kept are there.
func TestRedisNodeKilled(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t)
	cfg := configs.Default()
	cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = t.TempDir(), "127.0.0.1:0", configs.Off
	onRedis(r)(&cfg)
	s := &server{t: t, cfg: cfg}
	s.accounts()
	file := filepath.Join(t.TempDir(), "deskline.yaml")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Print(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	kill := s.spawn(file)
	alice, bob := s.login("alice"), s.login("bob")
	want(t, "contact", alice.ask(addContact("bob")), "id='add'", "type='result'")
	bob.ask("<presence xmlns='jabber:client'/>")
	alice.ask(message("bob", "hello"))
	want(t, "message", bob.ask(""), "hello")
	bob.body("type='terminate'", "")
	ids, refused := accepted(alice, "kept", 5)
	if refused != "" {
		t.Fatal(refused)
	}
	kill()
	s.spawn(file)
	want(t, "roster", s.login("alice").ask(askRoster), "Added bob")
	arrive(t, s, ids)
}

// spawn starts a node as a process of its own and returns what kills it.
func (s *server) spawn(file string) (kill func()) {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), nodeEnv+"="+file)
	log := new(buffer)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	s.t.Cleanup(func() {
		kill()
		if s.t.Failed() {
			s.t.Logf("log:\n%s", log)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatalf("the node does not start: %v", err)
	}
	s.addr = strings.TrimSpace(line)
	return kill
}

// TestUnfinishedCopy refuses a store into which a copy was begun and not ended.
func TestUnfinishedCopy(t *testing.T) {
	t.Parallel()
	cfg := configs.Default()
	cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = t.TempDir(), "127.0.0.1:0", configs.Off
	log := slog.New(slog.DiscardHandler)
	s, err := app.OpenStore(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(t.Context(), "store.copy", []byte(`{"from":"redis","done":false}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := app.Run(t.Context(), app.Options{Config: cfg, Log: log}); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("node: %v", err)
	}
	if _, err := app.OpenStore(t.Context(), cfg, log); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("beside a node: %v", err)
	}
}
