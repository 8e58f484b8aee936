package configs

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/deskline/deskline/presence/sip"
)

// SIP is how telephones tell what their lines do. Nothing listens unless
// somebody may publish or is subscribed to.
type SIP struct {
	Listen          string         `key:"listen" live:"yes"`     // UDP and TCP
	TLSListen       string         `key:"tls_listen" live:"yes"` // TLS
	Transports      []string       `key:"transports" live:"yes"`
	Trusted         []netip.Prefix `key:"trusted" live:"yes"` // who publishes without a password
	Domains         []string       `key:"domains" live:"yes"` // of the lines published; empty = any
	Realm           string         `key:"realm" live:"yes"`   // of digest
	UsersFile       string         `key:"users_file" live:"yes"`
	MinExpires      time.Duration  `key:"min_expires" min:"1s" max:"1h" live:"yes"`
	MaxExpires      time.Duration  `key:"max_expires" min:"1m" max:"24h" live:"yes"`
	MaxPublications int            `key:"max_publications" min:"1" max:"1000000" live:"yes"`
	Rate            int            `key:"rate" min:"10" max:"1000000" live:"yes"` // messages a second of one address
	CAFile          string         `key:"ca_file"`                                // PEM, of servers subscribed to; "" = the system's
	Subscribe       []SIPServer    `key:"subscribe" live:"yes"`
}

// SIPServer is a PBX whose lines are subscribed to, one of sip.subscribe.
type SIPServer struct {
	Server       string        `key:"server"`
	Event        string        `key:"event"`
	Lines        []string      `key:"lines"`
	Lists        []string      `key:"lists"`    // RFC 4662
	LinesTo      string        `key:"lines_to"` // RFC 5367
	From         string        `key:"from"`
	User         string        `key:"user"`
	PasswordFile string        `key:"password_file"`
	Expires      time.Duration `key:"expires" min:"10s" max:"24h"`
}

func (SIPServer) item() any { return SIPServer{Event: "dialog", Expires: 5 * time.Minute} }

// Subscription is the server in the words of the sip package, without the password.
func (s SIPServer) Subscription() sip.Subscription {
	return sip.Subscription{Server: s.Server, Event: s.Event, Lines: s.Lines, Lists: s.Lists, LinesTo: s.LinesTo, From: s.From, User: s.User, Expires: s.Expires}
}

func defaultSIP() SIP {
	return SIP{
		Listen: ":5060", TLSListen: ":5061", Transports: []string{"udp", "tcp", "tls"}, Realm: "deskline",
		MinExpires: time.Minute, MaxExpires: time.Hour, MaxPublications: 100_000, Rate: 2000,
	}
}

// Enabled reports whether anybody tells of lines over SIP.
func (s SIP) Enabled() bool {
	return len(s.Trusted) > 0 || s.UsersFile != "" || len(s.Subscribe) > 0
}

// Speaks reports whether a transport is in use.
func (s SIP) Speaks(transport string) bool { return slices.Contains(s.Transports, transport) }

func (l *loader) checkSIP() {
	c := l.cfg.SIP
	for i, t := range c.Transports {
		switch {
		case t != "udp" && t != "tcp" && t != "tls":
			l.add("sip.transports", "%q is none of udp, tcp, tls", t)
		case slices.Contains(c.Transports[:i], t):
			l.add("sip.transports", "%q is there twice", t)
		}
	}
	if len(c.Transports) == 0 {
		l.add("sip.transports", "is empty, name udp, tcp or tls; without sip.trusted, sip.users_file and sip.subscribe nothing listens")
	}
	for _, a := range []struct{ key, addr string }{{"sip.listen", c.Listen}, {"sip.tls_listen", c.TLSListen}} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil && !l.has(a.key) {
			l.add(a.key, "%q is no address such as :5060 or 192.0.2.1:5060", a.addr)
		}
	}
	if c.MaxExpires < c.MinExpires && !l.has("sip.max_expires") {
		l.add("sip.max_expires", "%v is below sip.min_expires, %v", c.MaxExpires, c.MinExpires)
	}
	if c.UsersFile != "" {
		if !c.Speaks("tcp") && !c.Speaks("tls") {
			l.add("sip.users_file", "needs tcp or tls in sip.transports: nobody signs in by UDP")
		}
		if c.Realm == "" {
			l.add("sip.realm", "is empty, it is part of the keys in sip.users_file")
		}
	}
	l.checkSIPServers(c)
}

func (l *loader) checkSIPServers(c SIP) {
	const path = "sip.subscribe"
	l.checkItemBounds(path, reflect.ValueOf(c.Subscribe))
	for i, s := range c.Subscribe {
		if s.Server == "" {
			l.add(itemPath(path, i, "server"), "is missing, such as sip:pbx.example.com:5060;transport=tcp")
			continue
		}
		if err := s.Subscription().Check(); err != nil {
			l.add(itemPath(path, i, ""), "%v", err)
			continue
		}
		if len(s.Lines) == 0 && len(s.Lists) == 0 {
			l.add(itemPath(path, i, "lines"), "is empty, name lines such as [\"2001\", \"2100-2199\"], or lists of the server in lists")
		}
		if t, err := s.Subscription().Transport(); err == nil && !c.Speaks(t) {
			l.add(itemPath(path, i, "server"), "needs %s in sip.transports, over which the server tells", t)
		}
		if (s.User == "") != (s.PasswordFile == "") {
			l.add(itemPath(path, i, "password_file"), "and user go together")
		}
		for k, o := range c.Subscribe[:i] {
			if o.Server == s.Server && o.Event == s.Event {
				l.add(itemPath(path, i, "server"), "%s", fmt.Sprintf("is that of sip.subscribe[%d] already, put the lines there", k))
			}
		}
	}
}
