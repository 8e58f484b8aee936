package configs

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// LDAP is a directory of people. Without URLs there is none.
type LDAP struct {
	URLs           []string       `key:"urls"` // in the order of preference
	StartTLS       bool           `key:"start_tls"`
	Plain          string         `key:"plain" one:"loopback any"` // where ldap:// without TLS is allowed
	CAFile         string         `key:"ca_file"`                  // PEM; "" = the system's
	CertFile       string         `key:"cert_file"`                // PEM, of this node; "" = none
	KeyFile        string         `key:"key_file"`
	ServerName     string         `key:"server_name"` // in the servers' certificates; "" = as in the address
	BindDN         string         `key:"bind_dn"`     // who looks people up; "" = anonymous
	BindPassword   Secret         `key:"bind_password"`
	Domains        []string       `key:"domains"` // whose people are in the directory; empty = all
	Schema         string         `key:"schema" one:"openldap ad"`
	Base           string         `key:"base"`
	Scope          string         `key:"scope" one:"sub one"`
	Filter         string         `key:"filter" live:"yes"`       // who is a person; "" = by the schema
	GroupBase      string         `key:"group_base"`              // "" = base
	GroupFilter    string         `key:"group_filter" live:"yes"` // "" = by the schema
	Attributes     LDAPAttributes `key:"attributes"`
	Enabled        LDAPEnabled    `key:"enabled"`
	Timeout        time.Duration  `key:"timeout" min:"100ms" max:"1m" live:"yes"` // of an operation, over all servers
	ConnectTimeout time.Duration  `key:"connect_timeout" min:"100ms" max:"1m"`    // to one server
	ReadTimeout    time.Duration  `key:"read_timeout" min:"1s" max:"30m" live:"yes"`
	Pool           int            `key:"pool" min:"1" max:"1000"` // connections for looking up, and for sign-ins
	Refresh        time.Duration  `key:"refresh" min:"1s" max:"24h" live:"yes"`
	PageSize       int            `key:"page_size" min:"10" max:"10000" live:"yes"`
	LoginCache     time.Duration  `key:"login_cache" min:"0s" max:"720h" live:"yes"` // 0 = off
}

// LDAPAttributes name the attributes of people; "" is the schema's, "-" none.
type LDAPAttributes struct {
	User       string   `key:"user"`
	Domain     string   `key:"domain"`
	Name       string   `key:"name"`
	Given      string   `key:"given"`
	Family     string   `key:"family"`
	Mail       string   `key:"mail"`
	Phones     []string `key:"phones"`
	Lines      []string `key:"lines"` // of telephones; empty = phones
	Title      string   `key:"title"`
	Department string   `key:"department"`
	Company    string   `key:"company"`
	Entity     string   `key:"entity"`
	Photo      string   `key:"photo"`
	Groups     string   `key:"groups"`
}

// LDAPEnabled says who may use chat.
type LDAPEnabled struct {
	Filter    string   `key:"filter" live:"yes"`
	Attribute string   `key:"attribute" live:"yes"`
	Value     string   `key:"value" live:"yes"`
	Groups    []string `key:"groups" live:"yes"` // DNs
	Depth     int      `key:"depth" min:"1" max:"100" live:"yes"`
}

func defaultLDAP() LDAP {
	return LDAP{
		Plain: "loopback", Schema: "openldap", Scope: "sub", Enabled: LDAPEnabled{Depth: 16},
		Timeout: 5 * time.Second, ConnectTimeout: 2 * time.Second, ReadTimeout: time.Minute,
		Pool: 8, Refresh: time.Minute, PageSize: 500,
	}
}

// DirectoryDomains are those whose people are in the directory.
func (c Config) DirectoryDomains() []string {
	switch {
	case len(c.LDAP.URLs) == 0:
		return nil
	case len(c.LDAP.Domains) == 0:
		return c.Domains
	}
	return c.LDAP.Domains
}

