package certs

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// set is all pairs in service, ready to choose from. It is never changed.
type set struct {
	all      []*pair
	standard []*pair            // for clients that name no host, or one that no pair has; at least one
	exact    map[string][]*pair // by name, the best first
	wild     map[string][]*pair // by what stands behind "*."
}

// newSet sorts pairs by the names they have. Own may be nil if there are others.
func newSet(own *pair, found map[string]*pair, hosts []string, now time.Time) *set {
	s := &set{exact: map[string][]*pair{}, wild: map[string][]*pair{}}
	if own != nil {
		s.all = append(s.all, own)
	}
	files := make([]string, 0, len(found))
	for file := range found {
		files = append(files, file)
	}
	slices.Sort(files)
	for _, file := range files {
		if !s.has(found[file]) {
			s.all = append(s.all, found[file])
		}
	}
	for _, p := range s.all {
		for _, name := range p.cert.Leaf.DNSNames {
			name = hostname(name)
			if parent, ok := strings.CutPrefix(name, "*."); ok {
				s.wild[parent] = append(s.wild[parent], p)
			} else if name != "" {
				s.exact[name] = append(s.exact[name], p)
			}
		}
	}
	for _, byName := range []map[string][]*pair{s.exact, s.wild} {
		for _, list := range byName {
			slices.SortStableFunc(list, func(a, b *pair) int { return prefer(a, b, now) })
		}
	}
	s.standard = s.chooseStandard(own, hosts, now)
	return s
}

// chooseStandard takes the pair of the two files; else that of the first host
// that has one, with its like for other clients; else the first there is.
func (s *set) chooseStandard(own *pair, hosts []string, now time.Time) []*pair {
	if own != nil {
		return []*pair{own}
	}
	for _, host := range hosts {
		if list := s.of(hostname(host)); len(list) > 0 {
			return list
		}
	}
	list := slices.Clone(s.all)
	slices.SortStableFunc(list, func(a, b *pair) int { return prefer(a, b, now) })
	return list[:min(1, len(list))]
}

// of returns the pairs for a host, the best first.
func (s *set) of(host string) []*pair {
	if list := s.exact[host]; len(list) > 0 {
		return list
	}
	if _, parent, ok := strings.Cut(host, "."); ok {
		return s.wild[parent]
	}
	return nil
}

func (s *set) has(p *pair) bool {
	return slices.ContainsFunc(s.all, func(other *pair) bool { return other.content == p.content })
}

func (s *set) covers(host string) bool {
	return slices.ContainsFunc(s.all, func(p *pair) bool { return p.cert.Leaf.VerifyHostname(host) == nil })
}

// prefer puts the better of two pairs for the same name first: valid, from an
// authority, with a key that costs less, and then the newer one.
func prefer(a, b *pair, now time.Time) int {
	for _, worse := range []func(*pair) bool{
		func(p *pair) bool { return p.inTime(now) != nil },
		func(p *pair) bool { return issuedBySelf(p.cert.Leaf) },
		func(p *pair) bool { return p.cert.Leaf.PublicKeyAlgorithm == x509.RSA },
	} {
		switch wa, wb := worse(a), worse(b); {
		case wa && !wb:
			return 1
		case wb && !wa:
			return -1
		}
	}
	return b.cert.Leaf.NotBefore.Compare(a.cert.Leaf.NotBefore)
}

func issuedBySelf(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

// choose returns the best pair that has the client's name and a key it can
// verify. A client that can verify none gets the best one for its name all the
// same: it may know more than it says.
func (s *set) choose(hello *tls.ClientHelloInfo) *pair {
	list := s.of(strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")))
	if len(list) == 0 {
		list = s.standard
	}
	if len(list) > 1 {
		able := *hello
		able.ServerName = "" // the names were compared; the standard one may have another
		for _, p := range list {
			if able.SupportsCertificate(&p.cert) == nil {
				return p
			}
		}
	}
	return list[0]
}

// GetCertificate is for tls.Config: the certificate of the moment.
func (k *Keeper) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if k.cfg.Challenge != nil && k.cfg.Asks(hello) {
		return k.cfg.Challenge(hello)
	}
	return &k.set.Load().choose(hello).cert, nil
}

// suites are those of TLS 1.2 that keep what was said secret though the key be
// stolen later, and cannot be tampered with (RFC 9325 §4.2). TLS 1.3 has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// TLSConfig returns a configuration for servers of HTTP/1.1. Minimum is a
// tls.VersionTLS… constant, 0 means TLS 1.2.
func (k *Keeper) TLSConfig(minimum uint16) *tls.Config {
	if minimum == 0 {
		minimum = tls.VersionTLS12
	}
	return &tls.Config{
		MinVersion: minimum, CipherSuites: slices.Clone(suites), GetCertificate: k.GetCertificate, NextProtos: append([]string{"http/1.1"}, k.cfg.Protocols...),
	}
}
