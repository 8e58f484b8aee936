package configs

import (
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// FreeSWITCH is a telephone switch that tells what lines do by its event socket, one of presence.freeswitch.
type FreeSWITCH struct {
	Name         string        `key:"name"`          // of the source; "" = the host of address
	Address      string        `key:"address"`       // host or host:port
	Plain        string        `key:"plain"`         // where to without TLS: loopback or any
	TLS          bool          `key:"tls"`           // of a tunnel in front
	CAFile       string        `key:"ca_file"`       // PEM; "" = the system's
	ServerName   string        `key:"server_name"`   // in its certificate; "" = the host of address
	User         string        `key:"user"`          // of its directory; "" = the event socket's own
	PasswordFile string        `key:"password_file"` //
	Prefix       string        `key:"prefix"`        // in front of lines that are digits only
	Domain       string        `key:"domain"`        // of lines, in place of their own
	Expires      time.Duration `key:"expires" min:"5s" max:"1h"`
	Ping         time.Duration `key:"ping" min:"1s" max:"5m"`
	Resync       time.Duration `key:"resync" min:"10s" max:"24h"`
	MaxLines     int           `key:"max_lines" min:"1" max:"1000000"`
}

func (FreeSWITCH) item() any {
	return FreeSWITCH{Plain: "loopback", Expires: time.Minute, Ping: 10 * time.Second, Resync: 5 * time.Minute, MaxLines: 50000}
}

// HostPort is the address with its port.
func (f FreeSWITCH) HostPort() string { return withPort(f.Address, "8021") }

// ID is the name of the source in the configuration.
func (f FreeSWITCH) ID() string { return nameOr(f.Name, f.Address) }

// Host is the name to be found in the certificate.
func (f FreeSWITCH) Host() string { return nameOr(f.ServerName, f.Address) }

// withPort adds a port to an address without one.
func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

// nameOr is a name, or the host of an address.
func nameOr(name, address string) string {
	if name != "" {
		return name
	}
	host, _, _ := net.SplitHostPort(withPort(address, "0"))
	return host
}

func (l *loader) checkSwitches() {
	p := l.cfg.Presence
	l.checkItemBounds("presence.asterisk", reflect.ValueOf(p.Asterisk))
	l.checkItemBounds("presence.freeswitch", reflect.ValueOf(p.FreeSWITCH))
	names := map[string]bool{}
	for i, a := range p.Asterisk {
		l.checkAsterisk(func(name string) string { return itemPath("presence.asterisk", i, name) }, names, a)
	}
	names = map[string]bool{}
	for i, f := range p.FreeSWITCH {
		key := func(name string) string { return itemPath("presence.freeswitch", i, name) }
		l.checkSwitch(key, names, f.ID(), f.Address, f.Prefix, f.Domain)
		l.checkSignIn(key, f.User, f.PasswordFile, false)
		l.checkTimes(key, f.TLS, f.CAFile+f.ServerName, f.Ping, f.Expires)
		l.checkPlain(key, f.Plain, f.Address, f.TLS, "reach it through a tunnel with TLS or on this machine")
	}
}

// checkPlain checks where to a password may go as it is.
func (l *loader) checkPlain(key func(string) string, plain, address string, secure bool, better string) {
	if plain != "loopback" && plain != "any" {
		l.add(key("plain"), "%q is none of loopback, any", plain)
	}
	if host := nameOr("", address); plain == "loopback" && !secure && address != "" && !loopback(host) {
		l.add(key("address"), "%s would get the password as it is: %s, or set plain to any", host, better)
	}
}

// checkTimes checks the rest of what all switches have.
func (l *loader) checkTimes(key func(string) string, secure bool, forTLS string, ping, expires time.Duration) {
	if !secure && forTLS != "" {
		l.add(key("ca_file"), "and server_name are for TLS, which is off")
	}
	if ping >= expires && !l.has(key("ping")) {
		l.add(key("ping"), "%v is not below expires, %v", ping, expires)
	}
}

// checkSwitch checks what all switches have.
func (l *loader) checkSwitch(key func(string) string, names map[string]bool, id, address, prefix, domain string) {
	switch host, port, err := net.SplitHostPort(withPort(address, "1")); {
	case address == "":
		l.add(key("address"), "is missing, such as pbx.example.com or 192.0.2.5:5038")
		return
	case err != nil || host == "" || !isPort(port) || strings.ContainsAny(host, " /@"):
		l.add(key("address"), "%q is no address such as pbx.example.com or 192.0.2.5:5038", address)
		return
	}
	if names[id] {
		l.add(key("name"), "%q is there twice, give each switch a name", id)
	}
	names[id] = true
	if strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(id) > 64 {
		l.add(key("name"), "%q is no name: up to 64 letters without spaces", id)
	}
	if strings.Trim(strings.TrimPrefix(prefix, "+"), "0123456789") != "" || prefix == "+" {
		l.add(key("prefix"), "%q is no beginning of a number such as +4930123", prefix)
	}
	if strings.ContainsAny(domain, " @/;") {
		l.add(key("domain"), "%q is no domain", domain)
	}
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func (l *loader) checkSignIn(key func(string) string, user, file string, needed bool) {
	if user == "" && needed {
		l.add(key("user"), "is missing")
	}
	if strings.ContainsFunc(user, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		l.add(key("user"), "has signs that no name has")
	}
	if file == "" {
		l.add(key("password_file"), "is missing: the file with the password")
	}
}
