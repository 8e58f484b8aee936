package oauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys   = 100  // of an issuer
	minRSA    = 2048 // bits, RFC 7518 §3.3
	maxRSA    = 8192
	maxKeyID  = 512
	signature = "sig"
)

// Algorithms are those of signatures that can be allowed. None is symmetric: a
// key that verifies could make tokens too (RFC 8725 §3.2).
var Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

var algorithms = func() (list []jose.SignatureAlgorithm) {
	for _, a := range Algorithms {
		list = append(list, jose.SignatureAlgorithm(a))
	}
	return list
}()

// key is a public key of an issuer.
type key struct {
	id     string
	alg    string // it is for, "" = any that fits
	public any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
}

// fits reports whether the key can be for signatures of an algorithm.
func (k key) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		return map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[public.Params().Name] == alg
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// parseKeys reads a JWK Set (RFC 7517 §5). Keys that are for something else or
// not understood are passed over, as are private parts and certificates.
func parseKeys(data []byte) ([]key, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("read keys: there are %d, more than %d", len(doc.Keys), maxKeys)
	}
	var keys []key
	for _, raw := range doc.Keys {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read keys: none of %d can be used for signatures", len(doc.Keys))
	}
	return keys, nil
}

// jwk has the members of a public key, and nothing else of it.
type jwk struct {
	Type  string   `json:"kty"`
	ID    string   `json:"kid,omitempty"`
	Use   string   `json:"use,omitempty"`
	Ops   []string `json:"key_ops,omitempty"`
	Alg   string   `json:"alg,omitempty"`
	N     string   `json:"n,omitempty"`
	E     string   `json:"e,omitempty"`
	Curve string   `json:"crv,omitempty"`
	X     string   `json:"x,omitempty"`
	Y     string   `json:"y,omitempty"`
}

func parseKey(raw []byte) (key, bool) {
	var in jwk
	if json.Unmarshal(raw, &in) != nil || in.Type == "oct" || len(in.ID) > maxKeyID || in.Use != "" && in.Use != signature ||
		len(in.Ops) > 0 && !slices.Contains(in.Ops, "verify") || in.Alg != "" && !slices.Contains(Algorithms, in.Alg) {
		return key{}, false
	}
	public, err := json.Marshal(in)
	if err != nil {
		return key{}, false
	}
	var out jose.JSONWebKey
	if out.UnmarshalJSON(public) != nil || !out.Valid() || !out.IsPublic() {
		return key{}, false
	}
	if r, ok := out.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < minRSA || r.N.BitLen() > maxRSA || r.E < 3 || r.E&1 == 0) {
		return key{}, false
	}
	return key{id: in.ID, alg: in.Alg, public: out.Key}, true
}

var (
	errUnknownKey = errors.New("the key is not one of the issuer's")
	errNoKeys     = errors.New("the issuer's keys are not there")
)

// pick chooses the key of a signature. Without an id there must be no choice.
func pick(keys []key, id, alg string) (key, bool) {
	var found []key
	for _, k := range keys {
		if k.fits(alg) && (id == "" || k.id == id) {
			found = append(found, k)
		}
	}
	if len(found) == 0 || len(found) > 1 && id == "" {
		return key{}, false
	}
	return found[0], true
}
