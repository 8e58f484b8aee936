package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/certs"
)

// place writes files below a folder, by name.
func place(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, name, data)
	}
}

// presented is the chain that a client with these abilities gets.
func presented(t *testing.T, k *certs.Keeper, client *tls.Config) []*x509.Certificate {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		conn := tls.Server(far, k.TLSConfig(0))
		_ = conn.HandshakeContext(context.Background())
		_, _ = far.Read(make([]byte, 1)) // until the client is gone
	}()
	client.InsecureSkipVerify = true
	conn := tls.Client(near, client)
	defer near.Close() // not conn: nobody reads its goodbye
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState().PeerCertificates
}

func TestFolderLayouts(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	middle := newAuthority(t, "Middle", root)
	key := ecdsaKey(t)
	leaf := middle.issue(t, key, start, "chat.example")
	rsaLeaf := middle.issue(t, rsaKey(), start, "chat.example")
	both := certPEM(leaf, middle.cert)
	for name, files := range map[string]map[string][]byte{
		"certbot":          {"chat.example/fullchain.pem": both, "chat.example/cert.pem": certPEM(leaf), "chat.example/chain.pem": certPEM(middle.cert), "chat.example/privkey.pem": keyPEM(t, key), "README": []byte("x")},
		"acme.sh":          {"chat.example_ecc/chat.example.cer": certPEM(leaf), "chat.example_ecc/ca.cer": certPEM(middle.cert), "chat.example_ecc/fullchain.cer": both, "chat.example_ecc/chat.example.key": keyPEM(t, key), "chat.example_ecc/chat.example.conf": []byte("x")},
		"Kubernetes":       {"tls.crt": both, "tls.key": keyPEM(t, key), "ca.crt": certPEM(root.cert)},
		"flat":             {"a.crt": both, "a.key": keyPEM(t, key), "b.pem": certPEM(root.issue(t, rsaKey(), start, "other.example")), "b.key": keyPEM(t, rsaKey())},
		"combined":         {"haproxy.pem": slices.Concat(both, keyPEM(t, key))},
		"key first":        {"haproxy.pem": slices.Concat(keyPEM(t, key), both)},
		"root in the file": {"a.crt": certPEM(leaf, middle.cert, root.cert), "a.key": keyPEM(t, key)},
		"out of order":     {"a.crt": certPEM(middle.cert, leaf), "a.key": keyPEM(t, key)},
		"chain beside":     {"a.crt": certPEM(leaf), "a.key": keyPEM(t, key), "middle.crt": certPEM(middle.cert), "root.crt": certPEM(root.cert)},
		"two keys":         {"a.crt": both, "a.key": keyPEM(t, key), "r.crt": certPEM(rsaLeaf, middle.cert), "r.key": keyPEM(t, rsaKey())},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir, files)
			k := open(t, t.TempDir(), start, certs.Source{Folder: dir, Hosts: []string{"localhost", "chat.example"}})
			if bad := k.Problems(); len(bad) > 0 {
				t.Errorf("problems: %v", bad)
			}
			for _, host := range []string{"chat.example", "", "CHAT.example."} {
				got := presented(t, k, &tls.Config{ServerName: host})
				if !got[0].Equal(leaf) || len(got) < 2 || !got[1].Equal(middle.cert) {
					t.Errorf("for %q: %d certificates, the first of %v", host, len(got), got[0].Subject)
				}
			}
			if k.SelfSigned() {
				t.Error("self-signed in service")
			}
		})
	}
}

