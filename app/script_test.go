package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/xmpptest"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

const (
	domain = "example.com"
	secret = "secret"
)

// people have accounts in every script, and no contacts.
var people = []string{"alice", "bob", "carol", "dave", "eve"}

// TestScripts plays each conversation with a node of its own, once over each
// door. Files may stand behind a script: deskline.yaml is the configuration, each
// line of contacts names people who have each other as contacts, each of accounts
// people of other domains, each of groups one group and its members, and each of
// people says what somebody is called, with a mail address behind a comma.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	stores := map[string][]byte{} // by what is in them
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse(data)
		script, err := xmpptest.Parse(filepath.Base(file), string(archive.Comment))
		if err != nil {
			t.Fatal(err)
		}
		begin := beginning(archive)
		if stores[begin.String()] == nil {
			stores[begin.String()] = filledStore(t, begin)
		}
		t.Run(strings.TrimSuffix(script.Name, ".txtar"), func(t *testing.T) {
			t.Parallel()
			playBoth(t, script, archive, stores[begin.String()])
		})
	}
}

// playBoth plays a script over both doors at the same time: some wait for a
// client to be missed.
func playBoth(t *testing.T, script *xmpptest.Script, archive *txtar.Archive, store []byte) {
	var doors sync.WaitGroup
	defer doors.Wait()
	for _, door := range []xmpptest.Door{xmpptest.BOSH, xmpptest.WebSocket} {
		s := newServer(t, archive, store)
		doors.Go(func() {
			defer s.stop()
			err := s.start()
			if err == nil {
				err = xmpptest.Play(t.Context(), xmpptest.Config{
					Domain: domain, Password: secret, Door: door, URL: s.url,
					Restart: func(context.Context) error { s.stop(); return s.start() }, Administer: s.administer,
				}, script)
			}
			if err != nil {
				t.Errorf("over %s: %v", door, err)
			}
		})
	}
}

// TestWrongScripts shows that the player sees when a conversation goes another
// way than the script.
func TestWrongScripts(t *testing.T) {
	t.Parallel()
	s := newServer(t, &txtar.Archive{}, filledStore(t, begin{}))
	defer s.stop()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	const intro = "alice/phone comes online\nbob/desk comes online\n"
	for _, tt := range []struct{ name, text, want string }{
		{"nothing comes", "bob/desk gets <message/>", "nothing came"},
		{"something else comes", "alice/phone sends <message to='bob@example.com'/>\nbob/desk gets <presence/>", "<message> of jabber:client in place of <presence>"},
		{"something comes", "alice/phone sends <message to='bob@example.com'/>\nbob/desk gets nothing", "bob/desk got"},
		{"more comes", "alice/phone sends <message to='bob@example.com'/>", "at the end: bob/desk got"},
		{"none of several", "alice/phone sends <message to='bob@example.com'/>\nbob/desk gets in any order <iq/> <presence/>", "want one of"},
		{"ended", "alice/phone sends <letter/>\nalice/phone gets <message/>", "the stream has ended with \"unsupported-stanza-type\""},
		{"ended in another way", "alice/phone sends <letter/>\nalice/phone is ended with conflict", "ended with \"unsupported-stanza-type\", not \"conflict\""},
		{"not ended", "alice/phone is ended", "has not ended"},
		{"ended unnoticed", "alice/phone sends <letter/>", "the stream has ended with \"unsupported-stanza-type\""},
		{"wrong password", "carol/web signs in with 'wrong'", "cannot authenticate"},
		{"right password", "carol/web cannot sign in", "in place of not-authorized"},
		{"there already", "alice/phone signs in", "is there already"},
		{"not there", "carol/web sends <presence/>", "has not connected"},
	} {
		for _, door := range []xmpptest.Door{xmpptest.BOSH, xmpptest.WebSocket} {
			t.Run(tt.name+"/"+string(door), func(t *testing.T) {
				script, err := xmpptest.Parse("wrong", intro+tt.text)
				if err != nil {
					t.Fatal(err)
				}
				err = xmpptest.Play(t.Context(), xmpptest.Config{Domain: domain, Password: secret, Door: door, URL: s.url, Wait: time.Second}, script)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v", err)
				}
			})
		}
	}
}

// begin is what a script's store has beside the accounts of people.
type begin struct{ contacts, accounts, groups, names string }

