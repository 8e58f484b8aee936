package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/store/redis"
)

func TestUnfit(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		set  []string // a command given before the store is opened
		want error
		text string
	}{
		{"evicts", []string{"--maxmemory-policy", "allkeys-lru"}, nil, redis.ErrUnfit, "set maxmemory-policy noeviction"},
		{"evicts what has a lifetime", []string{"--maxmemory-policy", "volatile-ttl"}, nil, redis.ErrUnfit, "set maxmemory-policy noeviction"},
		{"newer data", nil, []string{"SET", "deskline:schema", "2"}, redis.ErrNewer, "its version is 2"},
		{"wants a password", []string{"--requirepass", "x"}, nil, redis.ErrUnavailable, "NOAUTH"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r *redistest.Server
			if tc.name == "wants a password" {
				r = redistest.Start(t)
				r.Do("CONFIG", "SET", "requirepass", "x")
			} else {
				r = redistest.Start(t, tc.args...)
			}
			if tc.set != nil {
				r.Do(tc.set...)
			}
			_, err := redis.Open(t.Context(), redis.Config{URL: r.URL()})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("error %v, want %q", err, tc.text)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		r := redistest.Start(t)
		r.Kill()
		_, err := redis.Open(t.Context(), redis.Config{URL: r.URL(), Timeout: time.Second})
		wantUnavailable(t, err)
	})
	t.Run("braces in the prefix", func(t *testing.T) {
		if _, err := redis.Open(t.Context(), redis.Config{URL: "redis://127.0.0.1:1", Prefix: "{x}"}); err == nil {
			t.Fatal("taken")
		}
	})
}

func TestInspect(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"safe", nil, ""},
		{"no append-only file", []string{"--appendonly", "no"}, "set appendonly yes"},
		{"late", []string{"--appendfsync", "everysec"}, "set appendfsync always"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := redistest.Start(t, tc.args...)
			s := open(t, redis.Config{URL: r.URL()})
			report, err := s.Inspect(t.Context())
			must(t, err)
			if !strings.HasPrefix(report.Server, "Redis ") || (report.Warning == "") != (tc.want == "") || !strings.Contains(report.Warning, tc.want) {
				t.Fatalf("%+v, want %q", report, tc.want)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	r := redistest.Start(t)
	s := open(t, redis.Config{URL: r.URL(), Prefix: "mine:"})
	want := func(want bool) {
		t.Helper()
		got, err := s.InUse(t.Context())
		must(t, err)
		if got != want {
			t.Fatalf("in use: %v", got)
		}
	}
	want(false)
	open(t, redis.Config{URL: r.URL(), Prefix: "others:", Node: true})
	open(t, redis.Config{URL: "redis://" + r.Addr() + "/3", Prefix: "mine:", Node: true})
	want(false)
	node := open(t, redis.Config{URL: r.URL(), Prefix: "mine:", Node: true})
	want(true)
	must(t, node.Close())
	until(t, func() error {
		if used, err := s.InUse(t.Context()); err != nil || used {
			return fmt.Errorf("in use: %v, %w", used, err)
		}
		return nil
	})
}

// pki is a CA with a certificate for the server and one for a client, as files.
func pki(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, template, template, &caKey.PublicKey, caKey)
	must(t, err)
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, template, &leafKey.PublicKey, caKey)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	must(t, err)
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER)
}

