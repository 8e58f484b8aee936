package graph_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/graphtest"
	"github.com/deskline/deskline/presence/calendar/entra"
	"github.com/deskline/deskline/presence/calendar/graph"
	"github.com/deskline/deskline/xmpp/jid"
)

const patience = 60 * time.Second

// wait waits until something is so.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !is(); {
		if time.Now().After(limit) {
			t.Fatal("not so: " + what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// world is the service, a hub that it can reach, and a source that watches.
type world struct {
	*graphtest.Server
	t      *testing.T
	hub    *graph.Hub
	door   *httptest.Server
	source *graph.Source
	grace  time.Duration

	mu    sync.Mutex
	n     int // users
	heard map[string]int
	log   bytes.Buffer
}

func newWorld(t *testing.T, n int) *world {
	w := &world{t: t, Server: graphtest.Start(t), n: n, heard: map[string]int{}, grace: time.Hour}
	w.Plain = true
	for i := range n {
		w.Mailboxes[box(i)] = nil
	}
	w.hub = w.newHub(nil)
	w.door = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		hub := w.hub
		w.mu.Unlock()
		hub.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.door.Close)
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte(graphtest.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := entra.New(entra.Config{URL: w.TokenURL(), ClientID: "app", SecretFile: secret, Scope: w.Scope()})
	if err != nil {
		t.Fatal(err)
	}
	w.source, err = graph.New(graph.Config{URL: w.Address(), Tokens: tokens, Mailbox: func(u jid.JID) string {
		if strings.HasPrefix(u.Local(), "u") {
			return u.Local() + "@mail.example.com"
		}
		return ""
	}, AtOnce: 4})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) newHub(pass func(context.Context, []string) error) *graph.Hub {
	return graph.NewHub(graph.HubConfig{
		Key: []byte("key"), Pass: pass, Log: slog.New(slog.DiscardHandler),
		Peer: func(r *http.Request) netip.Addr { a, _ := netip.ParseAddrPort(r.RemoteAddr); return a.Addr() },
	})
}

func box(i int) string { return fmt.Sprintf("u%d@mail.example.com", i) }

// watch watches until the test ends, or what is returned is called.
func (w *world) watch() (stop func()) {
	w.source.Hasten(w.grace)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	watch := w.source.Watch(graph.WatchConfig{Name: "cloud", Hub: w.hub, NotifyURL: w.door.URL + graph.Path, Log: slog.New(slog.NewTextHandler(w, nil))})
	go func() { done <- watch(ctx, w.users, w.changed) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) users() []jid.JID {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []jid.JID{jid.MustParse("nomailbox@example.com")}
	for i := range w.n {
		list = append(list, jid.MustParse(fmt.Sprintf("u%d@example.com", i)))
	}
	return list
}

func (w *world) changed(u jid.JID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard[u.Local()]++
}

func (w *world) setUsers(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n = n
}

// take returns who has changed, and forgets it.
func (w *world) take() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer clear(w.heard)
	return maps.Clone(w.heard)
}

// Write implements io.Writer, for the log.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) done(what string) (n int) {
	w.Do(func() { n = w.Done[what] })
	return n
}

// subscribed waits until there are so many subscriptions, and the watcher knows.
func (w *world) subscribed(n int) {
	w.t.Helper()
	wait(w.t, fmt.Sprint(n, " subscriptions"), func() bool {
		known := 0
		w.hub.Subscriptions(func(_ string, active, _ int) { known = active })
		return len(w.Subscriptions()) == n && known == n
	})
}

func accepted(t *testing.T, statuses []int) {
	t.Helper()
	if len(statuses) == 0 || slices.ContainsFunc(statuses, func(s int) bool { return s != http.StatusAccepted }) {
		t.Errorf("answered %v", statuses)
	}
}
