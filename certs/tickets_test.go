package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/certs"
)

// shelf is a store of ticket keys that nodes share.
type shelf struct {
	mu      sync.Mutex
	data    []byte
	version uint64
	fail    error
	saved   int
}

func (s *shelf) TicketKeys(context.Context) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.version, s.fail
}

func (s *shelf) SaveTicketKeys(_ context.Context, data []byte, version uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if version != s.version {
		return certs.ErrTicketsChanged
	}
	s.data, s.version = data, version+1
	s.saved++
	return nil
}

// node is a TLS server with tickets.
func ticketNode(t *testing.T, s certs.TicketStore, k *certs.Keeper) (*certs.Tickets, *tls.Config) {
	t.Helper()
	tickets, config := certs.NewTickets(s, quiet()), k.TLSConfig(0)
	tickets.Serve(config)
	tickets.Refresh(t.Context())
	return tickets, config
}

// visit makes a handshake, reads what the server has to say, and reports whether
// it went on with an earlier session.
func visit(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn := tls.Server(far, server)
		_, _ = conn.Write([]byte("hello")) // behind the tickets
		_ = far.Close()
	}()
	conn := tls.Client(near, client)
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	<-done
	return conn.ConnectionState().DidResume
}

func newClient(version uint16) *tls.Config {
	return &tls.Config{ServerName: "chat.example", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(4), MinVersion: version, MaxVersion: version}
}

func TestResumeAtTheOtherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, t.TempDir(), time.Now(), certs.Source{Hosts: []string{"chat.example"}})
		s := new(shelf)
		one, n1 := ticketNode(t, s, k)
		two, n2 := ticketNode(t, s, k)
		_, stranger := ticketNode(t, nil, k)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client := newClient(version)
			if visit(t, n1, client) {
				t.Fatal("a new client went on with a session")
			}
			if !visit(t, n2, client) || !visit(t, n1, client) {
				t.Errorf("%s: no resumption at the other node", tls.VersionName(version))
			}
			if visit(t, stranger, client) {
				t.Errorf("%s: a node of another store took the ticket", tls.VersionName(version))
			}
		}
		// Keys change each day; a client that comes every twenty hours never
		// notices, though the nodes read the keys at different times.
		client := newClient(tls.VersionTLS13)
		visit(t, n1, client)
		for day := range 10 {
			for range 40 {
				time.Sleep(15 * time.Minute)
				one.Refresh(t.Context())
				time.Sleep(15 * time.Minute)
				two.Refresh(t.Context())
			}
			if !visit(t, []*tls.Config{n1, n2}[day%2], client) {
				t.Errorf("day %d: no resumption", day)
			}
		}
		if s.saved < 8 || s.saved > 11 {
			t.Errorf("%d keys made in 200 hours", s.saved)
		}
		// A ticket does not open for ever.
		idle := newClient(tls.VersionTLS12)
		visit(t, n1, idle)
		for range 4 * 24 {
			time.Sleep(time.Hour)
			one.Refresh(t.Context())
		}
		if visit(t, n1, idle) {
			t.Error("a ticket of four days ago was taken")
		}
	})
}

// TestTicketKeysWhileRotating lets one node seal with a key that the other has not
// read yet.
func TestTicketKeysWhileRotating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, t.TempDir(), time.Now(), certs.Source{Hosts: []string{"chat.example"}})
		s := new(shelf)
		one, n1 := ticketNode(t, s, k)
		_, n2 := ticketNode(t, s, k)
		for range 24 * 60 {
			time.Sleep(time.Minute)
			one.Refresh(t.Context())
			client := newClient(tls.VersionTLS13)
			if s.saved == 2 {
				visit(t, n1, client)
				if !visit(t, n2, client) {
					t.Fatal("sealed with a key that the other node cannot have")
				}
				return
			}
		}
		t.Fatal("never rotated")
	})
}

func TestTicketStoreAway(t *testing.T) {
	k := open(t, t.TempDir(), time.Now(), certs.Source{Hosts: []string{"chat.example"}})
	s := &shelf{fail: errors.New("away")}
	tickets, n1 := ticketNode(t, s, k)
	client := newClient(tls.VersionTLS13)
	visit(t, n1, client)
	if !visit(t, n1, client) {
		t.Error("without a store a node has no keys of its own")
	}
	s.fail, s.data = nil, []byte("garbage")
	tickets.Refresh(t.Context())
	_, n2 := ticketNode(t, s, k)
	client = newClient(tls.VersionTLS13)
	visit(t, n1, client)
	if !visit(t, n2, client) {
		t.Error("no shared keys once the store is back")
	}
}
