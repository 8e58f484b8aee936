package oauth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/oauth"
	"github.com/deskline/deskline/xmpp/sasl"
)

func TestTaken(t *testing.T) {
	p := newProvider(t, "rsa", "pss", "ec", "ed")
	s, _ := run(t, p.issuer(func(i *oauth.Issuer) { i.UserDomains = []string{"corp.example"}; i.Create = true }))
	soon, past := time.Now().Add(30*time.Second).Unix(), time.Now().Add(-30*time.Second).Unix()
	for name, tt := range map[string]struct {
		key    string
		header map[string]any
		claims map[string]any
		want   string
	}{
		"RS256":                    {key: "rsa"},
		"PS256":                    {key: "pss"},
		"EdDSA":                    {key: "ed"},
		"typ JWT":                  {header: map[string]any{"typ": "JWT"}},
		"typ of RFC 9068":          {header: map[string]any{"typ": "at+jwt"}},
		"typ with the whole name":  {header: map[string]any{"typ": "application/AT+jwt"}},
		"several audiences":        {claims: map[string]any{"aud": []string{"account", "deskline"}}},
		"within the leeway":        {claims: map[string]any{"exp": past, "nbf": soon, "iat": soon}},
		"times with fractions":     {claims: map[string]any{"exp": float64(soon) + 0.5}},
		"user with domain":         {claims: map[string]any{"preferred_username": "Alice@EXAMPLE.com"}},
		"user with another's name": {claims: map[string]any{"preferred_username": "alice@corp.example"}},
		"another user":             {claims: map[string]any{"preferred_username": "bob"}, want: "bob@example.com"},
		"unknown claims":           {claims: map[string]any{"x": map[string]any{"y": []any{1, nil, true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.key == "" {
				tt.key = "ec"
			}
			if tt.want == "" {
				tt.want = "alice@example.com"
			}
			h, err := s.Check(t.Context(), "example.com", makeKeys()[tt.key].token(t, tt.header, p.claims(tt.claims)))
			if err != nil || h.JID.String() != tt.want || !h.Create {
				t.Fatalf("%v %v", h, err)
			}
		})
	}
	h, err := s.Check(t.Context(), "example.com", makeKeys()["ec"].token(t, nil, p.claims(map[string]any{"name": "Alice A.", "email": "alice@example.com"})))
	if err != nil || h.Name != "Alice A." || h.Email != "alice@example.com" {
		t.Errorf("%+v %v", h, err)
	}
}

func TestRefused(t *testing.T) {
	p := newProvider(t, "rsa", "ec", "ec384", "ed")
	s, reasons := run(t, p.issuer(func(i *oauth.Issuer) {
		i.Scopes, i.Claims = []string{"chat"}, []string{"groups=agents"}
	}))
	good := map[string]any{"scope": "openid chat", "groups": []string{"staff", "agents"}}
	with := func(changes map[string]any) string {
		c := p.claims(good)
		for name, v := range changes {
			if c[name] = v; v == nil {
				delete(c, name)
			}
		}
		return makeKeys()["ec"].token(t, nil, c)
	}
	if _, err := s.Check(t.Context(), "example.com", with(nil)); err != nil {
		t.Fatal(err)
	}
	head := func(h map[string]any) string { return makeKeys()["ec"].token(t, h, p.claims(good)) }
	now := time.Now()
	parts := strings.Split(with(nil), ".")
	for name, tt := range map[string]struct{ token, reason string }{
		"nothing":                 {"", "none"},
		"no JWT":                  {"abc", "malformed"},
		"opaque":                  {"2YotnFZFEjr1zCsicMWpAA", "malformed"},
		"too long":                {with(map[string]any{"x": strings.Repeat("x", oauth.MaxToken)}), "malformed"},
		"encrypted":               {"a.b.c.d.e", "malformed"},
		"unsigned":                {unsigned(t, p.claims(good)), "algorithm"},
		"no signature":            {parts[0] + "." + parts[1] + ".", "signature"},
		"signed with a known key": {symmetric(t, jwks(t, "rsa"), p.claims(good)), "algorithm"},
		"changed":                 {parts[0] + "." + strings.Split(with(map[string]any{"preferred_username": "bob"}), ".")[1] + "." + parts[2], "signature"},
		"other key, same id":      {signer{"ec", "ES256", makeKeys()["new"].private}.token(t, nil, p.claims(good)), "signature"},
		"key of another kind":     {signer{"rsa", "ES256", makeKeys()["new"].private}.token(t, nil, p.claims(good)), "key"},
		"algorithm not allowed":   {makeKeys()["ec384"].token(t, nil, p.claims(good)), "algorithm"},
		"other algorithm for key": {signer{"rsa", "PS256", makeKeys()["rsa"].private}.token(t, nil, p.claims(good)), "key"},
		"own key in the header":   {signer{"ec", "ES256", makeKeys()["new"].private}.token(t, map[string]any{"jwk": makeKeys()["new"].jwk(), "jku": "http://192.0.2.1/"}, p.claims(good)), "signature"},
		"logout token":            {head(map[string]any{"typ": "logout+jwt"}), "type"},
		"proof of possession":     {head(map[string]any{"typ": "dpop+jwt"}), "type"},
		"refresh token":           {with(map[string]any{"typ": "Refresh"}), "type"},
		"bound to a key":          {with(map[string]any{"cnf": map[string]any{"jkt": "x"}}), "bound"},
		"no issuer":               {with(map[string]any{"iss": nil}), "issuer"},
		"other issuer":            {with(map[string]any{"iss": p.URL + "/"}), "issuer"},
		"issuer in other letters": {with(map[string]any{"iss": strings.ToUpper(p.URL)}), "issuer"},
		"several issuers":         {with(map[string]any{"iss": []string{p.URL}}), "issuer"},
		"other audience":          {with(map[string]any{"aud": "account"}), "audience"},
		"no audience":             {with(map[string]any{"aud": nil}), "audience"},
		"part of the audience":    {with(map[string]any{"aud": "deskline2"}), "audience"},
		"expired":                 {with(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}), "expired"},
		"for ever":                {with(map[string]any{"exp": nil}), "malformed"},
		"expiry is a text":        {with(map[string]any{"exp": "9999999999"}), "malformed"},
		"expiry is huge":          {with(map[string]any{"exp": 1e300}), "malformed"},
		"not yet":                 {with(map[string]any{"nbf": now.Add(5 * time.Minute).Unix()}), "early"},
		"made in the future":      {with(map[string]any{"iat": now.Add(5 * time.Minute).Unix()}), "early"},
		"no scope":                {with(map[string]any{"scope": nil}), "scope"},
		"other scope":             {with(map[string]any{"scope": "chatter"}), "scope"},
		"not of the group":        {with(map[string]any{"groups": []string{"staff"}}), "claim"},
		"no user":                 {with(map[string]any{"preferred_username": nil}), "user"},
		"empty user":              {with(map[string]any{"preferred_username": ""}), "user"},
		"user is a number":        {with(map[string]any{"preferred_username": 7}), "user"},
		"user with a slash":       {with(map[string]any{"preferred_username": "alice/x"}), "user"},
		"user of another domain":  {with(map[string]any{"preferred_username": "alice@gmail.example"}), "domain"},
		"name in other letters":   {with(map[string]any{"preferred_username": nil, "Preferred_Username": "alice"}), "user"},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := s.Check(t.Context(), "example.com", tt.token)
			refusal, ok := errors.AsType[*sasl.Refusal](err)
			if !ok || !h.JID.IsZero() {
				t.Fatalf("%v %v", h, err)
			}
			if got := reasons.take(); got != tt.reason {
				t.Errorf("reason %s: %v", got, err)
			}
			want, status := sasl.NotAuthorized, sasl.InvalidToken
			switch tt.reason {
			case "expired":
				want = sasl.CredentialsExpired
			case "scope":
				status = sasl.InsufficientScope
			}
			if condition(err) != want || refusal.Status != status || refusal.Scope != "chat" || refusal.Discovery != p.URL+"/.well-known/openid-configuration" {
				t.Errorf("%+v", refusal)
			}
			isForged := map[string]bool{"malformed": true, "type": true, "issuer": true, "algorithm": true, "key": true, "signature": true}[tt.reason]
			switch name { // the issuer made these
			case "for ever", "expiry is a text", "expiry is huge", "refresh token":
				isForged = false
			}
			if forged(err) != isForged {
				t.Errorf("forged: %v", forged(err))
			}
			if len(tt.token) > 40 && strings.Contains(err.Error(), tt.token[:40]) {
				t.Errorf("the token is in %v", err)
			}
		})
	}
	if _, err := s.Check(t.Context(), "example.org", with(nil)); condition(err) != sasl.NotAuthorized || reasons.take() != "issuer" || s.Offered("example.org") || !s.Offered("example.com") {
		t.Errorf("another domain: %v", err)
	}
	// A duplicate could be read one way here and another way elsewhere.
	twice := strings.Replace(marshal(t, p.claims(good)), `{`, `{"preferred_username":"bob",`, 1)
	if _, err := s.Check(t.Context(), "example.com", signRaw(t, makeKeys()["ec"], twice)); reasons.take() != "malformed" {
		t.Errorf("a claim twice: %v", err)
	}
	if _, err := s.Check(t.Context(), "example.com", signRaw(t, makeKeys()["ec"], "null")); reasons.take() != "malformed" {
		t.Errorf("null: %v", err)
	}
}

