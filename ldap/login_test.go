package ldap_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/xmpp/jid"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{})
	s.Load(person("alice") + person("o'brien") + person("Büro Zwei") + person("star*") + person("par(en)") + strings.Replace(person(`back\slash`), `uid=back\slash`, `uid=back\\slash`, 1) +
		"dn: ou=twins," + ldaptest.Base + "\nobjectClass: organizationalUnit\nou: twins\n\n" +
		strings.ReplaceAll(person("alice2"), "alice2", "twin") + strings.ReplaceAll(strings.ReplaceAll(person("twin"), ldaptest.People, "ou=twins,"+ldaptest.Base), "sn: twin", "sn: other"))
	d := open(t, config(s))
	for name, c := range map[string]struct {
		user, password string
		want           error
	}{
		"right":                   {"alice", "alice's secret", nil},
		"other case":              {"ALICE", "alice's secret", nil},
		"wrong":                   {"alice", "bob's secret", ldap.ErrPassword},
		"empty":                   {"alice", "", ldap.ErrPassword},
		"NUL":                     {"alice", "alice's secret\x00", ldap.ErrPassword},
		"NUL alone":               {"alice", "\x00", ldap.ErrPassword},
		"long":                    {"alice", strings.Repeat("x", 1<<20), ldap.ErrPassword},
		"nobody":                  {"nobody", "alice's secret", ldap.ErrPassword},
		"nobody, empty":           {"nobody", "", ldap.ErrPassword},
		"star":                    {"*", "alice's secret", ldap.ErrPassword},
		"prefix":                  {"ali*", "alice's secret", ldap.ErrPassword},
		"injection":               {"*)(uid=alice", "alice's secret", ldap.ErrPassword},
		"injection or":            {"alice)(|(uid=*", "alice's secret", ldap.ErrPassword},
		"long name":               {strings.Repeat("a", 1000), "alice's secret", ldap.ErrPassword},
		"apostrophe":              {`o\27brien`, "o'brien's secret", nil},
		"space":                   {`Büro\20Zwei`, "Büro Zwei's secret", nil},
		"a star in the name":      {"star*", "star*'s secret", nil},
		"parentheses in the name": {"par(en)", "par(en)'s secret", nil},
		"a backslash in the name": {`back\slash`, `back\slash's secret`, nil},
		"two of the name":         {"twin", "twin's secret", ldap.ErrAmbiguous},
		"the service":             {"reader", ldaptest.ReaderPassword, ldap.ErrPassword},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := jid.New(c.user, "example.com", "")
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Login(t.Context(), j, c.password, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestReferral has a branch that is on another server, which is not followed.
func TestReferral(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{})
	s.Load(person("alice") + "dn: ou=away," + ldaptest.Base + "\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\nref: ldap://127.0.0.1:1/ou=away\n")
	d, all := run(t, config(s))
	if err := d.Login(t.Context(), user("alice"), "alice's secret", nil); err != nil || all.len() != 1 {
		t.Errorf("%v, %d people", err, all.len())
	}
	cfg := config(s)
	cfg.Base = "ou=away," + ldaptest.Base
	err := open(t, cfg).Login(t.Context(), user("alice"), "alice's secret", nil)
	if err == nil || !strings.Contains(err.Error(), "refers to another one (result code 10), which is not followed") {
		t.Errorf("got %v", err)
	}
}

func TestDisabled(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{})
	s.Load(person("alice", "employeeType: agent") + person("bob", "employeeType: guest") + person("carol") +
		groupOf("inner", dnOf("alice"), groupDN("outer")) + groupOf("outer", groupDN("inner")) + groupOf("other", dnOf("carol")))
	s.Load("dn: cn=posix," + ldaptest.Groups + "\nobjectClass: posixGroup\ncn: posix\ngidNumber: 1\nmemberUid: carol\n")
	for name, c := range map[string]struct {
		enabled        ldap.Enabled
		in, out        string
		why, wrongDeep string
	}{
		"filter":        {enabled: ldap.Enabled{Filter: "(employeeType=agent)"}, in: "alice", out: "bob", why: "the filter (employeeType=agent) is not true"},
		"attribute":     {enabled: ldap.Enabled{Attribute: "employeeType", Value: "AGENT"}, in: "alice", out: "bob", why: "employeeType is not AGENT"},
		"any value":     {enabled: ldap.Enabled{Attribute: "employeeType"}, in: "bob", out: "carol", why: "employeeType is not set"},
		"group":         {enabled: ldap.Enabled{Groups: []string{groupDN("inner")}}, in: "alice", out: "carol", why: "not in the group cn=inner"},
		"nested, cycle": {enabled: ldap.Enabled{Groups: []string{"CN=Outer, " + ldaptest.Groups}}, in: "alice", out: "bob", why: "not in the group CN=Outer"},
		"too deep":      {enabled: ldap.Enabled{Groups: []string{groupDN("outer"), groupDN("other")}, Depth: 1}, in: "carol", out: "alice", why: "in none of the groups"},
		"posix":         {enabled: ldap.Enabled{Groups: []string{"cn=posix," + ldaptest.Groups}}, in: "carol", out: "bob", why: "not in the group"},
		"all of them":   {enabled: ldap.Enabled{Filter: "(employeeType=agent)", Groups: []string{groupDN("inner")}}, in: "alice", out: "bob", why: "the filter"},
		"no such group": {enabled: ldap.Enabled{Groups: []string{groupDN("none"), groupDN("inner")}}, in: "alice", out: "bob", why: "in none of the groups"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			cfg.Enabled = c.enabled
			d, all := run(t, cfg)
			if err := d.Login(t.Context(), user(c.in), c.in+"'s secret", nil); err != nil {
				t.Errorf("%s: %v", c.in, err)
			}
			err := d.Login(t.Context(), user(c.out), c.out+"'s secret", nil)
			if no, ok := errors.AsType[*ldap.DisabledError](err); !ok || !strings.Contains(no.Why, c.why) {
				t.Errorf("%s: %v", c.out, err)
			}
			// With a wrong password nothing is told.
			if err := d.Login(t.Context(), user(c.out), "wrong", nil); !errors.Is(err, ldap.ErrPassword) {
				t.Errorf("%s, wrong: %v", c.out, err)
			}
			// What was read at large agrees.
			if p, _ := all.get(c.in); !p.Enabled || p.Why != "" {
				t.Errorf("%s: %+v", c.in, p)
			}
			if p, _ := all.get(c.out); p.Enabled || !strings.Contains(p.Why, c.why) {
				t.Errorf("%s: %+v", c.out, p)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := ldaptest.NewCA(t), ldaptest.NewCA(t)
	s := ldaptest.Start(t, ldaptest.Config{TLS: ca, ClientCert: true})
	cert, key := ca.Issue(t, "node")
	badCert, badKey := other.Issue(t, "node")
	for name, c := range map[string]struct {
		change func(*ldap.Config)
		want   string
	}{
		"LDAPS":                   {func(c *ldap.Config) { c.URLs = []string{s.TLSURL()} }, ""},
		"StartTLS":                {func(c *ldap.Config) { c.StartTLS = true }, ""},
		"LDAPS, unknown CA":       {func(c *ldap.Config) { c.URLs, c.CAFile = []string{s.TLSURL()}, "" }, "certificate signed by unknown authority"},
		"StartTLS, unknown CA":    {func(c *ldap.Config) { c.StartTLS, c.CAFile = true, other.File }, "certificate signed by unknown authority"},
		"another name":            {func(c *ldap.Config) { c.StartTLS, c.ServerName = true, "ldap.example.com" }, "ldap.example.com"},
		"the name":                {func(c *ldap.Config) { c.StartTLS, c.ServerName = true, "localhost" }, ""},
		"no client certificate":   {func(c *ldap.Config) { c.StartTLS, c.CertFile = true, "" }, "no directory server answers"},
		"other client's CA":       {func(c *ldap.Config) { c.StartTLS, c.CertFile, c.KeyFile = true, badCert, badKey }, "no directory server answers"},
		"service's password":      {func(c *ldap.Config) { c.StartTLS, c.BindPassword = true, "wrong" }, "bind as cn=reader"},
		"a port without a server": {func(c *ldap.Config) { c.URLs = []string{"ldap://127.0.0.1:1"} }, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(s)
			cfg.CAFile, cfg.CertFile, cfg.KeyFile = ca.File, cert, key
			c.change(&cfg)
			d := open(t, cfg)
			ok, err := d.Exists(t.Context(), user("nobody"))
			switch {
			case ok, c.want == "" && err != nil:
				t.Errorf("%v, %v", ok, err)
			case c.want != "" && (err == nil || !errors.Is(err, ldap.ErrAway) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestTrouble has the first of two servers killed, hung and restarted in the middle
// of sign-ins.
func TestTrouble(t *testing.T) {
	t.Parallel()
	a, b := ldaptest.Start(t, ldaptest.Config{}), ldaptest.Start(t, ldaptest.Config{})
	a.Load(person("alice"))
	b.Load(person("alice"))
	cfg := config(a, b)
	cfg.Timeout = 3 * time.Second
	d := open(t, cfg)
	try := func() error { return d.Login(t.Context(), user("alice"), "alice's secret", nil) }
	both := func(what string) {
		t.Helper()
		if err := try(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	both("both")
	a.Kill()
	both("first killed")
	a.Start()
	both("first is back")
	a.Freeze()
	eventually(t, "the second takes over from one that hangs", func() bool { return try() == nil })
	b.Freeze()
	// Many at once, all of which have to be answered in time.
	began := time.Now()
	var wg sync.WaitGroup
	for range 700 {
		wg.Go(func() {
			if err := try(); !errors.Is(err, ldap.ErrAway) && !errors.Is(err, ldap.ErrBusy) {
				t.Errorf("both hang: %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("answered after %s", took)
	}
	a.Thaw()
	eventually(t, "the first goes on", func() bool { return try() == nil })
	a.Kill()
	b.Kill()
	if err := try(); !errors.Is(err, ldap.ErrAway) {
		t.Errorf("both dead: %v", err)
	}
	b.Start()
	eventually(t, "the second is back", func() bool { return try() == nil })
}