func TestChoice(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	ec, key := ecdsaKey(t), ecdsaKey(t)
	byRSA, byEC := root.issue(t, rsaKey(), start, "chat.example"), root.issue(t, ec, start, "chat.example")
	older := root.issue(t, key, start.AddDate(0, 0, -10), "chat.example")
	wild := root.issue(t, ec, start, "*.chat.example", "apex.example")
	exact := root.issue(t, ec, start, "n1.chat.example")
	own := root.issue(t, ec, start, "standard.example")
	dir := t.TempDir()
	place(t, dir, map[string][]byte{
		"x/rsa.pem": slices.Concat(certPEM(byRSA), keyPEM(t, rsaKey())), "x/ec.pem": slices.Concat(certPEM(byEC), keyPEM(t, ec)),
		"older.pem": slices.Concat(certPEM(older), keyPEM(t, key)), "wild.pem": slices.Concat(certPEM(wild), keyPEM(t, ec)),
		"exact.pem": slices.Concat(certPEM(exact), keyPEM(t, ec)),
	})
	other := t.TempDir()
	place(t, other, map[string][]byte{"own.crt": certPEM(own), "own.key": keyPEM(t, ec)})
	k := open(t, t.TempDir(), start, certs.Source{
		CertFile: filepath.Join(other, "own.crt"), KeyFile: filepath.Join(other, "own.key"), Folder: dir,
	})
	rsaOnly := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for name, c := range map[string]struct {
		client *tls.Config
		want   *x509.Certificate
	}{
		"the newest of modern keys":    {&tls.Config{ServerName: "chat.example"}, byEC},
		"a client that knows RSA only": {&tls.Config{ServerName: "chat.example", MaxVersion: tls.VersionTLS12, CipherSuites: rsaOnly}, byRSA},
		"exact before wildcard":        {&tls.Config{ServerName: "n1.chat.example"}, exact},
		"wildcard":                     {&tls.Config{ServerName: "n2.chat.example"}, wild},
		"wildcard for one label only":  {&tls.Config{ServerName: "a.n2.chat.example"}, own},
		"another name of it":           {&tls.Config{ServerName: "apex.example"}, wild},
		"no name":                      {&tls.Config{}, own},
		"a name nobody has":            {&tls.Config{ServerName: "nowhere.example"}, own},
		"its own name":                 {&tls.Config{ServerName: "standard.example"}, own},
	} {
		if got := presented(t, k, c.client)[0]; !got.Equal(c.want) {
			t.Errorf("%s: got %v %v from %v", name, got.DNSNames, got.PublicKeyAlgorithm, got.NotBefore)
		}
	}
	used := map[string][]string{}
	for _, info := range k.List() {
		used[filepath.Base(info.File)] = info.UsedFor
		if info.Standard != (filepath.Base(info.File) == "own.crt") {
			t.Errorf("%s: default %v", info.File, info.Standard)
		}
	}
	if got := used["older.pem"]; len(got) != 0 || len(used["rsa.pem"]) != 1 || len(used["ec.pem"]) != 1 || len(used["wild.pem"]) != 2 {
		t.Errorf("used for %v", used)
	}
}

