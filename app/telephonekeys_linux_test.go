package app_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/siptest"
)

const inCall = `"state":"in-call"`

// subscriptions reads items of sip.subscribe.
func subscriptions(t *testing.T, items ...string) []configs.SIPServer {
	t.Helper()
	cfg, err := configs.Parse([]byte("sip: {subscribe: [" + strings.Join(items, ", ") + "]}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.SIP.Subscribe
}

func closed(t *testing.T, addr string) {
	t.Helper()
	eventually(t, addr+" is closed", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

// TestTelephoneKeys has telephones publish at a node that is told to listen, to listen elsewhere, and not
// to listen any more, while it runs.
func TestTelephoneKeys(t *testing.T) {
	t.Parallel()
	ports := freePorts(t, 2)
	first, second := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]
	tell := func(addr, line, state string) {
		t.Helper()
		if err := publish(t.Context(), addr, line, state, time.Minute); err != nil {
			t.Error(err)
		}
	}
	r := startReloader(t, func(c *configs.Config) { c.Presence.Lines = []string{"2001=alice", "2002=bob"} })
	for _, user := range []string{"alice", "bob"} {
		r.login(user).ask("<presence xmlns='jabber:client'/>")
	}
	on := func(addr string) func(c *configs.Config) {
		return func(c *configs.Config) {
			c.SIP.Listen, c.SIP.Transports = addr, []string{"tcp"}
			c.SIP.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
	}
	r.changes(on(first))
	tell(first, "2001", "in-call")
	r.knows("alice", onPhone, inCall)

	// Nothing that is refused leaves a trace.
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	server := func(more string) []configs.SIPServer {
		return subscriptions(t, "{server: 'sip:127.0.0.1:1;transport=tcp', lines: ['2002']"+more+"}")
	}
	for why, change := range map[string]func(*configs.Config){
		"sip.listen: listen for SIP": on(busy.Addr().String()),
		"sip.tls_listen: listen for SIP over TLS": func(c *configs.Config) {
			c.SIP.Transports, c.SIP.TLSListen = []string{"tcp", "tls"}, busy.Addr().String()
		},
		"sip.users_file":                 func(c *configs.Config) { c.SIP.UsersFile, c.SIP.Trusted = "/nowhere/users", nil },
		"sip.subscribe[0].password_file": func(c *configs.Config) { c.SIP.Subscribe = server(", user: a, password_file: /nowhere/password") },
		"certs.cert_file": func(c *configs.Config) {
			on(second)(c)
			c.Certs.CertFile, c.Certs.KeyFile = "/nowhere/cert.pem", "/nowhere/key.pem"
		},
		"presence.calendars[0]": func(c *configs.Config) {
			c.SIP.Trusted = nil
			c.Presence.Calendars = calendarsOf(t, "{name: work, url: 'https://127.0.0.1:1/{user}', ca_file: /nowhere/ca.pem}")
		},
	} {
		r.refuses(change, why)
	}
	closed(t, second)
	tell(first, "2002", "ringing")
	r.knows("bob", `"ringing"`)
	r.knows("alice", onPhone)

	r.changes(on(second))
	tell(second, "2002", "in-call")
	r.knows("bob", onPhone)
	r.knows("alice", onPhone)
	closed(t, first)
	// A file that is read again, though no key differs.
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.changes(func(c *configs.Config) { c.SIP.UsersFile = users })
	if err := os.WriteFile(users, []byte("nothing of the kind\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.refuses(func(*configs.Config) {}, "sip.users_file")

	off := func(c *configs.Config) { c.SIP.Trusted, c.SIP.UsersFile = nil, "" }
	r.changes(off)
	r.knows("alice", atLeisure, "!"+inCall)
	r.knows("bob", atLeisure, "!"+inCall)
	closed(t, second)
	for range 5 {
		r.changes(on(first))
		r.changes(off)
	}
	r.changes(on(first))
	tell(first, "2001", "in-call")
	r.knows("alice", onPhone)
}

const onPhone = `"state":"on-the-phone"`

// TestSubscriptionKeys adds lines of a real Kamailio, and takes them and the server away.
func TestSubscriptionKeys(t *testing.T) {
	t.Parallel()
	k := siptest.Kamailio(t)
	r := startReloader(t, func(c *configs.Config) { c.Presence.Lines = []string{"2001=alice", "2002=bob"} })
	for _, user := range []string{"alice", "bob"} {
		r.login(user).ask("<presence xmlns='jabber:client'/>")
	}
	for _, line := range []string{"2001", "2002"} {
		if err := publish(t.Context(), k.Addr(), line, "in-call", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(lines string) func(*configs.Config) {
		return func(c *configs.Config) {
			c.SIP.Listen, c.SIP.Transports = "127.0.0.1:0", []string{"tcp"}
			c.SIP.Subscribe = subscriptions(t, "{server: 'sip:"+k.Addr()+";transport=tcp', event: presence, lines: ["+lines+"]}")
		}
	}
	const one, two = "'sip:2001@pbx.example.com'", "'sip:2002@pbx.example.com'"
	r.changes(lines(one))
	r.knows("alice", onPhone)
	r.knows("bob", atLeisure)
	r.sources(`kind=sip ended=[] begun="[sip:` + k.Addr() + `;transport=tcp presence]" changed=[] kept=0`)
	r.changes(lines(one + ", " + two))
	r.sources(`kind=sip ended=[] begun=[] changed="[sip:` + k.Addr())
	r.knows("bob", onPhone)
	r.knows("alice", onPhone)
	r.changes(lines(two))
	r.knows("alice", atLeisure)
	r.knows("bob", onPhone)
	r.changes(func(c *configs.Config) { c.SIP.Subscribe = nil })
	r.knows("bob", atLeisure)
}
