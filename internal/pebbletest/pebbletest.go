// Package pebbletest starts Pebble, Let's Encrypt's small authority for tests of
// ACME (RFC 8555), on free ports, with a name server that answers 127.0.0.1 to every
// question.
//
//	p := pebbletest.Start(t, httpPort, tlsPort, time.Hour)
//	acme.Config{Directory: p.Directory, CAFile: p.CAFile}
package pebbletest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Authority is one that runs.
type Authority struct {
	Directory string // for ACME
	CAFile    string // who vouches for its own HTTPS

	management string
	ask        *http.Client
}

// Start runs an authority until the test ends. Its challenges come to the ports
// given, at 127.0.0.1; its certificates are valid for so long.
func Start(t *testing.T, httpPort, tlsPort string, validity time.Duration) *Authority {
	t.Helper()
	for _, name := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is missing: install Debian's package pebble (scripts/install.sh does)", name)
		}
	}
	dir, addrs := t.TempDir(), free(t, 4)
	a := &Authority{Directory: "https://" + addrs[0] + "/dir", CAFile: filepath.Join(dir, "ca.pem"), management: "https://" + addrs[1]}
	roots := a.makeCertificate(t, dir)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": addrs[0], "managementListenAddress": addrs[1], "certificate": a.CAFile, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": json.Number(httpPort), "tlsPort": json.Number(tlsPort), "certificateValidityPeriod": int(validity.Seconds()),
	}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "pebble.json"), config, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.ask = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	run(t, "pebble-challtestsrv", "-dns01", addrs[2], "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", addrs[3], "-defaultIPv6", "")
	run(t, "pebble", "-config", filepath.Join(dir, "pebble.json"), "-dnsserver", addrs[2])
	a.await(t)
	return a
}

// Root is the certificate to which those of the authority lead. It is another at
// each start.
func (a *Authority) Root(t *testing.T) *x509.CertPool {
	t.Helper()
	data, err := a.get(t.Context(), a.management+"/roots/0")
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(data) {
		t.Fatalf("root of pebble: %q %v", data, err)
	}
	return pool
}

func (a *Authority) get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := a.ask.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

func (a *Authority) await(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		_, err := a.get(t.Context(), a.Directory)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("pebble does not answer: %v", err)
		}
	}
}

// makeCertificate is for the authority's own HTTPS.
func (a *Authority) makeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{a.CAFile: cert, filepath.Join(dir, "key.pem"): pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}

// output may be read while a program writes to it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// run runs a program until the test ends.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	log := new(output)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("%s:\n%s", name, &log.b)
		}
	})
}

// free returns addresses that nobody listens on now.
func free(t *testing.T, count int) (addrs []string) {
	t.Helper()
	for range count {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // once all are found, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}
