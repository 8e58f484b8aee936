package certs

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Import is what is to be installed.
type Import struct {
	Certs      []*x509.Certificate // in any order
	Keys       []crypto.Signer     // to look for the right one in, before those of this node
	Roots      []*x509.Certificate // authorities known beside those of the system
	Incomplete bool                // install it though the chain ends at an unknown authority
	Only       bool                // check, do not install
}

// Imported tells what has become of it.
type Imported struct {
	Info
	Notes []string `json:"notes"` // what was put right, and what to see to
}

// Install checks a certificate that an authority has issued and puts it where the
// node reads it: into the two files that are configured, or else into the folder
// of imported ones. A node that runs takes it by itself.
func Install(cfg Config, in Import) (Imported, error) {
	var out Imported
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	leaf, key, file, err := in.keyFor(cfg)
	if err != nil {
		return out, err
	}
	chain := chainOf(leaf, in.Certs)
	if root := chainOf(chain[len(chain)-1], in.Roots); len(root) > 1 {
		chain = append(chain, root[1:]...) // to give to clients that do not know it
	}
	out.Notes = append(out.Notes, in.tellOrder(chain)...)
	if err := in.check(cfg, chain); err != nil {
		return out, err
	}
	p, err := join(chain, key)
	if err != nil {
		return out, err
	}
	for _, host := range cfg.Hosts {
		if host = hostname(host); !slices.Contains(machineHosts(), host) && leaf.VerifyHostname(host) != nil {
			out.Notes = append(out.Notes, "it lacks the name "+host+" of the configuration")
		}
	}
	out.Info = Describe(leaf, cfg.Now())
	out.Chain = len(p.cert.Certificate)
	if in.Only {
		return out, nil
	}
	if out.File, err = put(cfg, p); err != nil {
		return out, err
	}
	if filepath.Dir(file) == cfg.pending() {
		if err := os.Remove(file); err != nil {
			out.Notes = append(out.Notes, fmt.Sprintf("the key is installed, but its pending copy stays: %v", err))
		}
	}
	return out, nil
}

// keyFor finds the certificate of a server among those given, and its key.
func (in Import) keyFor(cfg Config) (*x509.Certificate, crypto.Signer, string, error) {
	if len(in.Certs) == 0 {
		return nil, nil, "", errors.New("there is no certificate in it")
	}
	for _, key := range in.Keys {
		for _, c := range in.Certs {
			if fits(c, key) {
				return c, key, "", nil
			}
		}
	}
	if len(in.Keys) > 0 {
		return nil, nil, "", errors.New("the private key is that of none of the certificates")
	}
	own, err := ownKeys(cfg)
	if err != nil {
		return nil, nil, "", err
	}
	for _, file := range slices.Sorted(maps.Keys(own)) {
		for _, c := range in.Certs {
			if fits(c, own[file]) {
				return c, own[file], file, nil
			}
		}
	}
	return nil, nil, "", fmt.Errorf("this node has no key for %q: name its file with --key, or ask for a certificate with \"deskline cert csr\" on this machine", in.Certs[0].Subject)
}

// ownKeys are the keys of this node by file: those that wait and those in service.
func ownKeys(cfg Config) (map[string]crypto.Signer, error) {
	keys := map[string]crypto.Signer{}
	entries, err := os.ReadDir(cfg.pending())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read pending keys: %w", err)
	}
	for _, entry := range entries {
		file := filepath.Join(cfg.pending(), entry.Name())
		data, err := readFile(file)
		if err != nil {
			return nil, fmt.Errorf("read pending key: %w", err)
		}
		if key, err := privateKey(data); err == nil {
			keys[file] = key
		}
	}
	k, err := inspect(cfg)
	if err != nil {
		return keys, nil // what is there is broken, and about to be replaced
	}
	for _, p := range k.set.Load().all {
		keys[p.keyFile] = p.cert.PrivateKey.(crypto.Signer)
	}
	return keys, nil
}

