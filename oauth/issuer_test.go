package oauth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/oauth"
	"github.com/deskline/deskline/xmpp/sasl"
)

// signer makes tokens with one key.
type signer struct {
	id, alg string
	private crypto.Signer
}

var makeKeys = sync.OnceValue(func() map[string]signer {
	made := map[string]signer{}
	add := func(id, alg string, private crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		made[id] = signer{id, alg, private}
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	add("rsa", "RS256", r, err)
	add("pss", "PS256", r, nil)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("ec", "ES256", e, err)
	e, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	add("new", "ES256", e, err)
	e, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	add("ec384", "ES384", e, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add("ed", "EdDSA", ed, err)
	return made
})

// token signs claims; header has more than kid and alg.
func (s signer) token(t testing.TB, header, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", s.id)
	if s.id == "" {
		o = &jose.SignerOptions{}
	}
	for name, v := range header {
		o = o.WithHeader(jose.HeaderKey(name), v)
	}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg), Key: s.private}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.Public(), KeyID: s.id, Algorithm: s.alg, Use: "sig"}
}

func jwks(t testing.TB, ids ...string) []byte {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, id := range ids {
		set.Keys = append(set.Keys, makeKeys()[id].jwk())
	}
	data, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// provider is an OpenID provider over HTTP.
type provider struct {
	*httptest.Server
	asked atomic.Int64 // for keys

	mu        sync.Mutex // guards all below
	keys      []byte
	status    int
	discovery map[string]any // in place of the right one
	date      time.Time
}

func newProvider(t testing.TB, ids ...string) *provider {
	t.Helper()
	p := &provider{keys: jwks(t, ids...), status: http.StatusOK}
	p.Server = httptest.NewServer(p.mux())
	t.Cleanup(p.Close)
	return p
}

func (p *provider) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		doc := p.discovery
		if doc == nil {
			doc = map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}}
		}
		_ = json.NewEncoder(w).Encode(doc)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.date.IsZero() {
			w.Header().Set("Date", p.date.UTC().Format(http.TimeFormat))
		}
		w.WriteHeader(p.status)
		_, _ = w.Write(p.keys)
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/keys", http.StatusFound)
	})
	return mux
}

func (p *provider) set(change func(p *provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// issuer is how the provider is configured, but for what change says.
func (p *provider) issuer(change func(i *oauth.Issuer)) oauth.Issuer {
	i := oauth.Issuer{
		Name: p.URL, Domains: []string{"example.com"}, Audience: []string{"deskline"}, Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		UserClaim: "preferred_username", Leeway: time.Minute, Refresh: time.Hour, KeepKeys: 24 * time.Hour,
	}
	if change != nil {
		change(&i)
	}
	return i
}

// claims are those of a good token, with changes: nil takes one away.
func (p *provider) claims(changes map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": p.URL, "aud": "deskline", "preferred_username": "alice", "sub": "6f9c7b1a-1",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func run(t testing.TB, issuers ...oauth.Issuer) (*oauth.Service, *reasons) {
	t.Helper()
	r := &reasons{}
	s, err := oauth.New(oauth.Config{Issuers: issuers, Refused: r.add})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s, r
}

func start(t testing.TB, s *oauth.Service) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

type reasons struct {
	mu   sync.Mutex // guards last
	last string
}

func (r *reasons) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = reason
}

func (r *reasons) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last
	r.last = ""
	return last
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func condition(err error) string {
	if f, ok := errors.AsType[*sasl.Failure](err); ok {
		return f.Condition
	}
	return ""
}

func forged(err error) bool { return errors.Is(err, auth.ErrForged) }
