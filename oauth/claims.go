package oauth

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/deskline/deskline/xmpp/jid"
)

// claims are the content of a token, its names exact and each there once.
type claims map[string]any

func parsePayload(data []byte) (claims, error) {
	var c claims
	if err := josejson.Unmarshal(data, &c); err != nil || c == nil {
		return nil, errors.New("the content is no JSON object")
	}
	return c, nil
}

// text returns a claim that is a text.
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// texts returns a claim that is a text or a list of them.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for _, one := range v {
			if s, ok := one.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// at returns a claim by its name, or a path of names with dots between them; a
// name may have dots itself, as those that are URLs.
func (c claims) at(path string) any {
	if v, ok := c[path]; ok {
		return v
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := c[path[:i]].(map[string]any); ok {
			if v := claims(inner).at(path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// time returns a NumericDate (RFC 7519 §2).
func (c claims) time(name string) (t time.Time, ok bool, err error) {
	v, ok := c[name]
	if !ok {
		return t, false, nil
	}
	n, is := v.(float64)
	if !is || math.IsNaN(n) || n < 0 || n > 1<<40 {
		return t, true, fmt.Errorf("%s is no time", name)
	}
	return time.Unix(int64(n), 0), true, nil
}

// scopes are those of RFC 8693 §4.2, or as Azure AD and Okta write them.
func (c claims) scopes() []string {
	var all []string
	for _, name := range []string{"scope", "scp"} {
		for _, s := range texts(c[name]) {
			all = append(all, strings.Fields(s)...)
		}
	}
	return all
}

// claim is one that a token must have.
type claim struct{ name, value string }

func parseClaims(list []string) ([]claim, error) {
	parsed := make([]claim, len(list))
	for i, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || value == "" {
			return nil, fmt.Errorf("%q is no claim such as groups=chat", text)
		}
		parsed[i] = claim{name, value}
	}
	return parsed, nil
}

// in reports whether a token has the claim: with that value or, if it is a
// list, with that among others.
func (want claim) in(c claims) bool {
	switch v := c.at(want.name).(type) {
	case bool:
		return fmt.Sprint(v) == want.value
	case float64:
		return fmt.Sprint(v) == want.value
	default:
		return slices.Contains(texts(v), want.value)
	}
}

// user returns the account that a token is for. It depends on the token alone.
func (i *issuer) user(c claims) (jid.JID, error) {
	name, ok := c.at(i.UserClaim).(string)
	if !ok || name == "" {
		return jid.JID{}, refuse(reasonUser, "claim %s names no user", i.UserClaim)
	}
	if i.UserClaim == "email" {
		if verified, there := c["email_verified"]; there && verified != true && verified != "true" {
			return jid.JID{}, refuse(reasonUser, "the mail address is not verified")
		}
	}
	domain := i.Domains[0]
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		d, err := jid.New("", name[at+1:], "")
		switch {
		case err == nil && slices.Contains(i.Domains, d.Domain()):
			domain = d.Domain()
		case err == nil && slices.Contains(i.UserDomains, d.Domain()):
		default:
			return jid.JID{}, refuse(reasonDomain, "claim %s has domain %.100q, which is none of this issuer's", i.UserClaim, name[at+1:])
		}
		name = name[:at]
	}
	j, err := jid.New(name, domain, "")
	if err != nil || j.Local() == "" {
		return jid.JID{}, refuse(reasonUser, "claim %s is no name of a user", i.UserClaim)
	}
	return j, nil
}
