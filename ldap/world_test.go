package ldap_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// sink keeps what it is told.
type sink struct {
	mu       sync.Mutex
	people   map[jid.JID]people.Person
	replaced int
	changed  int
}

func (s *sink) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	next := map[jid.JID]people.Person{}
	for p, err := range all {
		if err != nil {
			return err
		}
		next[p.JID] = p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people, s.replaced = next, s.replaced+1
	return nil
}

func (s *sink) Change(_ context.Context, put []people.Person, gone []jid.JID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed++
	for _, j := range gone {
		delete(s.people, j)
	}
	for _, p := range put {
		s.people[p.JID] = p
	}
	return nil
}

func (s *sink) get(name string) (people.Person, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.people[user(name)]
	return p, ok
}

func (s *sink) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replaced
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.people)
}

func user(name string) jid.JID { return jid.MustParse(name + "@example.com") }

// config is of a directory on a server.
func config(servers ...*ldaptest.Server) ldap.Config {
	c := ldap.Config{
		Domains: []string{"example.com"}, Base: ldaptest.Base, BindDN: ldaptest.Reader, BindPassword: ldaptest.ReaderPassword,
		Settings: ldap.Settings{Refresh: 200 * time.Millisecond, Timeout: 5 * time.Second},
	}
	for _, s := range servers {
		c.URLs = append(c.URLs, s.URL())
	}
	return c
}

func open(t *testing.T, cfg ldap.Config) *ldap.Directory {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(&logWriter{t: t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	d, err := ldap.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// run has a directory tell a sink, and waits until it has told of everybody.
func run(t *testing.T, cfg ldap.Config) (*ldap.Directory, *sink) {
	t.Helper()
	d, s := open(t, cfg), new(sink)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "everybody is read", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.replaced > 0
	})
	return d, s
}

// logWriter passes the log to the test, until that ends, and keeps it.
type logWriter struct {
	t    *testing.T
	mu   sync.Mutex
	over bool
	text strings.Builder
}

func (w *logWriter) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), text)
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.t.Context().Err() == nil && !w.over {
		w.t.Log(strings.TrimSpace(string(p)))
	} else {
		w.over = true
	}
	return len(p), nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// person is an entry as LDIF; the password is the name and "'s secret".
func person(name string, more ...string) string {
	return fmt.Sprintf("dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[1]s's secret\n%[3]s\n\n",
		name, ldaptest.People, strings.Join(more, "\n"))
}

// groupOf is a group as LDIF.
func groupOf(name string, members ...string) string {
	text := fmt.Sprintf("dn: cn=%[1]s,%[2]s\nobjectClass: groupOfNames\ncn: %[1]s\n", name, ldaptest.Groups)
	for _, m := range members {
		text += "member: " + m + "\n"
	}
	return text + "\n"
}

func dnOf(name string) string    { return "uid=" + name + "," + ldaptest.People }
func groupDN(name string) string { return "cn=" + name + "," + ldaptest.Groups }
