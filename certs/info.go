package certs

import (
	"crypto/x509"
	"log/slog"
	"slices"
	"time"
)

// Info is what people want to know of a certificate.
type Info struct {
	File       string    `json:"file"`
	Names      []string  `json:"names"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	DaysLeft   int       `json:"days_left"`
	SHA256     string    `json:"sha256"` // AB:CD:…
	Key        string    `json:"key"`    // such as ECDSA P-256
	Chain      int       `json:"chain"`  // certificates, with its own
	SelfSigned bool      `json:"self_signed"`
	Made       bool      `json:"made_here"`
	Standard   bool      `json:"default"`  // for clients that name no host, or one that no certificate has
	UsedFor    []string  `json:"used_for"` // names for which clients get it
}

// List returns all certificates in service and what for.
func (k *Keeper) List() []Info {
	s := k.set.Load()
	now := k.cfg.Now()
	list := make([]Info, 0, len(s.all))
	for _, p := range s.all {
		info := Describe(p.cert.Leaf, now)
		info.File, info.Chain, info.Made = p.file, len(p.cert.Certificate), p.selfSigned
		info.Standard = inUse(p, s.standard)
		for _, name := range p.cert.Leaf.DNSNames {
			// A wildcard stands for what no certificate has by name.
			name = hostname(name)
			byName := s.exact[name]
			if len(name) > 2 && name[:2] == "*." {
				byName = s.wild[name[2:]]
			}
			if inUse(p, byName) {
				info.UsedFor = append(info.UsedFor, name)
			}
		}
		list = append(list, info)
	}
	return list
}

// inUse reports whether some client gets p of the list: it is the first, or the
// first with a key of its kind.
func inUse(p *pair, list []*pair) bool {
	kind := func(other *pair) bool {
		return other.cert.Leaf.PublicKeyAlgorithm == p.cert.Leaf.PublicKeyAlgorithm
	}
	i := slices.IndexFunc(list, kind)
	return i >= 0 && list[i] == p
}

// Describe tells about a certificate that may be in service nowhere.
func Describe(leaf *x509.Certificate, now time.Time) Info {
	return Info{
		Names: names(leaf), Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		DaysLeft: daysLeft(leaf.NotAfter, now), SHA256: fingerprint(leaf), Key: keyKind(leaf), Chain: 1, SelfSigned: issuedBySelf(leaf),
	}
}

// Inspect returns what a node with this configuration would have in service, and
// what it cannot use, without making or logging anything. With no certificate at
// all the list is empty: the node would make one.
func Inspect(cfg Config) ([]Info, []Problem, error) {
	k, err := inspect(cfg)
	if err != nil {
		return nil, nil, err
	}
	return k.List(), k.bad, nil
}

func inspect(cfg Config) (*Keeper, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	k := &Keeper{cfg: cfg, told: map[string]string{}}
	found, bad, err := k.loadFolders(cfg.Folder, nil)
	if err != nil {
		return nil, err
	}
	var own *pair
	if cfg.CertFile == "" && cfg.KeyFile == "" {
		if len(found) == 0 {
			own, err = loadMade(cfg.made())
		}
	} else {
		own, err = k.loadOwn(cfg.Source, true)
	}
	if err != nil {
		return nil, err
	}
	k.bad = bad
	k.set.Store(newSet(own, found, cfg.Hosts, cfg.Now()))
	return k, nil
}
