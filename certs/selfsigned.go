package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

const (
	// lifetime is the longest that Apple's systems accept.
	lifetime = 825 * 24 * time.Hour
	// renewBefore leaves clients no moment with an expired certificate.
	renewBefore = 7 * 24 * time.Hour
)

// selfSigned loads the pair made earlier, or makes one if there is none, it
// cannot be used, is about to expire, or lacks a name.
func (k *Keeper) selfSigned(hosts []string) (*pair, error) {
	certFile, keyFile := k.cfg.made()
	hosts = allHosts(hosts)
	p, err := loadMade(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	reason := "none yet"
	if p != nil {
		if reason = k.unfit(p, hosts); reason == "" {
			return p, nil
		}
	}
	if err := writeMade(k.cfg, hosts); err != nil {
		return nil, err
	}
	k.cfg.Log.Info("self-signed certificate made", "file", certFile, "reason", reason)
	if p, err = loadMade(certFile, keyFile); err == nil && p == nil {
		err = fmt.Errorf("use self-signed certificate: %s is not what was written", certFile)
	}
	return p, err
}

// made are the files of the self-signed pair.
func (c Config) made() (certFile, keyFile string) {
	dir := filepath.Join(c.Dir, "certs")
	return filepath.Join(dir, "self-signed.crt"), filepath.Join(dir, "self-signed.key")
}

// MakeSelfSigned makes the self-signed pair anew, for a node that has no other
// certificate. One that runs takes it by itself.
func MakeSelfSigned(cfg Config) (Info, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := writeMade(cfg, allHosts(cfg.Hosts)); err != nil {
		return Info{}, err
	}
	certFile, keyFile := cfg.made()
	p, err := loadMade(certFile, keyFile)
	if err != nil || p == nil {
		return Info{}, fmt.Errorf("use self-signed certificate %s: %w", certFile, err)
	}
	info := Describe(p.cert.Leaf, cfg.Now())
	info.File, info.Made = certFile, true
	return info, nil
}

func writeMade(cfg Config, hosts []string) error {
	certPEM, keyPEM, err := SelfSigned(hosts, cfg.Now())
	if err != nil {
		return err
	}
	certFile, keyFile := cfg.made()
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		return fmt.Errorf("keep self-signed certificate: %w", err)
	}
	// A crash between the two leaves a pair that does not match and is made anew.
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return fmt.Errorf("keep self-signed certificate: %w", err)
	}
	if err := writeFile(certFile, certPEM, 0o644); err != nil {
		return fmt.Errorf("keep self-signed certificate: %w", err)
	}
	return nil
}

// loadMade returns nil for a pair that is absent or damaged. Files that cannot
// be read are an error: they may be good.
func loadMade(certFile, keyFile string) (*pair, error) {
	certPEM, err := os.ReadFile(certFile)
	if err == nil {
		var keyPEM []byte
		if keyPEM, err = os.ReadFile(keyFile); err == nil {
			p, damaged := parse(certPEM, keyPEM)
			if damaged != nil {
				return nil, nil
			}
			p.selfSigned, p.file, p.keyFile = true, certFile, keyFile
			return p, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return nil, fmt.Errorf("read self-signed certificate: %w", err)
}

// unfit says why a self-signed pair has to be replaced, "" if it has not.
func (k *Keeper) unfit(p *pair, hosts []string) string {
	now, leaf := k.cfg.Now(), p.cert.Leaf
	if now.Add(renewBefore).After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return "expires"
	}
	have := names(leaf)
	for _, host := range hosts {
		if !slices.Contains(have, host) {
			return "lacks " + host
		}
	}
	return ""
}

// allHosts returns hosts as they stand in a certificate, with the names by
// which the machine calls itself.
func allHosts(hosts []string) []string {
	var list []string
	for _, host := range slices.Concat(hosts, machineHosts()) {
		host = hostname(host)
		if host != "" && !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	return list
}

// machineHosts are the names that any machine has for itself. An authority
// would not certify them.
func machineHosts() []string {
	own, _ := os.Hostname() // a machine without a name has none to certify
	return []string{hostname(own), "localhost", "127.0.0.1", "::1"}
}

// hostname returns a name in its ASCII form, an address in its shortest one,
// "" for what cannot stand in a certificate.
func hostname(host string) string {
	host = strings.TrimSuffix(strings.Trim(strings.TrimSpace(host), "[]"), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return strings.ToLower(host)
}

// SelfSigned makes a certificate for the hosts, names or addresses, and its
// ECDSA P-256 key, both in PEM. It signs nothing but itself.
func SelfSigned(hosts []string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Deskline self-signed"}},
		// Clients whose clock is a little behind should not be turned away.
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(-time.Hour).Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if host = hostname(host); host == "" {
			continue
		}
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
		// X.520 allows 64 characters.
		if template.Subject.CommonName == "" && len(host) <= 64 {
			template.Subject.CommonName = host
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}

// writeFile replaces a file as a whole, never with a wider mode than asked.
func writeFile(name string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