func unsigned(t *testing.T, claims map[string]any) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"ec"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(marshal(t, claims))) + "."
}

// symmetric takes a public key for a shared secret (RFC 8725 §2.1).
func symmetric(t *testing.T, secret []byte, claims map[string]any) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"rsa"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(marshal(t, claims)))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEndSessions(t *testing.T) {
	p := newProvider(t, "ec")
	s, _ := run(t, p.issuer(func(i *oauth.Issuer) { i.EndSessions = true }))
	exp := time.Now().Add(5 * time.Minute).Unix()
	h, err := s.Check(t.Context(), "example.com", makeKeys()["ec"].token(t, nil, p.claims(map[string]any{"exp": exp})))
	if err != nil || !h.Until.Equal(time.Unix(exp, 0).Add(time.Minute)) {
		t.Errorf("%v %v", h.Until, err)
	}
}

// Domains of one server: a token is for one account, wherever it is shown.
func TestDomains(t *testing.T) {
	p := newProvider(t, "ec")
	s, reasons := run(t, p.issuer(func(i *oauth.Issuer) {
		i.Domains, i.UserDomains, i.UserClaim = []string{"a.example", "b.example"}, []string{"corp.example"}, "email"
	}))
	for _, tt := range []struct {
		email, domain, want, reason string
		verified                    any
	}{
		{email: "alice@a.example", domain: "a.example", want: "alice@a.example"},
		{email: "alice@b.example", domain: "b.example", want: "alice@b.example"},
		{email: "alice@b.example", domain: "a.example", reason: "domain"},
		{email: "alice@corp.example", domain: "a.example", want: "alice@a.example"},
		{email: "alice@corp.example", domain: "b.example", reason: "domain"},
		{email: "alice", domain: "b.example", reason: "domain"},
		{email: "alice@a.example@evil.example", domain: "a.example", reason: "domain"},
		{email: "evil@evil.example@a.example", domain: "a.example", reason: "user"},
		{email: "alice@a.example", domain: "a.example", verified: true, want: "alice@a.example"},
		{email: "alice@a.example", domain: "a.example", verified: "true", want: "alice@a.example"},
		{email: "alice@a.example", domain: "a.example", verified: false, reason: "user"},
		{email: "@a.example", domain: "a.example", reason: "user"},
		{email: "alice@", domain: "a.example", reason: "domain"},
	} {
		h, err := s.Check(t.Context(), tt.domain, makeKeys()["ec"].token(t, nil, p.claims(map[string]any{"email": tt.email, "email_verified": tt.verified})))
		if h.JID.String() != tt.want || reasons.take() != tt.reason {
			t.Errorf("%+v: %v %v", tt, h.JID, err)
		}
	}
}