// TestFolderRefuses shows that what cannot be used is kept out, told once with
// its file, and that the last good one stays.
func TestFolderRefuses(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	middle, stranger := newAuthority(t, "Middle", root), newAuthority(t, "Stranger", nil)
	key := ecdsaKey(t)
	good := middle.issue(t, key, start, "chat.example")
	next := func(from int) *x509.Certificate {
		return middle.issue(t, key, start.AddDate(0, 0, from), "chat.example")
	}
	client := *good
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for name, c := range map[string]struct {
		files map[string][]byte
		file  string
		want  string
	}{
		"key of another": {map[string][]byte{"site.key": keyPEM(t, ecdsaKey(t))}, "site.crt", "no private key beside it is that of the certificate (site.key)"},
		"no key":         {map[string][]byte{"site.key": certPEM(root.cert)}, "site.crt", "no private key beside it"},
		"password":       {map[string][]byte{"site.key": []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")}, "site.key", "has a password"},
		"expired":        {map[string][]byte{"site.crt": certPEM(next(-100), middle.cert)}, "site.crt", "expired at"},
		"not yet valid":  {map[string][]byte{"site.crt": certPEM(next(30), middle.cert)}, "site.crt", "not valid before"},
		"chain broken":   {map[string][]byte{"site.crt": certPEM(next(1), stranger.cert)}, "site.crt", `"CN=chat.example" was issued by "CN=Middle"`},
		"garbage":        {map[string][]byte{"site.crt": []byte("garbage")}, "site.crt", "neither a certificate nor a private key"},
		"cut short":      {map[string][]byte{"site.crt": []byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")}, "site.crt", "certificate 1 of the file"},
		"too large":      {map[string][]byte{"site.crt": make([]byte, 2<<20)}, "site.crt", "at most 1048576 bytes"},
		"for clients":    {map[string][]byte{"site.crt": certPEM(root.sign(t, &client, key))}, "site.crt", "not one for servers"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			place(t, dir, map[string][]byte{"site.crt": certPEM(good, middle.cert), "site.key": keyPEM(t, key)})
			var log record
			k, err := certs.New(certs.Config{
				Source: certs.Source{Folder: dir, Hosts: []string{"chat.example"}}, Dir: t.TempDir(), Now: at(start), Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			place(t, dir, c.files)
			for range 3 {
				if err := k.Reload(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := presented(t, k, &tls.Config{ServerName: "chat.example"})[0]; !got.Equal(good) {
				t.Errorf("in service: %v", got.Subject)
			}
			if log.count("certificate cannot be used") > 2 || log.count("file="+filepath.Join(dir, c.file)+" ") != 1 {
				t.Errorf("log: %s", &log.buf)
			}
			found := slices.ContainsFunc(k.Problems(), func(p certs.Problem) bool {
				return filepath.Base(p.File) == c.file && strings.Contains(p.Err.Error(), c.want)
			})
			if !found {
				t.Errorf("problems %v", k.Problems())
			}
		})
	}
}

// TestFolderWithoutPairs falls back to the self-signed certificate, and leaves it
// when there is a pair.
func TestFolderWithoutPairs(t *testing.T) {
	dir := t.TempDir()
	k := open(t, t.TempDir(), start, certs.Source{Folder: dir, Hosts: []string{"chat.example"}})
	if !k.SelfSigned() {
		t.Error("no self-signed certificate")
	}
	key := ecdsaKey(t)
	place(t, dir, map[string][]byte{"a.pem": slices.Concat(certPEM(newAuthority(t, "Root", nil).issue(t, key, start, "chat.example")), keyPEM(t, key))})
	if err := k.Reload(t.Context()); err != nil || k.SelfSigned() {
		t.Errorf("self-signed %v, err %v", k.SelfSigned(), err)
	}
	if _, err := certs.New(certs.Config{Source: certs.Source{Folder: filepath.Join(dir, "none")}, Dir: t.TempDir(), Log: quiet()}); err == nil || !strings.Contains(err.Error(), "certs.dir") {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(t.Context()); err == nil || k.SelfSigned() {
		t.Errorf("folder gone: err %v, self-signed %v", err, k.SelfSigned())
	}
}

// TestFollowsLinks renews as certbot and Kubernetes do, under Run.
func TestFollowsLinks(t *testing.T) {
	root := newAuthority(t, "Root", nil)
	link := func(t *testing.T, target, name string) {
		t.Helper()
		if err := os.Symlink(target, name+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		put  func(t *testing.T, dir, n string, cert, key []byte)
		file string // for certs.cert_file and key_file instead of the folder
	}{
		"certbot": {func(t *testing.T, dir, n string, cert, key []byte) {
			place(t, dir, map[string][]byte{"archive/chat/cert" + n + ".pem": cert, "archive/chat/key" + n + ".pem": key, "live/chat/README": nil})
			link(t, "../../archive/chat/key"+n+".pem", filepath.Join(dir, "live/chat/privkey.pem"))
			link(t, "../../archive/chat/cert"+n+".pem", filepath.Join(dir, "live/chat/fullchain.pem"))
		}, ""},
		"Kubernetes": {func(t *testing.T, dir, n string, cert, key []byte) {
			place(t, dir, map[string][]byte{"live/..gen" + n + "/tls.crt": cert, "live/..gen" + n + "/tls.key": key})
			link(t, "..gen"+n, filepath.Join(dir, "live/..data"))
			for _, file := range []string{"tls.crt", "tls.key"} {
				link(t, "..data/"+file, filepath.Join(dir, "live", file))
			}
		}, ""},
		"folder swapped, two files": {func(t *testing.T, dir, n string, cert, key []byte) {
			place(t, dir, map[string][]byte{"live/README": nil, "of/" + n + "/tls.crt": cert, "of/" + n + "/tls.key": key})
			link(t, filepath.Join(dir, "of", n), filepath.Join(dir, "current"))
		}, "current"},
		"a new subfolder": {func(t *testing.T, dir, n string, cert, key []byte) {
			place(t, dir, map[string][]byte{"live/" + n + "/a/tls.crt": cert, "live/" + n + "/a/tls.key": key})
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(n string) *x509.Certificate {
				key := ecdsaKey(t)
				leaf := root.issue(t, key, start, "chat.example")
				c.put(t, dir, n, certPEM(leaf), keyPEM(t, key))
				return leaf
			}
			first := put("1")
			s := certs.Source{Folder: filepath.Join(dir, "live"), Hosts: []string{"chat.example"}}
			if c.file != "" {
				s = certs.Source{CertFile: filepath.Join(dir, c.file, "tls.crt"), KeyFile: filepath.Join(dir, c.file, "tls.key")}
			}
			k := open(t, t.TempDir(), start, s)
			if !k.Leaf().Equal(first) {
				t.Fatal("not in service")
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- k.Run(ctx) }()
			for _, n := range []string{"2", "3"} {
				next := put(n)
				eventually(t, "certificate "+n+" in service", func() bool {
					return slices.ContainsFunc(k.List(), func(i certs.Info) bool { return i.SHA256 == certs.Describe(next, start).SHA256 })
				})
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
