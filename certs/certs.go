// Package certs keeps the TLS certificate of a node: the pair of files the
// administrator names, or a self-signed one made at the first start, so that a
// new node speaks TLS without being told anything.
//
//	keeper, err := certs.New(certs.Config{Dir: "data", Source: certs.Source{Hosts: []string{"example.com"}}, Log: log})
//	listener := tls.NewListener(l, keeper.TLSConfig(tls.VersionTLS12))
//	go keeper.Run(ctx) // follows changes of the files
//
// A handshake takes the certificate of the moment; connections that stand keep
// theirs. A new pair that cannot be used changes nothing but the log: the last
// good one stays in service.
package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Source says where the certificate comes from. It can change while running.
type Source struct {
	CertFile string   // PEM, the leaf first and its chain behind it; "" = self-signed
	KeyFile  string   // PEM
	Hosts    []string // names and addresses clients use; a self-signed certificate has all of them
}

// Config is what a [Keeper] needs.
type Config struct {
	Source
	Dir string           // a self-signed pair is kept in its folder "certs"
	Now func() time.Time // nil = time.Now
	Log *slog.Logger
}

// Keeper holds the certificate in service.
type Keeper struct {
	cfg  Config
	pair atomic.Pointer[pair]

	mu     sync.Mutex // guards below; held while files are read
	source Source
	tried  [sha256.Size]byte // the content that was last refused, so that it is told once
}

// pair is a certificate ready for handshakes.
type pair struct {
	cert       tls.Certificate
	content    [sha256.Size]byte
	selfSigned bool
}

// New loads the certificate or, if no files are named, loads or makes the
// self-signed one. Files that are named and cannot be used are an error.
func New(cfg Config) (*Keeper, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keeper{cfg: cfg, source: cfg.Source}
	p, err := k.load(cfg.Source)
	if err != nil {
		return nil, err
	}
	// A node with an old certificate is of more use than none.
	if err := k.inTime(p); err != nil {
		cfg.Log.Warn("certificate is not valid now", "file", cfg.CertFile, "err", err)
	}
	k.serve(p, cfg.Hosts)
	return k, nil
}

// Reload reads the files again. On an error the certificate in service stays.
func (k *Keeper) Reload(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reload(ctx, k.source)
}

// SetSource reads the certificate from another source. On an error nothing
// changes.
func (k *Keeper) SetSource(ctx context.Context, s Source) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.reload(ctx, s); err != nil {
		return err
	}
	k.source = s
	return nil
}

func (k *Keeper) reload(ctx context.Context, s Source) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := k.load(s)
	if err != nil {
		return err
	}
	old := k.pair.Load()
	if old.content == p.content {
		return nil
	}
	if err := k.inTime(p); err != nil {
		return fmt.Errorf("certificate %s: %w", s.CertFile, err)
	}
	k.serve(p, s.Hosts)
	return nil
}

// serve puts p into service and says so.
func (k *Keeper) serve(p *pair, hosts []string) {
	k.pair.Store(p)
	leaf := p.cert.Leaf
	k.cfg.Log.Info("certificate in service", "subject", leaf.Subject.CommonName, "names", strings.Join(names(leaf), " "),
		"until", leaf.NotAfter.UTC().Format(time.RFC3339), "sha256", fingerprint(leaf), "self_signed", p.selfSigned)
	own := machineHosts()
	for _, host := range hosts {
		if !slices.Contains(own, hostname(host)) && leaf.VerifyHostname(hostname(host)) != nil {
			k.cfg.Log.Warn("certificate lacks a name that clients use", "name", host)
		}
	}
}

func (k *Keeper) inTime(p *pair) error {
	now, leaf := k.cfg.Now(), p.cert.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

func (k *Keeper) load(s Source) (*pair, error) {
	switch {
	case s.CertFile == "" && s.KeyFile == "":
		return k.selfSigned(s.Hosts)
	case s.CertFile == "":
		return nil, errors.New("certs.key_file is set, certs.cert_file is not")
	case s.KeyFile == "":
		return nil, errors.New("certs.cert_file is set, certs.key_file is not")
	}
	certPEM, err := os.ReadFile(s.CertFile)
	if err != nil {
		return nil, fmt.Errorf("read certs.cert_file: %w", err)
	}
	keyPEM, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read certs.key_file: %w", err)
	}
	p, err := parse(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("use certificate %s with key %s: %w", s.CertFile, s.KeyFile, err)
	}
	return p, nil
}

// parse checks that the key belongs to the leaf and each certificate of the
// chain has signed the one before it, which clients without a cache insist on.
func parse(certPEM, keyPEM []byte) (*pair, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	child := cert.Leaf
	for i, der := range cert.Certificate[1:] {
		parent, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i+2, err)
		}
		if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
			return nil, fmt.Errorf("certificate %d of the chain is of %q, but %q was issued by %q",
				i+2, parent.Subject, child.Subject, child.Issuer)
		}
		child = parent
	}
	return &pair{cert: cert, content: contentOf(certPEM, keyPEM)}, nil
}

func contentOf(certPEM, keyPEM []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(certPEM)
	h.Write([]byte{0})
	h.Write(keyPEM)
	h.Sum(sum[:0])
	return sum
}

// GetCertificate is for tls.Config: the certificate of the moment.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &k.pair.Load().cert, nil
}

// TLSConfig returns a configuration for servers of HTTP/1.1. Minimum is a
// tls.VersionTLS… constant, 0 means TLS 1.2.
func (k *Keeper) TLSConfig(minimum uint16) *tls.Config {
	if minimum == 0 {
		minimum = tls.VersionTLS12
	}
	return &tls.Config{MinVersion: minimum, GetCertificate: k.GetCertificate, NextProtos: []string{"http/1.1"}}
}

// Leaf returns the certificate in service.
func (k *Keeper) Leaf() *x509.Certificate { return k.pair.Load().cert.Leaf }

// NotAfter returns when the certificate in service expires.
func (k *Keeper) NotAfter() time.Time { return k.Leaf().NotAfter }

// Fingerprint returns the SHA-256 of the certificate in service as browsers
// show it: AB:CD:…
func (k *Keeper) Fingerprint() string { return fingerprint(k.Leaf()) }

// SelfSigned reports whether the certificate in service is one made here.
func (k *Keeper) SelfSigned() bool { return k.pair.Load().selfSigned }

// PEM returns the certificate in service and its chain, without the key.
func (k *Keeper) PEM() []byte {
	var out []byte
	for _, der := range k.pair.Load().cert.Certificate {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func fingerprint(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.Raw)
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	var b strings.Builder
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

func names(leaf *x509.Certificate) []string {
	list := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}
