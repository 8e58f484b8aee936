package ldap

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/xmpp/jid"
)

// Config sets up a Directory.
type Config struct {
	URLs                      []string // ldap:// or ldaps://, in the order of preference
	StartTLS                  bool
	CAFile, CertFile, KeyFile string
	ServerName                string
	BindDN, BindPassword      string
	Domains                   []string // whose people are in the directory
	Schema                    string   // "openldap" or "ad"
	Base                      string
	OneLevel                  bool // people are right below Base
	GroupBase                 string
	Attributes                Attributes
	ConnectTimeout            time.Duration
	Pool                      int
	Settings
	// Present lists who is signed in, who are looked at more often than others where
	// there are very many; nil: all are looked at. It does not wait.
	Present func() []jid.JID
	Metrics Metrics // nil: none
	Log     *slog.Logger
}

// Settings can change while running.
type Settings struct {
	Filter      string
	GroupFilter string
	Enabled     Enabled
	Timeout     time.Duration // of an operation, over all servers together
	ReadTimeout time.Duration // of a page of people
	Refresh     time.Duration
	PageSize    int
}

// Attributes name what is read of a person; "" is the schema's name, "-" none.
type Attributes struct {
	User, Domain, Name, Given, Family, Mail   string
	Title, Department, Company, Entity, Photo string
	Groups                                    string
	Phones                                    []string
	Lines                                     []string // of telephones; empty = Phones
	id, stamp, control, lock, expiry          string   // of the schema alone
}

// Enabled says who may use chat: those to whom all that is set applies.
type Enabled struct {
	Filter           string
	Attribute, Value string   // Value "" = any
	Groups           []string // DNs
	Depth            int      // of groups within each other
}

// schema is what the names are that nobody gave.
type schema struct {
	filter, groupFilter string
	attributes          Attributes
}

var schemas = map[string]schema{
	"openldap": {
		filter:      "(objectClass=person)",
		groupFilter: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))",
		attributes: Attributes{
			User: "uid", Name: "displayName", Given: "givenName", Family: "sn", Mail: "mail", Title: "title", Department: "departmentNumber",
			Company: "o", Photo: "jpegPhoto", Groups: "memberOf", Phones: []string{"telephoneNumber", "mobile"},
			id: "entryUUID", stamp: "modifyTimestamp", lock: "pwdAccountLockedTime",
		},
	},
	"ad": {
		filter:      "(&(objectCategory=person)(objectClass=user))",
		groupFilter: "(objectClass=group)",
		attributes: Attributes{
			User: "sAMAccountName", Name: "displayName", Given: "givenName", Family: "sn", Mail: "mail", Title: "title", Department: "department",
			Company: "company", Photo: "thumbnailPhoto", Groups: "memberOf", Phones: []string{"telephoneNumber", "mobile", "ipPhone"},
			id: "objectGUID", stamp: "uSNChanged", control: "userAccountControl", expiry: "accountExpires",
		},
	},
}

// complete fills in what the schema says.
func (c Config) complete() (Config, error) {
	s, ok := schemas[cmp.Or(c.Schema, "openldap")]
	if !ok {
		return c, fmt.Errorf("ldap: no schema %q", c.Schema)
	}
	a, of := &c.Attributes, s.attributes
	for _, f := range []struct{ name, other *string }{
		{&a.User, &of.User},
		{&a.Domain, &of.Domain},
		{&a.Name, &of.Name},
		{&a.Given, &of.Given},
		{&a.Family, &of.Family},
		{&a.Mail, &of.Mail},
		{&a.Title, &of.Title},
		{&a.Department, &of.Department},
		{&a.Company, &of.Company},
		{&a.Entity, &of.Entity},
		{&a.Photo, &of.Photo},
		{&a.Groups, &of.Groups},
	} {
		if *f.name = cmp.Or(*f.name, *f.other); *f.name == "-" {
			*f.name = ""
		}
	}
	if len(a.Phones) == 0 {
		a.Phones = of.Phones
	}
	if len(a.Phones) == 1 && a.Phones[0] == "-" {
		a.Phones = nil
	}
	a.id, a.stamp, a.control, a.lock, a.expiry = of.id, of.stamp, of.control, of.lock, of.expiry
	c.GroupBase = cmp.Or(c.GroupBase, c.Base)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 2*time.Second)
	c.Pool = cmp.Or(c.Pool, 8)
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	c.Settings, err = c.Settings.complete(s)
	return c, errors.Join(err, c.checkNames())
}

func (s Settings) complete(of schema) (Settings, error) {
	s.Filter = cmp.Or(s.Filter, of.filter)
	s.GroupFilter = cmp.Or(s.GroupFilter, of.groupFilter)
	s.Enabled.Depth = cmp.Or(s.Enabled.Depth, 16)
	s.Timeout = cmp.Or(s.Timeout, 5*time.Second)
	s.ReadTimeout = cmp.Or(s.ReadTimeout, time.Minute)
	s.Refresh = cmp.Or(s.Refresh, time.Minute)
	s.PageSize = cmp.Or(s.PageSize, 500)
	var errs []error
	for _, f := range []struct{ key, text string }{{"filter", s.Filter}, {"group_filter", s.GroupFilter}, {"enabled.filter", s.Enabled.Filter}} {
		if f.text == "" {
			continue
		}
		if _, err := goldap.CompileFilter(f.text); err != nil {
			errs = append(errs, fmt.Errorf("ldap.%s: %q is no filter: %w", f.key, f.text, err))
		}
	}
	for _, dn := range s.Enabled.Groups {
		if _, err := goldap.ParseDN(dn); err != nil {
			errs = append(errs, fmt.Errorf("ldap.enabled.groups: %q is no DN: %w", dn, err))
		}
	}
	return s, errors.Join(errs...)
}

func (c Config) checkNames() error {
	var errs []error
	for _, dn := range []struct{ key, text string }{{"base", c.Base}, {"group_base", c.GroupBase}} {
		if _, err := goldap.ParseDN(dn.text); err != nil {
			errs = append(errs, fmt.Errorf("ldap.%s: %q is no DN: %w", dn.key, dn.text, err))
		}
	}
	if len(c.URLs) == 0 || len(c.Domains) == 0 {
		errs = append(errs, errors.New("ldap: no servers or no domains"))
	}
	return errors.Join(errs...)
}

// tls makes what a server's certificate is checked against.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ldap.ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ldap.ca_file: %s has no certificate as PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("ldap.cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