func TestNoKeyID(t *testing.T) {
	p, two := newProvider(t, "ec"), newProvider(t, "ec", "new")
	s, reasons := run(t, p.issuer(nil), two.issuer(nil))
	nameless := makeKeys()["ec"]
	nameless.id = ""
	if _, err := s.Check(t.Context(), "example.com", nameless.token(t, nil, p.claims(nil))); err != nil {
		t.Errorf("one key: %v", err)
	}
	if _, err := s.Check(t.Context(), "example.com", nameless.token(t, nil, two.claims(nil))); reasons.take() != "key" {
		t.Errorf("a choice of keys: %v", err)
	}
}

// Over TLS with a CA of its own, which others do not trust.
func TestCA(t *testing.T) {
	p := newProvider(t, "ec")
	secure := httptest.NewTLSServer(p.mux())
	t.Cleanup(secure.Close)
	p.set(func(p *provider) {
		p.discovery = map[string]any{"issuer": secure.URL, "jwks_uri": secure.URL + "/keys"}
	})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	i := p.issuer(func(i *oauth.Issuer) { i.Name, i.CAFile = secure.URL, file })
	if r, err := oauth.Inspect(t.Context(), i); err != nil || r.Keys != 1 || !r.Timed {
		t.Errorf("%+v %v", r, err)
	}
	i.CAFile = ""
	if _, err := oauth.Inspect(t.Context(), i); err == nil {
		t.Error("a stranger's certificate was taken")
	} else if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Error(err)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none.pem"), os.DevNull} {
		i.CAFile = bad
		if _, err := oauth.New(oauth.Config{Issuers: []oauth.Issuer{i}}); err == nil || !strings.Contains(err.Error(), "ca_file") {
			t.Error(err)
		}
	}
}
