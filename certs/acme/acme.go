// Package acme gets certificates from an authority that speaks ACME (RFC 8555),
// such as Let's Encrypt, and renews them in time.
//
//	manager, err := acme.New(acme.Config{Dir: "data/certs/acme", Hosts: []string{"chat.example.com"}, Agree: true, Log: log})
//	go manager.Run(ctx)
//
// It leaves them in files below [Config].Dir, where package certs finds them. The
// authority's questions come to the node's own port: over TLS (RFC 8737), for
// which [Manager.Challenge] has the answer, or by HTTP ([Manager.ServeHTTP]).
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// Protocol is what the authority asks for over TLS.
const Protocol = "acme-tls/1"

// ChallengePath is what it asks for by HTTP.
const ChallengePath = "/.well-known/acme-challenge/"

// Challenges are the ways in which the authority finds out whose a name is.
const (
	TLSALPN = "tls-alpn" // port 443 leads to the node's port
	HTTP    = "http"     // port 80 leads to the node's port
	Any     = "any"      // either does
)

// Config is what a [Manager] needs.
type Config struct {
	Dir       string // what is kept: accounts, keys, certificates
	Directory string // of the authority, an URL
	Email     string // for the authority to write to; "" = none
	Agree     bool   // to the authority's terms
	CAFile    string // PEM, who vouches for the authority's own HTTPS; "" = the system's
	Hosts     []string
	Challenge string
	// Host and Port are where the node listens, so that nothing else is opened
	// there for challenges.
	Host string
	Port int
	// Check is how often certificates are looked at; 0 = every ten minutes.
	Check time.Duration
	Log   *slog.Logger
}

// Manager gets and renews certificates.
type Manager struct {
	cfg    Config
	cache  *certmagic.Cache
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer

	mu     sync.Mutex // guards failed
	failed map[string]error
}

// New returns a manager that does nothing yet.
func New(cfg Config) (*Manager, error) {
	roots, err := trusted(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, failed: map[string]error{}}
	quiet := zap.NewNop() // what matters comes as events
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil },
		RenewCheckInterval: cfg.Check, Logger: quiet,
	})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: cfg.Dir}, OnEvent: m.event, Logger: quiet,
		// Package certs serves, and staples nothing.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	m.issuer = certmagic.NewACMEIssuer(m.magic, certmagic.ACMEIssuer{
		CA: cfg.Directory, TestCA: cfg.Directory, Email: cfg.Email, Agreed: cfg.Agree, TrustedRoots: roots, Logger: quiet,
		DisableHTTPChallenge: cfg.Challenge == TLSALPN, DisableTLSALPNChallenge: cfg.Challenge == HTTP,
		ListenHost: cfg.Host, AltHTTPPort: cfg.Port, AltTLSALPNPort: cfg.Port,
	})
	m.magic.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certs.acme.ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certs.acme.ca_file: %s has no certificate in PEM", file)
	}
	return pool, nil
}

// Certificates is the folder in which they are.
func Certificates(dir string) string { return filepath.Join(dir, "certificates") }

// Run gets what is missing and renews what is about to expire until ctx ends. It
// tries again by itself, ever more seldom, when the authority refuses.
func (m *Manager) Run(ctx context.Context) error {
	defer m.cache.Stop()
	if err := m.magic.ManageAsync(ctx, m.cfg.Hosts); err != nil && ctx.Err() == nil {
		m.cfg.Log.Error("ACME: certificates are not looked after", "err", err)
	}
	<-ctx.Done()
	return nil
}

// event logs and remembers what has become of a certificate.
func (m *Manager) event(ctx context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	renewal, _ := data["renewal"].(bool)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch event {
	case "cert_obtaining":
		m.cfg.Log.InfoContext(ctx, "ACME: asking for a certificate", "name", name, "renewal", renewal)
	case "cert_obtained":
		delete(m.failed, name)
		m.cfg.Log.InfoContext(ctx, "ACME: certificate obtained", "name", name, "renewal", renewal)
	case "cert_failed":
		err, _ := data["error"].(error)
		if err == nil {
			err = errors.New("no reason given")
		}
		m.failed[name] = err
		m.cfg.Log.ErrorContext(ctx, "ACME: no certificate, it is tried again later", "name", name, "renewal", renewal, "err", err)
	}
	return nil
}

// Failed returns why there is no certificate, or no new one, by name.
func (m *Manager) Failed() map[string]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]error, len(m.failed))
	for name, err := range m.failed {
		out[name] = err
	}
	return out
}

// Asks reports whether a handshake is the authority's question.
func Asks(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && slices.Contains(hello.SupportedProtos, Protocol)
}

// Challenge is for tls.Config.GetCertificate, for handshakes that ask.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if m.cfg.Challenge == HTTP {
		return nil, errors.New("the TLS challenge is turned off")
	}
	return m.magic.GetCertificate(hello)
}

// ServeHTTP answers the authority's question by HTTP.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !m.issuer.HandleHTTPChallenge(w, r) {
		http.NotFound(w, r)
	}
}

// Reach asks the authority for its directory.
func Reach(ctx context.Context, cfg Config) error {
	roots, err := trusted(cfg.CAFile)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Directory, nil)
	if err != nil {
		return fmt.Errorf("certs.acme.directory: %w", err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	}}
	res, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("certs.acme.directory: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || !strings.Contains(res.Header.Get("Content-Type"), "json") {
		return fmt.Errorf("certs.acme.directory: %s answers %s and no directory of ACME", cfg.Directory, res.Status)
	}
	return nil
}
