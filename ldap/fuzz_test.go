package ldap

import (
	"strings"
	"testing"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/xmpp/jid"
)

// FuzzLocal has names go into addresses and back (XEP-0106 §4).
func FuzzLocal(f *testing.F) {
	for _, s := range []string{"alice", "o'brien", `a\20b`, `a\5c20b`, `\5c`, `\`, `a\2`, "a b@c/d:e<f>", "żółć"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		escaped := escapeLocal(name)
		if got := unescapeLocal(escaped); got != name {
			t.Errorf("%q became %q and then %q", name, escaped, got)
		}
		if strings.ContainsAny(escaped, ` "&'/:<>@`) {
			t.Errorf("%q is no local part", escaped)
		}
	})
}

// FuzzDN has DNs compared however they are written.
func FuzzDN(f *testing.F) {
	for _, s := range []string{"cn=a,dc=b", "CN=A, DC=B", `cn=a\,b,dc=c`, "cn=a+sn=b,dc=c", `cn="a,b",dc=c`, `cn=\41,dc=c`, "=", ",", `\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		_, _ = splitDN(dn)
		_ = nameOf(dn)
		parsed, err := goldap.ParseDN(dn)
		if err != nil || strings.ContainsFunc(dn, func(r rune) bool { return r > '~' || r < ' ' }) {
			return
		}
		for _, same := range []string{strings.ToUpper(dn), parsed.String()} {
			// Escapes have a case of their own, and the parser takes more than is a DN.
			if strings.ContainsAny(dn, "\\\"#+;") || strings.Count(dn, "=") != len(parsed.RDNs) {
				continue
			}
			if dnKey(same) != dnKey(dn) {
				t.Errorf("%q is not the same as %q", same, dn)
			}
		}
	})
}

// FuzzEntry has a server send anything for a person.
func FuzzEntry(f *testing.F) {
	for _, cfg := range []string{"openldap", "ad"} {
		f.Add(cfg, "uid=alice,dc=example,dc=com", "alice", "512", "9223372036854775807", "Alice\x00\xff")
	}
	f.Fuzz(func(t *testing.T, schema, dn, user, control, expiry, text string) {
		if schema != "ad" {
			schema = "openldap"
		}
		d, err := New(Config{URLs: []string{"ldap://127.0.0.1"}, Domains: []string{"example.com"}, Schema: schema, Base: "dc=example,dc=com"})
		if err != nil {
			t.Fatal(err)
		}
		a := d.cfg.Attributes
		e, err := d.parse(goldap.NewEntry(dn, map[string][]string{
			a.User: {user}, a.control: {control}, a.expiry: {expiry}, a.Name: {text}, a.Mail: {text, text}, a.Groups: {dn, text}, a.id: {text},
		}))
		if err != nil {
			return
		}
		d.judge(&e, &groups{}, facts{})
		if j, err := jid.Parse(e.JID.String()); err != nil || j != e.JID || j.Domain() != "example.com" {
			t.Errorf("%q is no address: %v", e.JID, err)
		}
		for _, s := range append(e.Mail, e.Name) {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > maxText {
				t.Errorf("%q cannot be shown", s)
			}
		}
	})
}
