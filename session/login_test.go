package session_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stream"
)

const (
	sasled = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
	alice  = "YWxpY2U=" // in base64
	eve    = "ZXZl"
)

// TestLogin holds what a client may say against RFC 6120 §6 and §7.
func TestLogin(t *testing.T) {
	const (
		auth    = "<auth " + sasled + " mechanism='NAME'>" + alice + "</auth>"
		success = "<success " + sasled + "/>"
		bind    = "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>desk</resource></bind></iq>"
		result  = "<iq xmlns='jabber:client' type='result' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@example.com/desk</jid></bind></iq>"
		stanza  = "<message xmlns='jabber:client' to='bob@example.com'/>"
	)
	fail := func(condition string) string { return "<failure " + sasled + "><" + condition + "/></failure>" }
	for _, tt := range []struct {
		name  string
		says  []string
		hears string
		end   string // condition of the stream error for the last
	}{
		{"in one step", []string{auth}, success, ""},
		{"in two steps", []string{"<auth " + sasled + " mechanism='STEPS'/>", "<response " + sasled + ">" + alice + "</response>"}, "<challenge " + sasled + ">d2hvPw==</challenge>" + success, ""},
		{"bound", []string{auth, bind}, success + result, ""},
		{"unknown mechanism", []string{"<auth " + sasled + " mechanism='NOVEL'/>"}, fail("invalid-mechanism"), ""},
		{"wrong, then right", []string{"<auth " + sasled + " mechanism='NAME'>" + eve + "</auth>", auth}, fail("not-authorized") + success, ""},
		{"no base64", []string{"<auth " + sasled + " mechanism='NAME'>?</auth>"}, fail("incorrect-encoding"), ""},
		{"no base64 in an exchange", []string{"<auth " + sasled + " mechanism='STEPS'/>", "<response " + sasled + ">?</response>"}, "<challenge " + sasled + ">d2hvPw==</challenge>" + fail("incorrect-encoding"), ""},
		{"aborted", []string{"<auth " + sasled + " mechanism='STEPS'/>", "<abort " + sasled + "/>"}, "<challenge " + sasled + ">d2hvPw==</challenge>" + fail("aborted"), ""},
		{"over with a failure", []string{"<auth " + sasled + " mechanism='STEPS'/>", "<abort " + sasled + "/>", "<response " + sasled + ">" + alice + "</response>"}, "<challenge " + sasled + ">d2hvPw==</challenge>" + fail("aborted"), "not-authorized"},
		{"cause stays inside", []string{"<auth " + sasled + " mechanism='BROKEN'/>"}, fail("temporary-auth-failure"), ""},
		{"response to nothing", []string{"<response " + sasled + "/>"}, "", "not-authorized"},
		{"unknown element", []string{"<dance " + sasled + "/>"}, "", "unsupported-stanza-type"},
		{"twice", []string{auth, auth}, success, "not-authorized"},
		{"stanza first", []string{stanza}, "", "not-authorized"},
		{"stanza before binding", []string{auth, stanza}, success, "not-authorized"},
		{"another request before binding", []string{auth, "<iq xmlns='jabber:client' type='get' id='1'><x xmlns='u:x'/></iq>"}, success, "not-authorized"},
		{"no stanza", []string{auth, bind, "<letter xmlns='jabber:client'/>"}, success + result, "unsupported-stanza-type"},
		{"too many failures", []string{
			"<abort " + sasled + "/>", "<abort " + sasled + "/>", "<abort " + sasled + "/>", "<abort " + sasled + "/>", "<abort " + sasled + "/>",
		}, strings.Repeat(fail("aborted"), 5), "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newWorld(t, nil).open()
			for i, xml := range tt.says {
				end := ""
				if i == len(tt.says)-1 {
					end = tt.end
				}
				c.says(xml, end)
			}
			wants(t, "heard", c.conn.take(), tt.hears)
		})
	}
}

