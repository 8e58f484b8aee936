package acme_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/certs/acme"
	"github.com/deskline/deskline/internal/pebbletest"
)

// TestRenewal has certificates that are valid for eight seconds, and follows a
// renewal as clients see it.
func TestRenewal(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	number, _ := strconv.Atoi(port)
	p := pebbletest.Start(t, "1", port, 8*time.Second)
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	m, err := acme.New(acme.Config{
		Dir: filepath.Join(dir, "certs", "acme"), Directory: p.Directory, CAFile: p.CAFile, Agree: true, Hosts: []string{"chat.example.com"},
		Challenge: acme.Any, Host: "127.0.0.1", Port: number, Check: 500 * time.Millisecond, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	k, err := certs.New(certs.Config{Dir: dir, Challenge: m.Challenge, Asks: acme.Asks, Protocols: []string{acme.Protocol}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, k, m)
	seen := map[string]bool{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for len(seen) < 2 {
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "chat.example.com"}}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
		_ = conn.Close()
		if strings.Contains(leaf.Issuer.String(), "Pebble") {
			seen[leaf.SerialNumber.String()] = true
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d certificates in a minute; %v", len(seen), m.Failed())
		}
	}
}

// serve answers handshakes, and runs what renews, until the test ends.
func serve(t *testing.T, l net.Listener, k *certs.Keeper, m *acme.Manager) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- k.Run(ctx) }()
	go func() { done <- m.Run(ctx) }()
	secure := tls.NewListener(l, k.TLSConfig(0))
	go func() {
		for {
			conn, err := secure.Accept()
			if err != nil {
				done <- nil
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_ = conn.(*tls.Conn).HandshakeContext(ctx)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = secure.Close()
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestReach(t *testing.T) {
	p := pebbletest.Start(t, "1", "1", time.Hour)
	for name, c := range map[string]struct {
		cfg  acme.Config
		want string
	}{
		"there":        {acme.Config{Directory: p.Directory, CAFile: p.CAFile}, ""},
		"not trusted":  {acme.Config{Directory: p.Directory}, "certs.acme.directory"},
		"no directory": {acme.Config{Directory: p.Directory + "/x", CAFile: p.CAFile}, "no directory of ACME"},
		"nobody":       {acme.Config{Directory: "https://127.0.0.1:1/dir"}, "certs.acme.directory"},
		"no file":      {acme.Config{Directory: p.Directory, CAFile: "none.pem"}, "certs.acme.ca_file"},
	} {
		err := acme.Reach(t.Context(), c.cfg)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