func (l *loader) checkLDAP() {
	c := l.cfg.LDAP
	for i, text := range c.URLs {
		l.checkLDAPURL(c, text)
		if slices.Contains(c.URLs[:i], text) {
			l.add("ldap.urls", "%s is there twice", text)
		}
	}
	for i, d := range c.Domains {
		switch {
		case !slices.Contains(l.cfg.Domains, d):
			l.add("ldap.domains", "%q is none of domains, %s", d, strings.Join(l.cfg.Domains, ", "))
		case slices.Contains(c.Domains[:i], d):
			l.add("ldap.domains", "%q is there twice", d)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		missing := "ldap.key_file"
		if c.CertFile == "" {
			missing = "ldap.cert_file"
		}
		l.add(missing, "is missing, ldap.cert_file and ldap.key_file go together")
	}
	if c.BindDN != "" && c.BindPassword == "" {
		l.add("ldap.bind_password", "is missing for %s; without a password that would be an anonymous client", c.BindDN)
	}
	if c.Enabled.Attribute == "" && c.Enabled.Value != "" {
		l.add("ldap.enabled.attribute", "is missing, name the attribute that has to have ldap.enabled.value")
	}
	l.checkLDAPFilters(c)
	if len(c.URLs) > 0 && len(l.cfg.Domains) > 0 {
		l.checkLDAPInUse(c)
	}
}

// checkLDAPInUse is for what matters only with a directory.
func (l *loader) checkLDAPInUse(c LDAP) {
	if c.Base == "" {
		l.add("ldap.base", "is missing: where people are, such as dc=example,dc=com")
	}
	if len(l.cfg.DirectoryDomains()) > 1 && (c.Attributes.Domain == "" || c.Attributes.Domain == "-") {
		l.add("ldap.attributes.domain", "is missing: ldap.domains has several, so name the attribute that tells to which somebody belongs, such as mail; or set ldap.domains to one")
	}
	if l.cfg.Demo.Enabled && slices.Contains(l.cfg.DirectoryDomains(), l.cfg.Domains[0]) {
		l.add("demo.enabled", "makes local accounts in %s, whose people are in the directory; set ldap.domains to others", l.cfg.Domains[0])
	}
	if !slices.Contains(l.cfg.Auth.Mechanisms, "PLAIN") && !l.has("auth.mechanisms") {
		l.add("auth.mechanisms", "has no PLAIN, without which nobody of the directory can sign in: it tells passwords to no one, but checks them")
	}
}

// checkLDAPFilters finds what cannot be a filter or an attribute at all; the
// servers have the last word.
func (l *loader) checkLDAPFilters(c LDAP) {
	for _, f := range []struct{ key, text string }{
		{"ldap.filter", c.Filter}, {"ldap.group_filter", c.GroupFilter}, {"ldap.enabled.filter", c.Enabled.Filter},
	} {
		if f.text != "" && (!strings.HasPrefix(f.text, "(") || !strings.HasSuffix(f.text, ")") || strings.Count(f.text, "(") != strings.Count(f.text, ")")) {
			l.add(f.key, "%q is no filter such as (objectClass=person)", f.text)
		}
	}
	a := c.Attributes
	names := []struct{ key, text string }{
		{"user", a.User},
		{"domain", a.Domain},
		{"name", a.Name},
		{"given", a.Given},
		{"family", a.Family},
		{"mail", a.Mail},
		{"title", a.Title},
		{"department", a.Department},
		{"company", a.Company},
		{"entity", a.Entity},
		{"photo", a.Photo},
		{"groups", a.Groups},
	}
	for _, phone := range a.Phones {
		names = append(names, struct{ key, text string }{"phones", phone})
	}
	for _, line := range a.Lines {
		names = append(names, struct{ key, text string }{"lines", line})
	}
	for _, n := range names {
		l.checkAttribute("ldap.attributes."+n.key, n.text)
	}
	l.checkAttribute("ldap.enabled.attribute", c.Enabled.Attribute)
	if a.User == "-" {
		l.add("ldap.attributes.user", "is needed: the attribute with the name in front of the @")
	}
	for _, dn := range c.Enabled.Groups {
		if !strings.Contains(dn, "=") {
			l.add("ldap.enabled.groups", "%q is no DN such as cn=chat,ou=groups,dc=example,dc=com", dn)
		}
	}
}

func (l *loader) checkAttribute(key, name string) {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-.;", r)
	})
	if bad {
		l.add(key, "%q is no name of an attribute", name)
	}
}

func (l *loader) checkLDAPURL(c LDAP, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		// Not told, for it may have a password.
		l.add("ldap.urls", "has what is no address such as ldaps://dc1.example.com or ldap://127.0.0.1:389")
		return
	}
	if u.Scheme == "ldaps" && c.StartTLS {
		l.add("ldap.start_tls", "is for ldap:// addresses, %s has TLS from the start", text)
	}
	if u.Scheme == "ldap" && !c.StartTLS && c.Plain != "any" && !loopback(u.Hostname()) {
		l.add("ldap.urls", "%s has no TLS, so that passwords could be read on the way: use ldaps:// or set ldap.start_tls, or ldap.plain to any", text)
	}
}

func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "localhost"
}
