package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/internal/redistest"
)

const inDirectory = "example.com"

// inLDAP is somebody of the directory, as LDIF; the password is password.
func inLDAP(name string, more ...string) string {
	return fmt.Sprintf("dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[3]s\n%[4]s\n\n",
		name, ldaptest.People, password, strings.Join(more, "\n"))
}

func modify(name, change string) string {
	return "dn: uid=" + name + "," + ldaptest.People + "\nchangetype: modify\n" + change + "\n"
}

// withLDAP has the people of example.com in directories, and those of localhost in
// the store.
func withLDAP(servers ...*ldaptest.Server) func(*configs.Config) {
	return func(c *configs.Config) {
		c.Domains = append(c.Domains, inDirectory)
		c.LDAP.Domains, c.LDAP.Base = []string{inDirectory}, ldaptest.Base
		c.LDAP.BindDN, c.LDAP.BindPassword = ldaptest.Reader, ldaptest.ReaderPassword
		c.LDAP.Refresh, c.LDAP.Timeout = time.Second, 3*time.Second
		for _, s := range servers {
			c.LDAP.URLs = append(c.LDAP.URLs, s.URL())
		}
	}
}

// openAt begins a session of a domain and returns what is offered.
func (s *server) openAt(domain string) (*client, string) {
	s.t.Helper()
	c := &client{s: s, rid: 1000}
	_, body := s.post("<body xmlns='http://jabber.org/protocol/httpbind' rid='1000' to='" + domain + "' ver='1.11' wait='5' hold='1'/>")
	m := sidOf.FindStringSubmatch(body)
	if m == nil {
		s.t.Fatalf("creation: %s", body)
	}
	c.sid = m[1]
	return c, body
}

// attempt signs in to example.com and returns the answer.
func (s *server) attempt(user, password string) string {
	s.t.Helper()
	c, _ := s.openAt(inDirectory)
	return c.auth(user, password)
}

func (s *server) loginAt(user string) *client { s.t.Helper(); return s.enter(user, "desk") }

func (s *server) enter(user, resource string) *client {
	s.t.Helper()
	c, _ := s.openAt(inDirectory)
	want(s.t, "auth", c.auth(user, password), "<success")
	want(s.t, "restart", c.body("xmpp:restart='true' to='example.com'", ""), "urn:ietf:params:xml:ns:xmpp-bind")
	want(s.t, "bind", c.send("<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>"+resource+"</resource></bind></iq>"), user+"@example.com/"+resource)
	return c
}

func mail(to, id string) string {
	return fmt.Sprintf("<message xmlns='jabber:client' to='%s@example.com' type='chat' id='%s'><body>%s</body></message>", to, id, id)
}

