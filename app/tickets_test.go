package app_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/redistest"
)

// secureGet asks for a path over TLS on a connection of its own.
func secureGet(t *testing.T, addr, path string, client *tls.Config) (tls.ConnectionState, string) {
	t.Helper()
	conn, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn) // the tickets come with it
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*tls.Conn).ConnectionState(), string(answer)
}

// TestTLSResumesAtTheMate moves a client from node to node.
func TestTLSResumesAtTheMate(t *testing.T) {
	r := redistest.Start(t)
	one, two, alone := start(t, onRedis(r)), start(t, onRedis(r)), start(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{
			ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(4), MinVersion: version, MaxVersion: version,
		}
		for i, step := range []struct {
			s    *server
			want bool
		}{{one, false}, {two, true}, {two, true}, {one, true}, {alone, false}, {alone, true}} {
			state, answer := secureGet(t, step.s.addr, "/", client)
			if state.DidResume != step.want || !strings.HasPrefix(answer, "HTTP/1.1 200") {
				t.Errorf("%s, step %d: resumed %v, want %v", tls.VersionName(version), i, state.DidResume, step.want)
			}
		}
	}
}

// TestOldTLS is refused what is not safe any more.
func TestOldTLS(t *testing.T) {
	s := start(t, nil)
	for name, client := range map[string]*tls.Config{
		"TLS 1.1":      {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":          {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"RSA exchange": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		client.InsecureSkipVerify = true
		conn, err := (&tls.Dialer{Config: client, NetDialer: &net.Dialer{}}).DialContext(context.Background(), "tcp", s.addr)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s was accepted", name)
		}
	}
	modern := start(t, func(c *configs.Config) { c.Certs.MinTLS = "1.3" })
	if conn, err := tls.Dial("tcp", modern.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		_ = conn.Close()
		t.Error("certs.min_tls is not kept")
	}
}
