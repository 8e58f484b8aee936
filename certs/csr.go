package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Request is what an authority is asked for.
type Request struct {
	Hosts        []string // names and addresses, at least one
	Organization string   // "" = none
	RSA          bool     // a key of 3072 bits for authorities or clients that know no other; else ECDSA P-256
	Present      bool     // the key in service instead of a new one
}

// Asked is a request made.
type Asked struct {
	PEM     []byte // PKCS #10 (RFC 2986)
	Names   []string
	KeyFile string // where the key waits for the certificate, or stays
}

// pending is the folder of keys that wait for their certificates.
func (c Config) pending() string { return filepath.Join(c.Dir, "certs", "pending") }

// Ask makes a request for a certificate. A new key is kept on this machine until
// the certificate is imported, and is never shown.
func Ask(cfg Config, r Request) (Asked, error) {
	template := &x509.CertificateRequest{}
	if r.Organization != "" {
		template.Subject.Organization = []string{r.Organization}
	}
	var a Asked
	for _, host := range r.Hosts {
		if hostname(host) == "" && !strings.HasPrefix(host, "*.") {
			return a, fmt.Errorf("%q is neither a name nor an address", host)
		}
		host = hostname(host)
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
		a.Names = append(a.Names, host)
	}
	if len(a.Names) == 0 {
		return a, errors.New("no name to ask a certificate for")
	}
	if len(a.Names[0]) <= 64 { // X.520
		template.Subject.CommonName = a.Names[0]
	}
	key, file, err := requestKey(cfg, r, a.Names[0])
	if err != nil {
		return a, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return a, fmt.Errorf("make certificate request: %w", err)
	}
	a.PEM, a.KeyFile = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), file
	return a, nil
}

// requestKey returns the key in service, or makes one and keeps it.
func requestKey(cfg Config, r Request, name string) (key crypto.Signer, file string, err error) {
	if r.Present {
		k, err := inspect(cfg)
		if err != nil {
			return nil, "", err
		}
		list := k.set.Load().standard
		if len(list) == 0 {
			return nil, "", errors.New("there is no certificate yet whose key could be taken")
		}
		return list[0].cert.PrivateKey.(crypto.Signer), list[0].keyFile, nil
	}
	if r.RSA {
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, "", fmt.Errorf("make key: %w", err)
	}
	sum := sha256.Sum256(public)
	file = filepath.Join(cfg.pending(), fileName(name)+"-"+hex.EncodeToString(sum[:4])+".key")
	text, err := encodeKey(key)
	if err != nil {
		return nil, "", err
	}
	if err := writeOwned(cfg, file, text, 0o600); err != nil {
		return nil, "", fmt.Errorf("keep key: %w", err)
	}
	return key, file, nil
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// fileName makes a name that any file system takes.
func fileName(host string) string {
	host = strings.Replace(host, "*", "_", 1)
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, host)
}

// writeOwned writes a file below the folder of certificates for the one who has
// the data folder: the command may be root's, the node is not.
func writeOwned(cfg Config, file string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeFile(file, data, mode); err != nil {
		return err
	}
	for _, path := range []string{filepath.Dir(dir), dir, file} {
		if err := likeOwner(path, cfg.Dir); err != nil {
			return err
		}
	}
	return nil
}
