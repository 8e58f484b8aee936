// Package certs keeps the TLS certificates of a node: the pair of files the
// administrator names, a folder of pairs for several names, or a self-signed one
// made at the first start, so that a new node speaks TLS without being told
// anything.
//
//	keeper, err := certs.New(certs.Config{Dir: "data", Source: certs.Source{Hosts: []string{"example.com"}}, Log: log})
//	listener := tls.NewListener(l, keeper.TLSConfig(tls.VersionTLS12))
//	go keeper.Run(ctx) // follows changes of the files
//
// A handshake takes the certificate of the moment that fits the name the client
// asks for (RFC 6066 §3) and what it can verify; connections that stand keep
// theirs. A new pair that cannot be used changes nothing but the log: the last
// good one of that file stays in service.
package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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

// Source says where the certificates come from. It can change while running.
type Source struct {
	CertFile string   // PEM, the leaf first and its chain behind it; "" = none
	KeyFile  string   // PEM
	Folder   string   // of further pairs, in subfolders too; "" = none
	Hosts    []string // names and addresses clients use; a self-signed certificate has all of them
}

// Config is what a [Keeper] needs.
type Config struct {
	Source
	Dir string // what is made and imported is kept in its folder "certs"
	// Challenge, if not nil, answers handshakes in which an authority asks whose a
	// name is; false from Asks leaves a handshake to the certificates.
	Challenge func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Asks      func(*tls.ClientHelloInfo) bool
	Protocols []string         // of ALPN, beside HTTP/1.1
	Now       func() time.Time // nil = time.Now
	Log       *slog.Logger
}

// Keeper holds the certificates in service.
type Keeper struct {
	cfg Config
	set atomic.Pointer[set]

	mu     sync.Mutex // guards below; held while files are read
	source Source
	own    *pair             // of the two files, or self-signed; nil if the folder has enough
	found  map[string]*pair  // the last good one of each file of the folder
	bad    []Problem         // what the folder has that cannot be used
	told   map[string]string // complaints by file, so that each is made once
	tried  [sha256.Size]byte // the content that was last refused, so that it is told once
	warned map[string]warned // by fingerprint
}

// New loads the certificates or, if none are named, loads or makes the
// self-signed one. Files that are named and cannot be used are an error; in the
// folder they are left out.
func New(cfg Config) (*Keeper, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keeper{cfg: cfg, source: cfg.Source, told: map[string]string{}, warned: map[string]warned{}}
	for _, dir := range k.cfg.kept() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("keep certificates: %w", err)
		}
	}
	found, bad, err := k.loadFolders(cfg.Folder, nil)
	if err != nil {
		return nil, err
	}
	own, err := k.loadOwn(cfg.Source, len(found) > 0)
	if err != nil {
		return nil, err
	}
	if own != nil {
		// A node with an old certificate is of more use than none.
		if err := k.inTime(own); err != nil {
			cfg.Log.Warn("certificate is not valid now", "file", cfg.CertFile, "err", err)
		}
	}
	k.serve(cfg.Source, own, found, bad)
	return k, nil
}

// Reload reads the files again. On an error the certificates in service stay.
func (k *Keeper) Reload(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reload(ctx, k.source)
}

// SetSource reads the certificates from another source. On an error nothing
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
	last := k.found
	found, bad, err := k.loadFolders(s.Folder, last)
	if err != nil {
		return err
	}
	own, err := k.loadOwn(s, len(found) > 0)
	if err == nil && own != nil && (k.own == nil || own.content != k.own.content) {
		if err = k.inTime(own); err != nil {
			err = fmt.Errorf("certificate %s: %w", s.CertFile, err)
		}
	}
	if err != nil {
		// One broken pair does not keep back those of the folder.
		if s.Folder == k.source.Folder && k.own != nil {
			k.serve(k.source, k.own, found, bad)
		}
		return err
	}
	k.serve(s, own, found, bad)
	return nil
}

// serve puts pairs into service and says what is new.
func (k *Keeper) serve(s Source, own *pair, found map[string]*pair, bad []Problem) {
	before := k.set.Load()
	k.own, k.found, k.bad = own, found, bad
	k.complain()
	next := newSet(own, found, s.Hosts, k.cfg.Now())
	k.set.Store(next)
	changed := before == nil
	for _, p := range next.all {
		if before != nil && before.has(p) {
			continue
		}
		changed = true
		leaf := p.cert.Leaf
		k.cfg.Log.Info("certificate in service", "subject", leaf.Subject.CommonName, "names", strings.Join(names(leaf), " "),
			"until", leaf.NotAfter.UTC().Format(time.RFC3339), "sha256", fingerprint(leaf), "self_signed", p.selfSigned)
	}
	if !changed {
		return
	}
	for _, host := range s.Hosts {
		if host = hostname(host); !slices.Contains(machineHosts(), host) && !next.covers(host) {
			k.cfg.Log.Warn("certificate lacks a name that clients use", "name", host)
		}
	}
}

func (k *Keeper) inTime(p *pair) error { return p.inTime(k.cfg.Now()) }

// loadOwn loads the pair of the two files. Without them it is the self-signed
// one, or none if there are others.
func (k *Keeper) loadOwn(s Source, others bool) (*pair, error) {
	switch {
	case s.CertFile == "" && s.KeyFile == "" && others:
		return nil, nil
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
	p.file, p.keyFile = s.CertFile, s.KeyFile
	return p, nil
}

// Leaf returns the certificate in service for clients that name no host.
func (k *Keeper) Leaf() *x509.Certificate { return k.set.Load().standard[0].cert.Leaf }

// NotAfter returns when that certificate expires.
func (k *Keeper) NotAfter() time.Time { return k.Leaf().NotAfter }

// Fingerprint returns the SHA-256 of that certificate as browsers show it:
// AB:CD:…
func (k *Keeper) Fingerprint() string { return fingerprint(k.Leaf()) }

// SelfSigned reports whether that certificate is one made here.
func (k *Keeper) SelfSigned() bool { return k.set.Load().standard[0].selfSigned }

// PEM returns that certificate and its chain, without the key.
func (k *Keeper) PEM() []byte { return encode(k.set.Load().standard[0].cert.Certificate) }

// Served is what clients that ask for a host get.
type Served struct {
	Info
	Chain  []byte            // PEM, as it is sent
	Anchor *x509.Certificate // what a client has to trust
	Root   bool              // Anchor is the end of the chain; else the nearest to it that is known
}

// For returns what clients that ask for a host get.
func (k *Keeper) For(host string) Served {
	s := k.set.Load()
	list := s.of(hostname(host))
	if len(list) == 0 {
		list = s.standard
	}
	p := list[0]
	out := Served{Info: Describe(p.cert.Leaf, k.cfg.Now()), Chain: encode(p.cert.Certificate), Anchor: p.root, Root: p.root != nil}
	out.Made = p.selfSigned
	if !out.Root {
		last := p.cert.Certificate[len(p.cert.Certificate)-1]
		out.Anchor, _ = x509.ParseCertificate(last) // was parsed before
	}
	return out
}

func encode(chain [][]byte) (out []byte) {
	for _, der := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}