// tellOrder says what was put right.
func (in Import) tellOrder(chain []*x509.Certificate) (notes []string) {
	if !in.Certs[0].Equal(chain[0]) || linked(in.Certs[:min(len(chain), len(in.Certs))]) != nil {
		notes = append(notes, "the certificates were put in order")
	}
	for _, c := range distinct(in.Certs) {
		if !slices.ContainsFunc(chain, c.Equal) && !issuedBySelf(c) {
			notes = append(notes, fmt.Sprintf("%q does not belong to the chain and was left out", c.Subject))
		}
	}
	return notes
}

// check verifies the chain as a client would.
func (in Import) check(cfg Config, chain []*x509.Certificate) error {
	now := cfg.Now()
	for _, c := range chain {
		if err := inTime(c, now); err != nil {
			return fmt.Errorf("%q %w", c.Subject, err)
		}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, c := range slices.Concat(in.Roots, in.Certs) {
		if issuedBySelf(c) {
			roots.AddCert(c)
		}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		if in.Incomplete {
			return nil
		}
		top := chain[len(chain)-1]
		from := ""
		if len(top.IssuingCertificateURL) > 0 {
			from = ", to be had at " + strings.Join(top.IssuingCertificateURL, " or ")
		}
		return fmt.Errorf("the chain ends at %q; the certificate of its issuer %q is missing%s: add it to the file if it is an intermediate one, "+
			"name it with --ca if it is the root of an authority of your own, or say --incomplete", top.Subject, top.Issuer, from)
	}
	if err != nil {
		return fmt.Errorf("the chain is not valid: %w", err)
	}
	return nil
}

// put writes a pair. In the folder it is one file, so that it is there as a
// whole or not at all.
func put(cfg Config, p *pair) (file string, err error) {
	key, err := encodeKey(p.cert.PrivateKey.(crypto.Signer))
	if err != nil {
		return "", err
	}
	raw := slices.Clone(p.cert.Certificate)
	if p.root != nil && len(raw) > 0 && !p.root.Equal(p.cert.Leaf) {
		raw = append(raw, p.root.Raw)
	}
	chain := encode(raw)
	if cfg.CertFile != "" && cfg.CertFile != cfg.KeyFile {
		if err := replaceFile(cfg.KeyFile, key, 0o600); err != nil {
			return "", fmt.Errorf("write certs.key_file: %w", err)
		}
		if err := replaceFile(cfg.CertFile, chain, 0o644); err != nil {
			return "", fmt.Errorf("write certs.cert_file: %w", err)
		}
		return cfg.CertFile, nil
	}
	if cfg.CertFile != "" {
		return cfg.CertFile, replaceFile(cfg.CertFile, slices.Concat(chain, key), 0o600)
	}
	kind, _, _ := strings.Cut(keyKind(p.cert.Leaf), " ")
	name := p.cert.Leaf.Subject.CommonName
	if list := names(p.cert.Leaf); len(list) > 0 {
		name = list[0]
	}
	file = filepath.Join(cfg.installed(), fileName(strings.ToLower(name))+"-"+strings.ToLower(kind)+".pem")
	if err := writeOwned(cfg, file, slices.Concat(chain, key), 0o600); err != nil {
		return "", fmt.Errorf("keep imported certificate: %w", err)
	}
	return file, nil
}

// replaceFile replaces the file that a name leads to, for the same owner and with
// the mode it had, or a stricter one.
func replaceFile(name string, data []byte, mode fs.FileMode) error {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	info, err := os.Stat(name)
	if err == nil {
		mode = info.Mode().Perm()
	}
	owner := filepath.Dir(name)
	if err == nil {
		// The owner has to be asked before the file is replaced.
		return keepOwner(name, func() error { return writeFile(name, data, mode) })
	}
	if err := writeFile(name, data, mode); err != nil {
		return err
	}
	return likeOwner(name, owner)
}
