package configs

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Asterisk is a telephone switch that tells what lines do by its manager or REST interface, one of presence.asterisk.
type Asterisk struct {
	Name         string        `key:"name"`          // of the source; "" = the host of address
	Kind         string        `key:"kind"`          // ami or ari
	Address      string        `key:"address"`       // host or host:port
	Path         string        `key:"path"`          // of the REST interface
	Plain        string        `key:"plain"`         // where the password of the REST interface goes to without TLS: loopback or any
	TLS          bool          `key:"tls"`           //
	CAFile       string        `key:"ca_file"`       // PEM; "" = the system's
	ServerName   string        `key:"server_name"`   // in its certificate; "" = the host of address
	User         string        `key:"user"`          //
	PasswordFile string        `key:"password_file"` //
	App          string        `key:"app"`           // under which the REST interface tells
	Watch        string        `key:"watch"`         // hints or devices; "" = hints, and devices of the REST interface
	Contexts     []string      `key:"contexts"`      // of hints; empty = all
	Technologies []string      `key:"technologies"`  // of devices
	Devices      []string      `key:"devices"`       // that the REST interface has in no list
	Prefix       string        `key:"prefix"`        // in front of lines that are digits only
	Domain       string        `key:"domain"`        // behind lines
	Expires      time.Duration `key:"expires" min:"5s" max:"1h"`
	Ping         time.Duration `key:"ping" min:"1s" max:"5m"`
	Resync       time.Duration `key:"resync" min:"10s" max:"24h"`
	MaxLines     int           `key:"max_lines" min:"1" max:"1000000"`
}

func (Asterisk) item() any {
	return Asterisk{
		Kind: "ami", Path: "/ari", Plain: "loopback", App: "deskline", Technologies: []string{"PJSIP", "SIP", "IAX2", "SCCP", "DAHDI"},
		Expires: time.Minute, Ping: 10 * time.Second, Resync: 5 * time.Minute, MaxLines: 50000,
	}
}

// REST reports whether it is asked by the REST interface.
func (a Asterisk) REST() bool { return a.Kind == "ari" }

// OfDevices reports whether lines are those of devices.
func (a Asterisk) OfDevices() bool { return a.Watch == "devices" || a.REST() }

// port is that of the interface, if none is written.
func (a Asterisk) port() string {
	switch {
	case a.REST() && a.TLS:
		return "8089"
	case a.REST():
		return "8088"
	case a.TLS:
		return "5039"
	}
	return "5038"
}

// HostPort is the address with its port.
func (a Asterisk) HostPort() string { return withPort(a.Address, a.port()) }

// URL is the address of the REST interface.
func (a Asterisk) URL() string {
	u := url.URL{Scheme: "http", Host: a.HostPort(), Path: a.Path}
	if a.TLS {
		u.Scheme = "https"
	}
	return u.String()
}

// ID is the name of the source in the configuration.
func (a Asterisk) ID() string { return nameOr(a.Name, a.Address) }

// Host is the name to be found in the certificate.
func (a Asterisk) Host() string { return nameOr(a.ServerName, a.Address) }

func (l *loader) checkAsterisk(key func(string) string, names map[string]bool, a Asterisk) {
	l.checkSwitch(key, names, a.ID(), a.Address, a.Prefix, a.Domain)
	l.checkSignIn(key, a.User, a.PasswordFile, true)
	l.checkTimes(key, a.TLS, a.CAFile+a.ServerName, a.Ping, a.Expires)
	if a.Watch != "" && a.Watch != "hints" && a.Watch != "devices" {
		l.add(key("watch"), "%q is none of hints, devices", a.Watch)
	}
	if a.OfDevices() && len(a.Technologies)+len(a.Devices) == 0 {
		l.add(key("technologies"), "is empty, no device could be told of")
	}
	switch a.Kind {
	case "ami":
		if len(a.Devices) > 0 {
			l.add(key("devices"), "is for kind: ari; by the manager interface Asterisk tells of all devices")
		}
	case "ari":
		l.checkREST(key, a)
	default:
		l.add(key("kind"), "%q is none of ami, ari", a.Kind)
	}
}

// checkREST checks what the REST interface has.
func (l *loader) checkREST(key func(string) string, a Asterisk) {
	l.checkPlain(key, a.Plain, a.Address, a.TLS, "set tls, or reach it on this machine")
	if a.Watch == "hints" || len(a.Contexts) > 0 {
		l.add(key("watch"), "and contexts: the REST interface tells of no hints, name devices by technologies and devices, or use kind: ami")
	}
	if strings.Contains(a.User, ":") {
		l.add(key("user"), "has a colon, which no user of the REST interface has")
	}
	if a.App == "" || strings.ContainsFunc(a.App, func(r rune) bool { return !isNameSign(r) }) {
		l.add(key("app"), "%q is no name of an app: letters, digits, - and _", a.App)
	}
	if !strings.HasPrefix(a.Path, "/") || strings.ContainsAny(a.Path, "?# ") {
		l.add(key("path"), "%q is no path such as /ari, or /asterisk/ari with prefix=asterisk in http.conf", a.Path)
	}
	if i := slices.IndexFunc(a.Devices, func(d string) bool { return strings.IndexAny(d, "/:") <= 0 || strings.ContainsAny(d, " \t\r\n") }); i >= 0 {
		l.add(key("devices"), "%q is no device such as Custom:2001 or Local/2001@phones", a.Devices[i])
	}
}

func isNameSign(r rune) bool {
	return r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
