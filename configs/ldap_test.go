package configs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
)

// ldapYAML is the smallest file with a directory.
const ldapYAML = `
domains: [example.com, example.org]
ldap:
  urls: ["ldaps://dc1.example.com", "ldap://localhost:389"]
  domains: [example.com]
  base: dc=example,dc=com
`

func TestLDAP(t *testing.T) {
	cfg, err := configs.Parse([]byte(ldapYAML))
	if err != nil || !slices.Equal(cfg.DirectoryDomains(), []string{"example.com"}) {
		t.Errorf("%v, %v", cfg.DirectoryDomains(), err)
	}
	if none := configs.Default().DirectoryDomains(); len(none) != 0 {
		t.Errorf("without a directory: %v", none)
	}
	for _, tt := range []struct{ name, old, replaced, want string }{
		{"all domains", "  domains: [example.com]\n", "", "ldap.attributes.domain: is missing: ldap.domains has several"},
		{"all domains, told apart", "  domains: [example.com]\n", "  attributes: {domain: mail}\n", ""},
		{"another domain", "[example.com]\n", "[example.net]\n", `ldap.domains: "example.net" is none of domains, example.com, example.org`},
		{"upper case", "[example.com]\n", "[EXAMPLE.com]\n", ""},
		{"no base", "  base: dc=example,dc=com\n", "", "ldap.base: is missing"},
		{"no TLS", "ldap://localhost:389", "ldap://dc2.example.com", "ldap.urls: ldap://dc2.example.com has no TLS"},
		{"no TLS allowed", `"ldap://localhost:389"]`, "\"ldap://dc2.example.com\"]\n  plain: any", ""},
		{"StartTLS", `["ldaps://dc1.example.com", "ldap://localhost:389"]`, "[\"ldap://dc2.example.com\"]\n  start_tls: true", ""},
		{"TLS twice", `389"]`, "389\"]\n  start_tls: true", "ldap.start_tls: is for ldap:// addresses"},
		{"loopback addresses", "localhost:389", "[::1]:389", ""},
		{"no address", "ldap://localhost:389", "localhost", "ldap.urls: has what is no address"},
		{"a password in the address", "ldap://localhost", "ldap://a:secret@localhost", "ldap.urls: has what is no address"},
		{"no password", "  base", "  bind_dn: cn=a\n  base", "ldap.bind_password: is missing for cn=a"},
		{"half a certificate", "  base", "  cert_file: a.pem\n  base", "ldap.key_file: is missing"},
		{"a filter", "  base", "  filter: (uid=*\n  base", `ldap.filter: "(uid=*" is no filter`},
		{"a value alone", "  base", "  enabled: {value: yes}\n  base", "ldap.enabled.value"},
		{"a group", "  base", "  enabled: {groups: [chat]}\n  base", `ldap.enabled.groups: "chat" is no DN`},
		{"an attribute", "  base", "  attributes: {mail: \"a)(b\"}\n  base", `ldap.attributes.mail: "a)(b" is no name of an attribute`},
		{"no PLAIN", "ldap:\n", "auth: {mechanisms: [SCRAM-SHA-256]}\nldap:\n", "auth.mechanisms: has no PLAIN"},
		{"the demo", "ldap:\n", "demo: {enabled: true}\nldap:\n", "demo.enabled: makes local accounts in example.com"},
	} {
		file := strings.Replace(ldapYAML, tt.old, tt.replaced, 1)
		_, err := configs.Parse([]byte(file))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s tells a secret: %v", tt.name, err)
		}
	}
}