// TestSecure speaks TLS with certificates on both sides, as a user who may do
// no more than documented.
func TestSecure(t *testing.T) {
	ca, cert, key := pki(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().(*net.TCPAddr)
	must(t, l.Close())
	r := redistest.Start(t, "--tls-port", fmt.Sprint(addr.Port), "--tls-ca-cert-file", ca, "--tls-cert-file", cert, "--tls-key-file", key)
	r.Do("ACL", "SETUSER", "deskline", "on", ">s3cret", "~deskline:*", "&deskline:*", "-@all", "+@read", "+@write", "+@connection",
		"+@scripting", "+@transaction", "+info", "+role", "+wait")
	r.Do("ACL", "SETUSER", "default", "off")
	good := redis.Config{
		URL: "rediss://" + addr.String() + "/0", Username: "deskline", Password: "s3cret", Timeout: time.Second,
		TLS: redis.TLS{CAFile: ca, CertFile: cert, KeyFile: key},
	}
	s := open(t, good)
	must(t, s.CreateAccounts(t.Context(), people(3), nil))
	must(t, s.Append(t.Context(), people(1)[0].JID, 10, offline.Message{XML: []byte("x")}))
	must(t, s.SaveSessions(t.Context(), []redis.Snapshot{{SID: "x", Kind: "bosh"}}))
	for name, change := range map[string]func(*redis.Config){
		"unknown CA":            func(c *redis.Config) { c.TLS.CAFile = "" },
		"no certificate":        func(c *redis.Config) { c.TLS.CertFile, c.TLS.KeyFile = "", "" },
		"other name":            func(c *redis.Config) { c.TLS.ServerName = "redis.example.com" },
		"wrong password":        func(c *redis.Config) { c.Password = "x" },
		"no user":               func(c *redis.Config) { c.Username, c.Password = "", "" },
		"keys out of its reach": func(c *redis.Config) { c.Prefix = "other:" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			_, err := redis.Open(t.Context(), cfg)
			wantUnavailable(t, err)
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
	t.Run("no such file", func(t *testing.T) {
		cfg := good
		cfg.TLS.CAFile = "missing.pem"
		if _, err := redis.Open(t.Context(), cfg); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	})
}

// TestLeavesMaster has the client at a master that no replica follows any more,
// while the Sentinel knows of another one and tells nobody of the change.
func TestLeavesMaster(t *testing.T) {
	old, next := redistest.Start(t, "--min-replicas-to-write", "1"), redistest.Start(t)
	replica := redistest.StartReplica(t, old)
	redistest.StartReplica(t, next)
	guard := redistest.StartSentinel(t, "deskline", old)
	s := open(t, redis.Config{
		Sentinel: redis.Sentinel{Master: "deskline", Addrs: []string{guard.Addr()}}, Replicas: 1, Timeout: 2 * time.Second,
	})
	all := people(3)
	must(t, s.CreateAccounts(t.Context(), all[:1], nil))
	host, port, err := net.SplitHostPort(next.Addr())
	must(t, err)
	guard.Do("SENTINEL", "REMOVE", "deskline")
	guard.Do("SENTINEL", "MONITOR", "deskline", host, port, "1")
	must(t, s.CreateAccounts(t.Context(), all[1:2], nil)) // as before
	replica.Kill()
	until(t, func() error { return s.CreateAccounts(t.Context(), all[2:], nil) })
	if got := next.Do("KEYS", "*"+all[2].JID.String()+"*"); got == "" {
		t.Fatal("the account is not at the new master")
	}
}

// TestSentinel kills the master under writers. With a replica that has to have
// each write, none acknowledged is lost.
func TestSentinel(t *testing.T) {
	master := redistest.Start(t)
	replica := redistest.StartReplica(t, master)
	guard := redistest.StartSentinel(t, "deskline", master)
	guard.Await("num-slaves\n1", "SENTINEL", "MASTER", "deskline")
	s := open(t, redis.Config{
		Sentinel: redis.Sentinel{Master: "deskline", Addrs: []string{guard.Addr()}}, Replicas: 1, Timeout: 5 * time.Second,
	})
	must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
	for i := range 100 {
		must(t, s.Append(t.Context(), alice, 1000, offline.Message{XML: fmt.Append(nil, i)}))
	}
	master.Kill()
	_, err := s.Account(t.Context(), alice)
	must(t, err) // bridged
	// No replica is left, so a write is refused, though it may be kept.
	wantUnavailable(t, s.Append(t.Context(), alice, 1000, offline.Message{XML: []byte("100")}))
	kept, err := s.Messages(t.Context(), alice, 1000)
	must(t, err)
	for i := range 100 {
		if i >= len(kept) || string(kept[i].XML) != fmt.Sprint(i) {
			t.Fatalf("message %d of %d is lost or out of order", i, len(kept))
		}
	}
	master.Start() // comes back as the replica; the Sentinel would see to that in its time
	host, port, err := net.SplitHostPort(replica.Addr())
	must(t, err)
	master.Do("REPLICAOF", host, port)
	until(t, func() error { return s.Append(t.Context(), alice, 1000, offline.Message{XML: []byte("101")}) })
	must(t, s.Ping(t.Context()))
}