func TestFeatures(t *testing.T) {
	const start, end = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>", "</stream:features>"
	c := newWorld(t, nil).open()
	wants(t, "opened", string(c.Features()), start+"<mechanisms "+sasled+"><mechanism>STEPS</mechanism><mechanism>NAME</mechanism></mechanisms>"+end)
	if c.Authenticated() || !c.JID().IsZero() {
		t.Fatal("authenticated by nothing")
	}
	c.says("<auth "+sasled+" mechanism='NAME'>"+alice+"</auth>", "")
	if !c.Authenticated() || c.JID().String() != "alice@example.com" {
		t.Fatalf("%v as %s", c.Authenticated(), c.JID())
	}
	if err := c.Restart(t.Context(), session.Opening{To: "other.example"}); err == nil {
		t.Fatal("restarted for another domain")
	}
	if err := c.Restart(t.Context(), session.Opening{}); err != nil {
		t.Fatal(err)
	}
	wants(t, "restarted", string(c.Features()), start+
		"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session><more xmlns='u:x'/>"+end)
}

func TestBind(t *testing.T) {
	bind := func(inner string) string {
		return "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" + inner + "</bind></iq>"
	}
	for _, tt := range []struct{ name, inner, resource, condition string }{
		{"asked for", "<resource>desk</resource>", "desk", ""},
		{"prepared", "<resource>cafe&#x301;</resource>", "caf\u00e9", ""},
		{"left to the server", "", "*", ""},
		{"empty", "<resource/>", "*", ""},
		{"too long", "<resource>" + strings.Repeat("x", 1024) + "</resource>", "", "bad-request"},
		{"of no use", "<resource>a&#x200E;b</resource>", "", "bad-request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newWorld(t, nil).open()
			c.says("<auth "+sasled+" mechanism='NAME'>"+alice+"</auth>", "")
			c.conn.take()
			c.says(bind(tt.inner), "")
			got := c.conn.take()
			if tt.condition != "" {
				if !strings.Contains(got, "<"+tt.condition+" ") || c.JID().Resource() != "" {
					t.Fatalf("bound as %s: %s", c.JID(), got)
				}
				c.says(bind("<resource>again</resource>"), "")
				wants(t, "after that", c.JID().Resource(), "again")
				return
			}
			if tt.resource == "*" && len(c.JID().Resource()) < 10 || tt.resource != "*" && c.JID().Resource() != tt.resource {
				t.Fatalf("bound as %s", c.JID())
			}
			if !strings.Contains(got, "<jid>"+c.JID().String()+"</jid>") {
				t.Fatalf("told %s", got)
			}
		})
	}
}

func TestOpenIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, to, condition string
		change              func(*session.Config)
		before              func(*world)
	}{
		{"another domain", "other.example", "host-unknown", nil, nil},
		{"no domain", "@", "host-unknown", nil, nil},
		{"draining", "example.com", "system-shutdown", nil, func(w *world) { w.m.Drain() }},
		{"no room", "example.com", "resource-constraint", func(c *session.Config) { c.Sessions = 1 }, func(w *world) { w.open() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.change)
			if tt.before != nil {
				tt.before(w)
			}
			before := w.m.Len()
			_, err := w.m.Open(t.Context(), &conn{}, session.Opening{To: tt.to})
			e, ok := errors.AsType[*stream.Error](err)
			if !ok || e.Condition != tt.condition || w.m.Len() != before {
				t.Fatalf("got %v, %d sessions", err, w.m.Len())
			}
		})
	}
}

// TestDrain lets those who are in go on.
func TestDrain(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.bound("alice@example.com/desk"), w.bound("bob@example.com/desk")
	w.m.Drain()
	a.says(message("bob@example.com/desk", "1"), "")
	if got := b.conn.take(); !strings.Contains(got, "<body>Hi</body>") {
		t.Fatalf("got %q", got)
	}
}
