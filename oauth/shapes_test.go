package oauth_test

import (
	"testing"
	"time"

	"github.com/deskline/deskline/oauth"
)

// Tokens as the providers document them, with keys of our own.
func TestShapes(t *testing.T) {
	now := time.Now()
	iat, exp := now.Unix(), now.Add(5*time.Minute).Unix()
	const tenant = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
	for name, tt := range map[string]struct {
		issuer func(i *oauth.Issuer)
		header map[string]any
		claims map[string]any
		want   string
		lacks  func(i *oauth.Issuer) // what else could be asked for and is not in it
		reason string
	}{
		"Keycloak": {
			issuer: func(i *oauth.Issuer) {
				i.Scopes, i.Claims = []string{"openid"}, []string{"azp=desktop", "realm_access.roles=agent", "resource_access.deskline.roles=chat"}
			},
			header: map[string]any{"typ": "JWT"},
			claims: map[string]any{
				"exp": exp, "iat": iat, "auth_time": iat, "jti": "onrtac:4c1b2c9e", "aud": []string{"deskline", "account"},
				"sub": "f:1:alice", "typ": "Bearer", "azp": "desktop", "sid": "2f1e", "acr": "1", "allowed-origins": []string{"https://desktop.example.com"},
				"realm_access":    map[string]any{"roles": []string{"offline_access", "agent"}},
				"resource_access": map[string]any{"deskline": map[string]any{"roles": []string{"chat"}}, "account": map[string]any{"roles": []string{"view-profile"}}},
				"scope":           "openid email profile", "email_verified": true, "name": "Alice Agent", "preferred_username": "alice", "email": "alice@example.com",
			},
			want:   "alice@example.com",
			lacks:  func(i *oauth.Issuer) { i.Claims = append(i.Claims, "realm_access.roles=supervisor") },
			reason: "claim",
		},
		"Azure AD, version 2": {
			issuer: func(i *oauth.Issuer) {
				i.Audience, i.Scopes = []string{"00001111-aaaa-2222-bbbb-3333cccc4444"}, []string{"Chat.Use"}
				i.UserDomains, i.Claims = []string{"contoso.onmicrosoft.example"}, []string{"tid=" + tenant}
			},
			header: map[string]any{"typ": "JWT"},
			claims: map[string]any{
				"aud": "00001111-aaaa-2222-bbbb-3333cccc4444", "iat": iat, "nbf": iat, "exp": exp, "aio": "AXQAi/8", "azp": "11112222-bbbb",
				"azpacr": "0", "name": "Alice Agent", "oid": "00000000-0000-0000-66f3", "preferred_username": "Alice@contoso.onmicrosoft.example",
				"rh": "0.ARoA", "scp": "Chat.Use User.Read", "sub": "HKZpfaHyWadeOouYlitjrI", "tid": tenant, "uti": "k7O", "ver": "2.0",
			},
			want:   "alice@example.com",
			lacks:  func(i *oauth.Issuer) { i.Claims = []string{"roles=Chat.User"} },
			reason: "claim",
		},
		"Azure AD, version 1": {
			issuer: func(i *oauth.Issuer) {
				i.Audience, i.UserClaim, i.Claims = []string{"api://deskline"}, "upn", []string{"roles=Chat.User"}
			},
			header: map[string]any{"typ": "JWT", "x5t": "nOo3ZDrODXEK1jKWhXslHR_KXEg"},
			claims: map[string]any{
				"aud": "api://deskline", "iat": iat, "nbf": iat, "exp": exp, "acr": "1", "amr": []string{"pwd"}, "appid": "75dbe77f", "appidacr": "0",
				"family_name": "Agent", "given_name": "Alice", "ipaddr": "192.0.2.1", "oid": "x", "roles": []string{"Chat.User"}, "scp": "user_impersonation",
				"sub": "y", "tid": tenant, "unique_name": "alice@example.com", "upn": "alice@example.com", "ver": "1.0",
			},
			want:   "alice@example.com",
			lacks:  func(i *oauth.Issuer) { i.Scopes = []string{"Chat.Use"} },
			reason: "scope",
		},
		"Okta": {
			issuer: func(i *oauth.Issuer) {
				i.Audience, i.UserClaim, i.Scopes = []string{"api://default"}, "sub", []string{"chat", "openid"}
			},
			claims: map[string]any{
				"ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": "api://default", "sub": "alice@example.com",
				"iat": iat, "exp": exp, "cid": "0oab8eb55Kb9jdMIr5d6", "uid": "00uawgpq8Zcll92vs5d6", "scp": []string{"openid", "chat"}, "https://okta.example/groups": []string{"agents"},
			},
			want:   "alice@example.com",
			lacks:  func(i *oauth.Issuer) { i.Claims = []string{"https://okta.example/groups=supervisors"} },
			reason: "claim",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, "rsa")
			tt.claims["iss"] = p.URL
			token := makeKeys()["rsa"].token(t, tt.header, tt.claims)
			s, _ := run(t, p.issuer(tt.issuer))
			if h, err := s.Check(t.Context(), "example.com", token); err != nil || h.JID.String() != tt.want {
				t.Errorf("%v %v", h.JID, err)
			}
			s, reasons := run(t, p.issuer(func(i *oauth.Issuer) { tt.issuer(i); tt.lacks(i) }))
			if _, err := s.Check(t.Context(), "example.com", token); err == nil || reasons.take() != tt.reason {
				t.Errorf("asked for more: %v", err)
			}
		})
	}
}

// FuzzCheck: nothing that is not signed gets through, whatever it looks like, and
// what is signed by the issuer gives an account of the domain or nothing.
func FuzzCheck(f *testing.F) {
	p := newProvider(f, "ec")
	s, _ := run(f, p.issuer(nil))
	good := makeKeys()["ec"].token(f, nil, p.claims(nil))
	f.Add(good, `{"iss":"x"}`)
	f.Add("eyJhbGciOiJub25lIn0.e30.", `{"aud":["deskline"],"exp":9e9,"preferred_username":"a@b","groups":[[[]]]}`)
	f.Add("a.b.c", `{"exp":1e400}`)
	f.Fuzz(func(t *testing.T, token, payload string) {
		if h, err := s.Check(t.Context(), "example.com", token); err == nil && h.JID.String() != "alice@example.com" {
			t.Fatalf("%q signs in %v", token, h.JID)
		}
		if h, err := s.Check(t.Context(), "example.com", signRaw(t, makeKeys()["ec"], payload)); err == nil && (h.JID.Domain() != "example.com" || h.JID.Local() == "") {
			t.Fatalf("%q signs in %v", payload, h.JID)
		}
	})
}
