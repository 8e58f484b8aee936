package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxChain bounds the certificates read from one file.
const maxChain = 100

// pair is a certificate ready for handshakes.
type pair struct {
	cert       tls.Certificate // has its Leaf
	content    [sha256.Size]byte
	file       string // of the certificate, as it is named to people
	keyFile    string
	selfSigned bool              // made here
	root       *x509.Certificate // what a client has to trust, if it is known; not sent
}

func (p *pair) inTime(now time.Time) error { return inTime(p.cert.Leaf, now) }

func inTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// parse checks that the key belongs to the leaf and each certificate of the
// chain has signed the one before it, which clients without a cache insist on.
func parse(certPEM, keyPEM []byte) (*pair, error) {
	list, err := certificates(certPEM)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("it has no certificate")
	}
	key, err := privateKey(keyPEM)
	if err != nil {
		return nil, err
	}
	return join(list, key)
}

// join makes a pair of a chain, its leaf first, and a key.
func join(list []*x509.Certificate, key crypto.Signer) (*pair, error) {
	if !fits(list[0], key) {
		return nil, errors.New("the private key is not that of the certificate")
	}
	if usage := list[0].ExtKeyUsage; len(usage) > 0 && !slices.Contains(usage, x509.ExtKeyUsageServerAuth) && !slices.Contains(usage, x509.ExtKeyUsageAny) {
		return nil, errors.New("the certificate is not one for servers (its extended key usage lacks serverAuth)")
	}
	if err := linked(list); err != nil {
		return nil, err
	}
	p := &pair{cert: tls.Certificate{PrivateKey: key, Leaf: list[0]}}
	// Clients have the root or do not believe it (RFC 8446 §4.4.2).
	if last := list[len(list)-1]; issuedBySelf(last) {
		p.root, list = last, list[:max(1, len(list)-1)]
	}
	h := sha256.New()
	for _, c := range list {
		p.cert.Certificate = append(p.cert.Certificate, c.Raw)
		h.Write(c.Raw)
	}
	h.Sum(p.content[:0])
	return p, nil
}

// linked checks that each certificate was signed by the one behind it.
func linked(list []*x509.Certificate) error {
	for i, parent := range list[1:] {
		child := list[i]
		if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
			return fmt.Errorf("certificate %d of the chain is of %q, but %q was issued by %q",
				i+2, parent.Subject, child.Subject, child.Issuer)
		}
		if err := child.CheckSignatureFrom(parent); err != nil {
			return fmt.Errorf("certificate %d of the chain has not signed the one before it: %w", i+2, err)
		}
	}
	return nil
}

func fits(c *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// certificates returns the certificates of a PEM file, in its order. What else
// it has, such as a key, is passed over.
func certificates(data []byte) (list []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the file: %w", len(list)+1, err)
		}
		if list = append(list, c); len(list) > maxChain {
			return nil, fmt.Errorf("it has more than %d certificates", maxChain)
		}
	}
	return list, nil
}

var errNoKey = errors.New("it has no private key")

// privateKey returns the first private key of a PEM file. Files of certificates
// may be in front of it, and the parameters of a curve.
func privateKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, errors.New("the private key has a password; remove it: openssl pkey -in KEY -out NEW")
		case block.Type == "PRIVATE KEY" || strings.HasSuffix(block.Type, " PRIVATE KEY"):
			return parseKey(block.Bytes)
		}
	}
	return nil, errNoKey
}

func parseKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if signer, ok := key.(crypto.Signer); ok {
		return signer, nil
	}
	return nil, errors.New("the private key is of a kind that TLS does not use")
}

// keyKind names a public key as people do.
func keyKind(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
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
