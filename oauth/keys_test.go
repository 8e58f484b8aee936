package oauth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/deskline/deskline/oauth"
	"github.com/deskline/deskline/xmpp/sasl"
)

// signRaw signs a payload that need not be right.
func signRaw(t testing.TB, s signer, payload string) string {
	t.Helper()
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.alg), Key: s.private}, (&jose.SignerOptions{}).WithHeader("kid", s.id))
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A key that is new is found at once; made-up ones have the issuer asked once.
func TestRotation(t *testing.T) {
	p := newProvider(t, "ec")
	s, reasons := run(t, p.issuer(nil))
	check := func(key string) string {
		_, err := s.Check(t.Context(), "example.com", makeKeys()[key].token(t, nil, p.claims(nil)))
		if err != nil {
			return reasons.take()
		}
		return ""
	}
	if got := check("ec"); got != "" {
		t.Fatal(got)
	}
	eventually(t, "the first look is over", func() bool { return s.Keys()[0].Count == 1 })
	before := p.asked.Load()
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() { check("new") })
	}
	clients.Wait()
	if asked := p.asked.Load() - before; asked > 1 {
		t.Errorf("asked %d times for 50 tokens with an unknown key", asked)
	}
	if got := check("ec"); got != "" {
		t.Errorf("keys known were lost: %s", got)
	}
}