func (b begin) String() string {
	return strings.Join([]string{b.contacts, b.accounts, b.groups, b.names}, "\x00")
}

func beginning(archive *txtar.Archive) (b begin) {
	for _, f := range archive.Files {
		switch f.Name {
		case "contacts":
			b.contacts = string(f.Data)
		case "accounts":
			b.accounts = string(f.Data)
		case "groups":
			b.groups = string(f.Data)
		case "people":
			b.names = string(f.Data)
		}
	}
	return b
}

// address is that of one of people, or of an account written in full.
func address(name string) jid.JID {
	if !strings.Contains(name, "@") {
		name += "@" + domain
	}
	return jid.MustParse(name)
}

// named gives an account the name and the address in the lines of people.
func named(a auth.Account, names string) auth.Account {
	for line := range strings.Lines(names) {
		if rest, ok := strings.CutPrefix(line, a.JID.Local()+" "); ok {
			name, email, _ := strings.Cut(rest, ",")
			a.Name, a.Email = strings.TrimSpace(name), strings.TrimSpace(email)
		}
	}
	return a
}

// filledStore returns a store file with the accounts of all people and what a
// script begins with.
func filledStore(t *testing.T, b begin) []byte {
	t.Helper()
	member := map[jid.JID][]string{}
	for line := range strings.Lines(b.groups) {
		group, names, _ := strings.Cut(line, ":")
		for _, name := range strings.Fields(names) {
			member[address(name)] = append(member[address(name)], group)
		}
	}
	path := filepath.Join(t.TempDir(), "deskline.db")
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	accounts := auth.New(store, auth.Config{Mechanisms: []string{"SCRAM-SHA-256", "PLAIN"}})
	for _, name := range append(slices.Clone(people), strings.Fields(b.accounts)...) {
		a := named(auth.Account{JID: address(name), Groups: member[address(name)]}, b.names)
		if err := accounts.Create(t.Context(), a, secret); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(b.contacts) {
		var friends []roster.Friend
		for _, name := range strings.Fields(line) {
			friends = append(friends, roster.Friend{JID: address(name)})
		}
		if err := roster.Befriend(t.Context(), store, friends); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// stage is a node that can be stopped and started again.
type stage struct {
	t      *testing.T
	cfg    configs.Config
	log    *slog.Logger
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex // guards all below
	addr net.Addr
	ops  net.Addr // of admin.listen
}

func newServer(t *testing.T, archive *txtar.Archive, store []byte) *stage {
	t.Helper()
	var yaml []byte
	for _, f := range archive.Files {
		switch f.Name {
		case "deskline.yaml":
			yaml = f.Data
		case "contacts", "accounts", "groups", "people":
		default:
			t.Fatalf("%s means nothing here", f.Name)
		}
	}
	cfg, err := configs.Parse(yaml)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(cfg.Domains, domain) {
		cfg.Domains = []string{domain}
	}
	cfg.Groups.Refresh = time.Second
	cfg.DataDir = t.TempDir()
	cfg.HTTP.Listen, cfg.Admin.Listen = "127.0.0.1:0", "off"
	// Shorter than a file may ask for: clients that vanish are missed soon.
	cfg.BOSH.Inactivity = 3 * time.Second
	if err := os.WriteFile(cfg.StorePath(), store, 0o600); err != nil {
		t.Fatal(err)
	}
	return &stage{t: t, cfg: cfg, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

func (s *stage) start() error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	s.cancel = cancel
	ready := make(chan [2]net.Addr, 1)
	ended := make(chan struct{})
	s.done.Go(func() {
		defer close(ended)
		err := app.Run(ctx, app.Options{Config: s.cfg, Log: s.log, Ready: func(public, private net.Addr) { ready <- [2]net.Addr{public, private} }})
		if err != nil {
			s.t.Errorf("node: %v", err)
		}
	})
	select {
	case addrs := <-ready:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.addr, s.ops = addrs[0], addrs[1]
		return nil
	case <-ended:
		return errors.New("the node did not start")
	}
}

func (s *stage) stop() {
	s.cancel()
	s.done.Wait()
}

func (s *stage) url(door xmpptest.Door, _ string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if door == xmpptest.WebSocket {
		return fmt.Sprintf("ws://%s%s", s.addr, s.cfg.WebSocket.Path)
	}
	return fmt.Sprintf("http://%s%s", s.addr, s.cfg.BOSH.Paths[0])
}