// TestDirectory has people of a directory beside local ones.
func TestDirectory(t *testing.T) {
	t.Parallel()
	d := ldaptest.Start(t, ldaptest.Config{})
	d.Load(inLDAP("anna", "employeeType: agent") + inLDAP("ben", "employeeType: agent") + inLDAP("guest"))
	s := start(t, func(c *configs.Config) {
		withLDAP(d)(c)
		c.LDAP.Enabled.Filter = "(employeeType=agent)"
	})
	_, offered := s.openAt(inDirectory)
	want(t, "offer", offered, "<mechanism>PLAIN</mechanism>")
	if strings.Contains(offered, "SCRAM") {
		t.Errorf("offered %s", offered)
	}
	_, offered = s.openAt("localhost")
	want(t, "offer of local accounts", offered, "SCRAM-SHA-256", "PLAIN")
	alice := s.login("alice")
	anna := s.loginAt("anna")
	for name, c := range map[string]struct{ user, password, want string }{
		"wrong password":           {"anna", "wrong", "<not-authorized/></failure>"},
		"nobody":                   {"nobody", password, "<not-authorized/></failure>"},
		"empty password":           {"anna", "", "<malformed-request/>"},
		"injection":                {"*)(uid=*", password, "<not-authorized/></failure>"},
		"impossible name":          {"a@b", password, "<not-authorized/></failure>"},
		"not enabled":              {"guest", password, "<account-disabled/><text xml:lang='en'>chat is not enabled: the filter (employeeType=agent) is not true"},
		"not enabled and wrong":    {"guest", "wrong", "<not-authorized/></failure>"},
		"local name, other domain": {"alice", password, "<not-authorized/></failure>"},
	} {
		if got := s.attempt(c.user, c.password); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	scram, _ := s.openAt(inDirectory)
	want(t, "SCRAM", scram.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hbm5hLHI9YWJj</auth>"), "<invalid-mechanism/>")

	// Ben has never signed in, and gets what is sent to him all the same.
	anna.ask(mail("ben", "hello"))
	anna.ask("<presence xmlns='jabber:client' type='subscribe' to='ben@example.com'/>")
	want(t, "to nobody", anna.ask(mail("nobody", "lost")), "service-unavailable")
	want(t, "to guest", anna.ask(mail("guest", "lost")), "service-unavailable")
	want(t, "private XML", anna.ask("<iq xmlns='jabber:client' type='set' id='p'><query xmlns='jabber:iq:private'><x xmlns='x'>kept</x></query></iq>"), "id='p'", "type='result'")
	want(t, "vCard", anna.ask("<iq xmlns='jabber:client' type='set' id='v'><vCard xmlns='vcard-temp'><FN>Anna</FN></vCard></iq>"), "id='v'", "<not-allowed")
	want(t, "password", anna.ask("<iq xmlns='jabber:client' type='set' id='r' to='example.com'><query xmlns='jabber:iq:register'><username>anna</username><password>x</password></query></iq>"), "not-allowed")
	ben := s.loginAt("ben")
	want(t, "offline", ben.ask("<presence xmlns='jabber:client'/>"), "<body>hello</body>", "type='subscribe'")
	want(t, "last", ben.ask("<iq xmlns='jabber:client' type='get' id='x'><query xmlns='jabber:iq:private'><x xmlns='x'/></query></iq>"), "id='x'")

	// Withdrawn, deleted, and there again.
	eventually(t, "everybody is read", func() bool { _, text := s.readyz(); return strings.Contains(text, "3 people, 2 enabled") })
	d.Modify(modify("anna", "replace: employeeType\nemployeeType: guest"))
	want(t, "withdrawn", anna.over(), "not-authorized", "chat is not enabled any more: the filter")
	want(t, "withdrawn", s.attempt("anna", password), "account-disabled")
	d.Delete("uid=ben," + ldaptest.People)
	want(t, "deleted", ben.over(), "not-authorized", "there is no such person in the directory any more")
	d.Modify(modify("anna", "replace: employeeType\nemployeeType: agent"))
	eventually(t, "enabled again", func() bool { return strings.Contains(s.attempt("anna", password), "<success") })
	want(t, "private XML", s.loginAt("anna").ask("<iq xmlns='jabber:client' type='get' id='p'><query xmlns='jabber:iq:private'><x xmlns='x'/></query></iq>"), ">kept<")
	want(t, "a local chat", alice.ask(""), "id='ask")
}

// over waits for the end of a session and returns what was said of it.
func (c *client) over() string {
	c.s.t.Helper()
	for range 30 {
		if got := c.send(""); strings.Contains(got, "type='terminate'") {
			return got
		}
	}
	c.s.t.Fatal("the session goes on")
	return ""
}

// TestDirectoryAway kills, hangs and restarts the directory in the middle of
// sign-ins: those fail in bounded time and recover by themselves, and nobody else
// notices.
func TestDirectoryAway(t *testing.T) {
	t.Parallel()
	d := ldaptest.Start(t, ldaptest.Config{})
	d.Load(inLDAP("anna") + inLDAP("ben") + inLDAP("cora"))
	s := start(t, func(c *configs.Config) {
		withLDAP(d)(c)
		c.LDAP.Timeout, c.LDAP.LoginCache = time.Second, time.Hour
	})
	anna, alice := s.loginAt("anna"), s.login("alice")
	eventually(t, "everybody is read", func() bool { _, text := s.readyz(); return strings.Contains(text, "3 people, 3 enabled") })
	for _, c := range []struct {
		name     string
		user     string // who has not signed in before
		off, on  func()
		attempts int
	}{{"hung", "ben", d.Freeze, d.Thaw, 60}, {"killed", "cora", d.Kill, d.Start, 10}} {
		c.off()
		var wg sync.WaitGroup
		began := time.Now()
		for range c.attempts {
			wg.Go(func() {
				got := s.attempt(c.user, password)
				if !strings.Contains(got, "<temporary-auth-failure/><text xml:lang='en'>the directory with the passwords does not answer") {
					t.Errorf("%s: %s", c.name, got)
				}
			})
		}
		s.login("bob") // meanwhile
		want(t, "a local chat", alice.ask(""), "id='ask")
		want(t, "a chat of the directory", anna.ask(mail("anna", "to-myself")), "id='ask")
		wg.Wait()
		if took := time.Since(began); took > 25*time.Second {
			t.Errorf("%s: answered after %s", c.name, took)
		}
		// Who signed in before may do so again, with the same password.
		want(t, "remembered", s.attempt("anna", password), "<success")
		want(t, "not remembered", s.attempt("anna", "wrong"), "temporary-auth-failure")
		status, text := s.readyz()
		if status != http.StatusOK || !strings.HasPrefix(text, "ready, degraded\n") || !strings.Contains(text, "ldap: degraded: no server answers") {
			t.Errorf("%s: readyz: %d %s", c.name, status, text)
		}
		c.on()
		eventually(t, "sign-ins after "+c.name, func() bool { return strings.Contains(s.attempt(c.user, password), "<success") })
		want(t, "the same session", anna.ask(""), "id='ask")
		eventually(t, "ready after "+c.name, func() bool { _, text := s.readyz(); return strings.HasPrefix(text, "ready\n") })
	}
	metrics := get(t, "http://"+s.ops+"/metrics")
	want(t, "metrics", metrics, "deskline_ldap_seconds_count{operation=\"bind\"}", "deskline_ldap_up{server=\""+d.URL()+"\"} 1", "deskline_ldap_people 3",
		"deskline_ldap_enabled 3", "deskline_ldap_read_timestamp_seconds", "deskline_ldap_errors_total")
}

// TestDirectoryCluster withdraws chat from somebody who is signed in on each of two
// nodes: each ends its own sessions, and both refuse new ones.
func TestDirectoryCluster(t *testing.T) {
	t.Parallel()
	d, r := ldaptest.Start(t, ldaptest.Config{}), redistest.Start(t)
	d.Load(inLDAP("anna") + inLDAP("ben") + "dn: cn=agents," + ldaptest.Groups + "\nobjectClass: groupOfNames\ncn: agents\nmember: uid=anna," + ldaptest.People +
		"\nmember: uid=ben," + ldaptest.People + "\n\ndn: cn=chat," + ldaptest.Groups + "\nobjectClass: groupOfNames\ncn: chat\nmember: cn=agents," + ldaptest.Groups + "\n")
	ports := freePorts(t, 4)
	var nodes []*server
	for i, name := range []string{"n1", "n2"} {
		run(t, fmt.Sprintf(`
domains: [example.com]
data_dir: %q
http: {listen: "127.0.0.1:%s"}
admin: {listen: "off"}
store: {kind: redis}
redis: {url: %q}
cluster: {node: %s, listen: "127.0.0.1:%s", public_url: "http://127.0.0.1:%[2]s", seeds: ["127.0.0.1:%[6]s", "127.0.0.1:%[7]s"], pairs: [[n1, n2]]}
ldap:
  urls: [%q]
  base: %q
  bind_dn: %q
  bind_password: %q
  refresh: 1s
  enabled: {groups: ["cn=chat,%s"]}
`, t.TempDir(), ports[i], r.URL(), name, ports[2+i], ports[2], ports[3], d.URL(), ldaptest.Base, ldaptest.Reader, ldaptest.ReaderPassword, ldaptest.Groups))
		nodes = append(nodes, &server{t: t, addr: "127.0.0.1:" + ports[i]})
	}
	one, two, other := nodes[0].enter("anna", "one"), nodes[1].enter("anna", "two"), nodes[1].enter("ben", "desk")
	want(t, "from node to node", one.ask(mail("ben", "hello")+"<presence xmlns='jabber:client'/>"), "id='ask")
	d.Modify("dn: cn=agents," + ldaptest.Groups + "\nchangetype: modify\ndelete: member\nmember: uid=anna," + ldaptest.People + "\n")
	var wg sync.WaitGroup
	for _, c := range []*client{one, two} {
		wg.Go(func() {
			if got := c.over(); !strings.Contains(got, "chat is not enabled any more: not in the group cn=chat") {
				t.Errorf("ended with %s", got)
			}
		})
	}
	wg.Wait()
	for i, n := range nodes {
		if got := n.attempt("anna", password); !strings.Contains(got, "account-disabled") {
			t.Errorf("n%d: %s", i+1, got)
		}
	}
	want(t, "others stay", other.ask(""), "id='ask")
	want(t, "others stay", nodes[0].enter("ben", "again").ask(""), "id='ask")
}