// Later on, one token with a new key is enough to have it.
func TestRotationLater(t *testing.T) {
	p := newProvider(t, "ec")
	s, err := oauth.New(oauth.Config{Issuers: []oauth.Issuer{p.issuer(nil)}, AskAgain: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	for _, key := range []string{"ec", "new"} {
		p.set(func(p *provider) { p.keys = jwks(t, key) })
		if _, err := s.Check(t.Context(), "example.com", makeKeys()[key].token(t, nil, p.claims(nil))); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// With another clock: what happens when, over hours.
func TestKeysOverTime(t *testing.T) {
	makeKeys()
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(jwks(t, "ec"))
	synctest.Test(t, func(t *testing.T) {
		i := oauth.Issuer{
			Name: "https://sso.example", JWKSFile: file, Domains: []string{"example.com"}, Audience: []string{"deskline"},
			Algorithms: []string{"ES256"}, UserClaim: "sub", Refresh: time.Hour, KeepKeys: 2 * time.Hour, Leeway: time.Minute,
		}
		s, err := oauth.New(oauth.Config{Issuers: []oauth.Issuer{i}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.Run(ctx)
		}()
		check := func(key string) string {
			now := time.Now()
			_, err := s.Check(t.Context(), "example.com", makeKeys()[key].token(t, nil, map[string]any{
				"iss": "https://sso.example", "aud": "deskline", "sub": "alice", "exp": now.Add(time.Minute).Unix(),
			}))
			return condition(err)
		}
		synctest.Wait()
		if got := check("ec"); got != "" {
			t.Fatal(got)
		}
		write(jwks(t, "ec", "new"))
		time.Sleep(11 * time.Second) // of the bubble's clock: the file is looked at again
		synctest.Wait()
		if got := check("new"); got != "" {
			t.Errorf("a key added: %s", got)
		}
		write([]byte("{"))
		time.Sleep(time.Hour)
		if got := check("new"); got != "" {
			t.Errorf("while keys cannot be had: %s", got)
		}
		time.Sleep(61 * time.Minute)
		if got := check("new"); got != sasl.TemporaryAuthFailure {
			t.Errorf("keys beyond their age: %q", got)
		}
		write(jwks(t, "new"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := check("new") + check("ec"); got != sasl.NotAuthorized {
			t.Errorf("one key taken away: %q", got)
		}
		stop()
		<-done
	})
}

// While the issuer cannot be had from the start, clients are told to come again.
func TestAway(t *testing.T) {
	p := newProvider(t, "ec")
	p.set(func(p *provider) { p.status = http.StatusBadGateway })
	s, reasons := run(t, p.issuer(nil))
	token := makeKeys()["ec"].token(t, nil, p.claims(nil))
	_, err := s.Check(t.Context(), "example.com", token)
	if condition(err) != sasl.TemporaryAuthFailure || reasons.take() != "unavailable" || forged(err) {
		t.Fatal(err)
	}
	p.set(func(p *provider) { p.status = http.StatusOK })
	eventually(t, "the issuer is back", func() bool {
		_, err := s.Check(t.Context(), "example.com", token)
		return err == nil
	})
	if k := s.Keys(); len(k) != 1 || k[0].Count != 1 || k[0].Age < 0 || k[0].Domain != "example.com" {
		t.Errorf("%+v", k)
	}
}

func TestReload(t *testing.T) {
	p := newProvider(t, "ec")
	s, reasons := run(t, p.issuer(nil))
	token := makeKeys()["ec"].token(t, nil, p.claims(nil))
	if _, err := s.Check(t.Context(), "example.com", token); err != nil {
		t.Fatal(err)
	}
	// The issuer is away; its keys stay though its entry changes.
	p.set(func(p *provider) { p.status = http.StatusBadGateway })
	commit, err := s.Prepare([]oauth.Issuer{p.issuer(func(i *oauth.Issuer) { i.Audience = []string{"other", "deskline"} })})
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if _, err := s.Check(t.Context(), "example.com", token); err != nil {
		t.Error(err)
	}
	if commit, err = s.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	commit()
	if _, err := s.Check(t.Context(), "example.com", token); err == nil || reasons.take() != "issuer" || s.Offered("example.com") {
		t.Errorf("without issuers: %v", err)
	}
}

func TestInspect(t *testing.T) {
	p := newProvider(t, "rsa", "ec")
	p.set(func(p *provider) { p.date = time.Now().Add(-90 * time.Second) })
	r, err := oauth.Inspect(t.Context(), p.issuer(nil))
	if err != nil || r.Keys != 2 || r.Where != p.URL+"/keys" || !r.Timed || r.Skew > -80*time.Second || r.Skew < -150*time.Second {
		t.Errorf("%+v %v", r, err)
	}
	good := jwks(t, "ec")
	weak := map[string]any{"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB"}
	secret := map[string]any{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}
	var keys struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(good, &keys); err != nil {
		t.Fatal(err)
	}
	one := keys.Keys[0]
	other := func(name string, v any) map[string]any {
		m := map[string]any{}
		for k, was := range one {
			m[k] = was
		}
		m[name] = v
		return m
	}
	set := func(keys ...any) []byte {
		data, err := json.Marshal(map[string]any{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, tt := range map[string]struct {
		change func(p *provider)
		issuer func(i *oauth.Issuer)
		want   string // of the error; "" = one key
	}{
		"keys that are for something else": {change: func(p *provider) {
			p.keys = set(one, other("use", "enc"), other("alg", "RSA-OAEP"), other("key_ops", []string{"sign"}), other("kty", "new"), weak, secret, "x", nil)
		}},
		"a certificate that is none": {change: func(p *provider) { p.keys = set(other("x5c", []string{"AAAA"})) }},
		"only those":                 {change: func(p *provider) { p.keys = set(weak, secret) }, want: "none of 2 can be used"},
		"no keys":                    {change: func(p *provider) { p.keys = []byte("{}") }, want: "none of 0"},
		"no JSON":                    {change: func(p *provider) { p.keys = []byte("<html>") }, want: "read keys"},
		"too large":                  {change: func(p *provider) { p.keys = []byte(strings.Repeat(" ", 1<<20)) }, want: "above 512 KiB"},
		"too many":                   {change: func(p *provider) { p.keys = set(make([]any, 101)...) }, want: "more than 100"},
		"an error":                   {change: func(p *provider) { p.status = http.StatusNotFound }, want: "404"},
		"of another issuer": {change: func(p *provider) {
			p.discovery = map[string]any{"issuer": "https://evil.example", "jwks_uri": p.URL + "/keys"}
		}, want: "it is of issuer"},
		"keys elsewhere":   {change: func(p *provider) { p.discovery = map[string]any{"issuer": p.URL, "jwks_uri": "http://192.0.2.1/keys"} }, want: "not safe"},
		"no place of keys": {change: func(p *provider) { p.discovery = map[string]any{"issuer": p.URL} }, want: "no jwks_uri"},
		"sent elsewhere":   {issuer: func(i *oauth.Issuer) { i.JWKSURL = i.Name + "/away" }, want: "not safe"},
		"given URL":        {issuer: func(i *oauth.Issuer) { i.Name, i.JWKSURL = "https://sso.example", i.Name+"/keys" }},
		"no file":          {issuer: func(i *oauth.Issuer) { i.JWKSFile = "/nonexistent" }, want: "jwks_file"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, "ec")
			if tt.change != nil {
				p.set(tt.change)
			}
			r, err := oauth.Inspect(t.Context(), p.issuer(tt.issuer))
			if tt.want == "" && (err != nil || r.Keys != 1) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
}

// FuzzKeys: whatever an issuer sends gives some keys or an error.
func FuzzKeys(f *testing.F) {
	f.Add(jwks(f, "rsa", "ec", "ec384", "ed"))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":""},{"kty":"RSA","n":"","e":"AQ"},{"kty":"AKP"},null,1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := oauth.ParseKeys(data); (n > 0) != (err == nil) || n > oauth.MaxKeys {
			t.Fatalf("%d keys, %v", n, err)
		}
	})
}
