package certs

import (
	"bytes"
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
)

// Problem is a file of the folder that cannot be used.
type Problem struct {
	File string
	Err  error
	Kept bool // the last good certificate of this file is still in service
}

// installed is the folder of what was imported.
func (c Config) installed() string { return filepath.Join(c.Dir, "certs", "imported") }

// ACME is the folder of package certs/acme; certificates are in one below.
func (c Config) ACME() string { return filepath.Join(c.Dir, "certs", "acme") }

// kept are the folders of what was imported and of what an authority renews.
func (c Config) kept() []string {
	return []string{c.installed(), filepath.Join(c.ACME(), "certificates")}
}

// loadFolders reads all pairs below a folder and of those that were imported,
// whatever their names: a key belongs to the certificates beside it that have its
// public key. Last has the good ones from before; what has become bad keeps its
// last good one.
func (k *Keeper) loadFolders(root string, last map[string]*pair) (map[string]*pair, []Problem, error) {
	w := walker{seen: map[string]bool{}}
	for _, dir := range k.cfg.kept() {
		if err := w.visit(dir, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("read certificates: %w", err)
		}
	}
	if root != "" {
		if err := w.visit(root, 0); err != nil {
			return nil, nil, fmt.Errorf("read certs.dir: %w", err)
		}
	}
	found := map[string]*pair{}
	bad := w.bad
	for _, p := range w.bad {
		for file, old := range last { // a subfolder that cannot be read keeps all
			if strings.HasPrefix(file, p.File+string(filepath.Separator)) {
				found[file] = old
			}
		}
	}
	for _, files := range w.folders {
		good, wrong := readPairs(files)
		bad = append(bad, wrong...)
		for _, p := range good {
			old := last[p.file]
			if err := p.inTime(k.cfg.Now()); err != nil && (old == nil || old.content != p.content) {
				bad = append(bad, Problem{File: p.file, Err: err})
				continue
			}
			found[p.file] = p
		}
	}
	for i, p := range bad {
		if old := last[p.File]; old != nil {
			found[p.File], bad[i].Kept = old, true
		}
	}
	dropShorter(found)
	return found, bad, nil
}

// dropShorter leaves one of files with the same certificate, such as certbot's
// cert.pem and fullchain.pem: that with the longest chain.
func dropShorter(found map[string]*pair) {
	best := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(found)) {
		leaf := string(found[file].cert.Leaf.Raw)
		other, ok := best[leaf]
		switch {
		case !ok:
			best[leaf] = file
		case len(found[other].cert.Certificate) < len(found[file].cert.Certificate):
			best[leaf] = file
			delete(found, other)
		default:
			delete(found, file)
		}
	}
}

// material is what one file has.
type material struct {
	file  string
	certs []*x509.Certificate
	key   crypto.Signer // nil = none
}

// readPairs makes pairs of the files of one folder.
func readPairs(files []string) (good []*pair, bad []Problem) {
	var all []material
	for _, file := range files {
		m, err := readMaterial(file)
		if err != nil {
			bad = append(bad, Problem{File: file, Err: err})
			continue
		}
		all = append(all, m)
	}
	for _, m := range all {
		p, err := m.pair(all)
		switch {
		case err != nil:
			bad = append(bad, Problem{File: m.file, Err: err})
		case p != nil:
			good = append(good, p)
		}
	}
	return good, bad
}

func readMaterial(file string) (material, error) {
	m := material{file: file}
	data, err := readFile(file)
	if err != nil {
		return m, err
	}
	if m.certs, err = certificates(data); err != nil {
		return m, err
	}
	if m.key, err = privateKey(data); err != nil && !errors.Is(err, errNoKey) {
		return m, err
	}
	if len(m.certs) == 0 && m.key == nil {
		return m, errors.New("it has neither a certificate nor a private key in PEM")
	}
	return m, nil
}

// pair joins the certificates of a file and the key to it, which is in the file
// or beside it. It returns nil for what is no server's: a key, an authority.
func (m material) pair(all []material) (*pair, error) {
	if len(m.certs) == 0 {
		return nil, nil
	}
	for _, other := range append([]material{m}, all...) {
		if other.key == nil {
			continue
		}
		for _, c := range m.certs {
			if fits(c, other.key) {
				return m.complete(c, other, all)
			}
		}
	}
	leaf := m.certs[0]
	if leaf.IsCA && m.key == nil {
		return nil, nil
	}
	var keys []string
	for _, other := range all {
		if other.key != nil {
			keys = append(keys, filepath.Base(other.file))
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no private key beside it")
	}
	return nil, fmt.Errorf("no private key beside it is that of the certificate (%s)", strings.Join(keys, ", "))
}

// complete puts the chain of a leaf into order and takes what lacks from the
// files beside it, such as certbot's chain.pem.
func (m material) complete(leaf *x509.Certificate, key material, all []material) (*pair, error) {
	chain := chainOf(leaf, m.certs)
	if len(chain) < len(distinct(m.certs)) {
		// It says what is wrong with the order of the file.
		if err := linked(m.certs); err != nil {
			return nil, err
		}
		return nil, errors.New("the chain has certificates that do not belong to it")
	}
	var beside []*x509.Certificate
	for _, other := range all {
		beside = append(beside, other.certs...)
	}
	chain = append(chain, chainOf(chain[len(chain)-1], beside)[1:]...)
	p, err := join(chain, key.key)
	if err != nil {
		return nil, err
	}
	p.file, p.keyFile = m.file, key.file
	return p, nil
}

// chainOf returns a certificate and, of the others, those above it in order.
func chainOf(leaf *x509.Certificate, others []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for len(chain) <= maxChain {
		child := chain[len(chain)-1]
		i := slices.IndexFunc(others, func(c *x509.Certificate) bool {
			return !issuedBySelf(child) && bytes.Equal(c.RawSubject, child.RawIssuer) && !c.Equal(child) && child.CheckSignatureFrom(c) == nil
		})
		if i < 0 || slices.ContainsFunc(chain, others[i].Equal) {
			break
		}
		chain = append(chain, others[i])
	}
	return chain
}

func distinct(list []*x509.Certificate) (out []*x509.Certificate) {
	for _, c := range list {
		if !slices.ContainsFunc(out, c.Equal) {
			out = append(out, c)
		}
	}
	return out
}

// complain logs each problem of the folder once.
func (k *Keeper) complain() {
	told := map[string]string{}
	for _, p := range k.bad {
		text := p.Err.Error()
		told[p.File] = text
		if k.told[p.File] != text {
			k.cfg.Log.Error("certificate cannot be used", "file", p.File, "err", text, "last_good_one_stays", p.Kept)
		}
	}
	k.told = told
}

// Problems returns the files of the folder that cannot be used.
func (k *Keeper) Problems() []Problem {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.bad)
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("it is no file of at most %d bytes", maxFile)
	}
	return os.ReadFile(name)
}
