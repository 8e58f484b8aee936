package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t *testing.T, dir string, now time.Time, s certs.Source) *certs.Keeper {
	t.Helper()
	k, err := certs.New(certs.Config{Source: s, Dir: dir, Now: at(now), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, start, certs.Source{Hosts: []string{"example.com", "münchen.example", "10.0.0.7", "[2001:db8::7]", "EXAMPLE.com."}})
	leaf := k.Leaf()
	if !k.SelfSigned() || leaf.PublicKeyAlgorithm != x509.ECDSA || leaf.IsCA {
		t.Errorf("self-signed %v, key %v, CA %v", k.SelfSigned(), leaf.PublicKeyAlgorithm, leaf.IsCA)
	}
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got > 825*24*time.Hour || got < 824*24*time.Hour {
		t.Errorf("valid for %v", got)
	}
	for _, host := range []string{"example.com", "xn--mnchen-3ya.example", "localhost", "10.0.0.7", "2001:db8::7", "127.0.0.1", "::1"} {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if n := len(leaf.DNSNames); slices.Index(leaf.DNSNames, "example.com") != 0 || leaf.DNSNames[n-1] != "localhost" {
		t.Errorf("names %v", leaf.DNSNames)
	}
	info, err := os.Stat(filepath.Join(dir, "certs", "self-signed.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info.Mode(), err)
	}
	if f := k.Fingerprint(); len(f) != 95 || strings.Count(f, ":") != 31 || f != strings.ToUpper(f) {
		t.Errorf("fingerprint %s", f)
	}
	block, rest := pem.Decode(k.PEM())
	if block == nil || !bytes.Equal(block.Bytes, leaf.Raw) || len(rest) != 0 {
		t.Error("PEM is not the certificate alone")
	}
}

func TestSelfSignedRenewal(t *testing.T) {
	keyFile := func(dir string) string { return filepath.Join(dir, "certs", "self-signed.key") }
	cases := []struct {
		name   string
		later  time.Duration
		hosts  []string
		damage func(t *testing.T, dir string)
		anew   bool
	}{
		{"as before", time.Hour, []string{"example.com"}, nil, false},
		{"fewer names", time.Hour, nil, nil, false},
		{"another name", time.Hour, []string{"example.com", "example.org"}, nil, true},
		{"old", 800 * 24 * time.Hour, []string{"example.com"}, nil, false},
		{"about to expire", 820 * 24 * time.Hour, []string{"example.com"}, nil, true},
		{"expired", 900 * 24 * time.Hour, []string{"example.com"}, nil, true},
		{"clock was ahead", -48 * time.Hour, []string{"example.com"}, nil, true},
		{"key of another", time.Hour, []string{"example.com"}, func(t *testing.T, dir string) {
			_, key, err := certs.SelfSigned([]string{"x"}, start)
			if err != nil {
				t.Fatal(err)
			}
			write(t, keyFile(dir), key)
		}, true},
		{"key cut short", time.Hour, []string{"example.com"}, func(t *testing.T, dir string) { write(t, keyFile(dir), nil) }, true},
		{"key gone", time.Hour, []string{"example.com"}, func(t *testing.T, dir string) {
			if err := os.Remove(keyFile(dir)); err != nil {
				t.Fatal(err)
			}
		}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			before := open(t, dir, start, certs.Source{Hosts: []string{"example.com"}}).Fingerprint()
			if c.damage != nil {
				c.damage(t, dir)
			}
			k := open(t, dir, start.Add(c.later), certs.Source{Hosts: c.hosts})
			if anew := k.Fingerprint() != before; anew != c.anew {
				t.Errorf("made anew %v, want %v", anew, c.anew)
			}
		})
	}
}

// pair writes a certificate for host that is valid from start and its key.
func pair(t *testing.T, dir, host string, from time.Time) certs.Source {
	t.Helper()
	s := certs.Source{CertFile: filepath.Join(dir, "site.crt"), KeyFile: filepath.Join(dir, "site.key")}
	cert, key, err := certs.SelfSigned([]string{host}, from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.CertFile, cert)
	write(t, s.KeyFile, key)
	return s
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReload(t *testing.T) {
	cases := []struct {
		name string
		next func(t *testing.T, dir string, s certs.Source)
		host string // in service afterwards
		err  string
	}{
		{"new pair", func(t *testing.T, dir string, _ certs.Source) { pair(t, dir, "two.example", start) }, "two.example", ""},
		{"unchanged", func(*testing.T, string, certs.Source) {}, "one.example", ""},
		{"no certificate", func(t *testing.T, _ string, s certs.Source) { write(t, s.CertFile, []byte("x")) }, "one.example", "site.crt"},
		{"file gone", func(t *testing.T, _ string, s certs.Source) {
			if err := os.Remove(s.KeyFile); err != nil {
				t.Fatal(err)
			}
		}, "one.example", "certs.key_file"},
		{"expired", func(t *testing.T, dir string, _ certs.Source) { pair(t, dir, "two.example", start.AddDate(-5, 0, 0)) }, "one.example", "expired at"},
		{"not yet valid", func(t *testing.T, dir string, _ certs.Source) { pair(t, dir, "two.example", start.AddDate(1, 0, 0)) }, "one.example", "not valid before"},
		{"key of another", func(t *testing.T, dir string, s certs.Source) {
			cert, err := os.ReadFile(s.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			pair(t, dir, "two.example", start)
			write(t, s.CertFile, cert)
		}, "one.example", "private key"},
		{"stranger in the chain", func(t *testing.T, dir string, s certs.Source) {
			pair(t, dir, "two.example", start)
			cert, err := os.ReadFile(s.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			other, _, err := certs.SelfSigned([]string{"three.example"}, start)
			if err != nil {
				t.Fatal(err)
			}
			write(t, s.CertFile, append(cert, other...))
		}, "one.example", "of the chain"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := pair(t, dir, "one.example", start)
			k := open(t, dir, start, s)
			c.next(t, dir, s)
			err := k.Reload(t.Context())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if err := k.Leaf().VerifyHostname(c.host); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSourceErrors(t *testing.T) {
	dir := t.TempDir()
	for want, s := range map[string]certs.Source{
		"certs.key_file is not":  {CertFile: "a"},
		"certs.cert_file is not": {KeyFile: "a"},
		"read certs.cert_file":   {CertFile: filepath.Join(dir, "none"), KeyFile: "a"},
	} {
		_, err := certs.New(certs.Config{Source: s, Dir: dir, Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", s, err, want)
		}
	}
}

func TestSetSource(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, start, certs.Source{Hosts: []string{"one.example"}})
	if err := k.SetSource(t.Context(), pair(t, dir, "two.example", start)); err != nil {
		t.Fatal(err)
	}
	if k.SelfSigned() || k.Leaf().VerifyHostname("two.example") != nil {
		t.Error("files are not in service")
	}
	if err := k.SetSource(t.Context(), certs.Source{CertFile: "none", KeyFile: "none"}); err == nil {
		t.Error("absent files accepted")
	}
	if k.Leaf().VerifyHostname("two.example") != nil {
		t.Error("last good certificate is gone")
	}
}

// record collects what is logged.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) count(s string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.buf.String(), s)
}

// eventually polls until ok, for thirty seconds at most.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("still not: " + what)
		case <-tick.C:
		}
	}
}

func TestMissingNameIsTold(t *testing.T) {
	dir := t.TempDir()
	s := pair(t, dir, "one.example", start)
	s.Hosts = []string{"one.example", "two.example", "localhost", "127.0.0.1"}
	var log record
	if _, err := certs.New(certs.Config{Source: s, Dir: dir, Now: at(start), Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
		t.Fatal(err)
	}
	if log.count("lacks a name") != 1 || log.count("name=two.example") != 1 {
		t.Errorf("log: %s", &log.buf)
	}
}

func TestRunFollowsFiles(t *testing.T) {
	dir := t.TempDir()
	s := pair(t, dir, "one.example", start)
	var log record
	k, err := certs.New(certs.Config{Source: s, Dir: dir, Now: at(start), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()

	write(t, s.CertFile, []byte("damaged"))
	eventually(t, "complaint", func() bool { return log.count("the last good one stays") == 1 })
	if k.Leaf().VerifyHostname("one.example") != nil {
		t.Error("last good certificate is gone")
	}
	staged := t.TempDir()
	next := pair(t, staged, "two.example", start)
	for from, to := range map[string]string{next.CertFile: s.CertFile, next.KeyFile: s.KeyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "new pair in service", func() bool { return k.Leaf().VerifyHostname("two.example") == nil })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHandshake shows that a handshake takes the certificate of the moment.
func TestHandshake(t *testing.T) {
	dir := t.TempDir()
	s := pair(t, dir, "one.example", start)
	k := open(t, dir, start, s)
	config := k.TLSConfig(0)
	for _, host := range []string{"one.example", "two.example"} {
		if host != "one.example" {
			pair(t, dir, host, start)
			if err := k.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		client, server := net.Pipe()
		go func() {
			conn := tls.Server(server, config)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}()
		roots := x509.NewCertPool()
		roots.AddCert(k.Leaf())
		conn := tls.Client(client, &tls.Config{ServerName: host, RootCAs: roots, Time: at(start)})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		_ = conn.Close()
	}
}
