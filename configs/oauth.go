package configs

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/oauth"
	"github.com/deskline/deskline/xmpp/jid"
)

// oauthBearer is offered where auth.oauth says so. In auth.mechanisms it may
// stand alone, so that there are no passwords.
const oauthBearer = "OAUTHBEARER"

// Issuer is an OpenID provider whose tokens sign users in, one of auth.oauth.
type Issuer struct {
	Issuer      string        `key:"issuer"`       // the claim iss, exactly
	Domains     []string      `key:"domains"`      // whose users it vouches for; empty = all
	Audience    []string      `key:"audience"`     // a token must name one
	JWKSURL     string        `key:"jwks_url"`     // of the keys; "" = found by discovery
	JWKSFile    string        `key:"jwks_file"`    // in place of a URL
	CAFile      string        `key:"ca_file"`      // PEM; "" = the system's
	Algorithms  []string      `key:"algorithms"`   // of signatures
	UserClaim   string        `key:"user_claim"`   // that names the user
	UserDomains []string      `key:"user_domains"` // in it, beside domains; users with one are of the first domain
	Scopes      []string      `key:"scopes"`       // a token must have all
	Claims      []string      `key:"claims"`       // name=value, a token must have all
	Leeway      time.Duration `key:"leeway" min:"0s" max:"5m"`
	Refresh     time.Duration `key:"refresh" min:"1m" max:"24h"`
	KeepKeys    time.Duration `key:"keep_keys" min:"1m" max:"720h"`
	Create      bool          `key:"create"`       // accounts at their first sign-in
	EndSessions bool          `key:"end_sessions"` // when their token expires
}

func (Issuer) item() any {
	return Issuer{
		Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"}, UserClaim: "preferred_username",
		Leeway: time.Minute, Refresh: time.Hour, KeepKeys: 24 * time.Hour,
	}
}

// AllDomains returns whose users an issuer vouches for.
func (i Issuer) AllDomains(c Config) []string {
	if len(i.Domains) == 0 {
		return c.Domains
	}
	return i.Domains
}

// normaliseIssuers writes domains as they are compared.
func (l *loader) normaliseIssuers() {
	for _, i := range l.cfg.Auth.OAuth {
		for _, list := range [][]string{i.Domains, i.UserDomains} {
			for at, d := range list {
				if j, err := jid.New("", d, ""); err == nil {
					list[at] = j.Domain()
				}
			}
		}
	}
}

func (l *loader) checkOAuth() {
	const path = "auth.oauth"
	issuers := l.cfg.Auth.OAuth
	if len(issuers) == 0 && slices.Contains(l.cfg.Auth.Mechanisms, oauthBearer) {
		l.add("auth.mechanisms", "OAUTHBEARER needs auth.oauth, which says whose tokens are taken")
	}
	l.checkItemBounds(path, reflect.ValueOf(issuers))
	seen := map[string]bool{}
	for at, i := range issuers {
		key := func(name string) string { return itemPath(path, at, name) }
		l.checkIssuer(i, key)
		l.checkIssuerDomains(i, key)
		for _, d := range i.AllDomains(l.cfg) {
			if seen[i.Issuer+" "+d] {
				l.add(key("issuer"), "%s is there twice for %s", i.Issuer, d)
			}
			seen[i.Issuer+" "+d] = true
		}
	}
}

func (l *loader) checkIssuer(i Issuer, key func(string) string) {
	discovered := i.JWKSURL == "" && i.JWKSFile == ""
	switch {
	case i.Issuer == "":
		l.add(key("issuer"), "is missing, write what the claim iss of the tokens has")
	case discovered:
		l.checkSafe(key("issuer"), i.Issuer, "https://sso.example.com/realms/desk")
	}
	if i.JWKSURL != "" {
		l.checkSafe(key("jwks_url"), i.JWKSURL, "https://sso.example.com/keys")
		if i.JWKSFile != "" {
			l.add(key("jwks_file"), "jwks_url is set too, keep one of them")
		}
	}
	if len(i.Audience) == 0 || slices.Contains(i.Audience, "") {
		l.add(key("audience"), "is missing, write what the claim aud has of tokens for this service; else any token of the issuer would do")
	}
	if len(i.Algorithms) == 0 {
		l.add(key("algorithms"), "is empty, no token could be taken")
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(oauth.Algorithms, a) {
			l.add(key("algorithms"), "%q is none of %s", a, strings.Join(oauth.Algorithms, ", "))
		}
	}
	if i.UserClaim == "" {
		l.add(key("user_claim"), "is empty, write preferred_username, sub or email")
	}
	for _, s := range i.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\r\n\"\\") {
			l.add(key("scopes"), "%q is no scope", s)
		}
	}
	for _, c := range i.Claims {
		if name, value, ok := strings.Cut(c, "="); !ok || name == "" || value == "" {
			l.add(key("claims"), "%q is no claim such as groups=chat", c)
		}
	}
}

func (l *loader) checkIssuerDomains(i Issuer, key func(string) string) {
	for _, d := range i.Domains {
		if !slices.Contains(l.cfg.Domains, d) {
			l.add(key("domains"), "%q is none of domains", d)
		}
	}
	for _, d := range i.UserDomains {
		j, err := jid.New("", d, "")
		switch {
		case err != nil || j.Domain() != d:
			l.add(key("user_domains"), "%q is no domain", d)
		case slices.Contains(l.cfg.Domains, d):
			l.add(key("user_domains"), "%s is one of domains, whose users are its own", d)
		}
	}
}

// checkSafe checks an address from which keys come.
func (l *loader) checkSafe(key, text, example string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		l.add(key, "%q is no address such as %s", text, example)
	case oauth.SafeURL(u) != nil:
		l.add(key, "%v", oauth.SafeURL(u))
	}
}
