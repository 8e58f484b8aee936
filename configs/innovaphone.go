package configs

import (
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/deskline/deskline/presence/innovaphone"
)

// Innovaphone is a telephone switch that tells what lines do by its PbxApi, one of presence.innovaphone.
type Innovaphone struct {
	Name         string        `key:"name"`          // of the source; "" = the host of url
	URL          string        `key:"url"`           // of the AppWebsocket
	CAFile       string        `key:"ca_file"`       // PEM; "" = the system's
	ServerName   string        `key:"server_name"`   // in its certificate; "" = the host of url
	App          string        `key:"app"`           // the app object
	PasswordFile string        `key:"password_file"` //
	Lines        []string      `key:"lines"`         // numbers, ranges and names of users
	Prefix       string        `key:"prefix"`        // in front of lines that are digits only
	Domain       string        `key:"domain"`        // of lines
	Expires      time.Duration `key:"expires" min:"5s" max:"1h"`
	Ping         time.Duration `key:"ping" min:"1s" max:"5m"`
}

func (Innovaphone) item() any {
	return Innovaphone{App: "deskline", Expires: time.Minute, Ping: 10 * time.Second}
}

// innovaphonePath is where the AppWebsocket of the PBX is, if no path is written.
const innovaphonePath = "/PBX0/APPS/websocket"

// Address is the whole URL.
func (i Innovaphone) Address() string {
	u, err := url.Parse(i.URL)
	if err != nil {
		return i.URL
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = innovaphonePath
	}
	return u.String()
}

// ID is the name of the source in the configuration.
func (i Innovaphone) ID() string {
	if u, err := url.Parse(i.URL); err == nil && i.Name == "" {
		return u.Hostname()
	}
	return i.Name
}

// Secure reports whether there is TLS.
func (i Innovaphone) Secure() bool { return strings.HasPrefix(strings.ToLower(i.URL), "wss:") }

func (l *loader) checkInnovaphones() {
	all := l.cfg.Presence.Innovaphone
	l.checkItemBounds("presence.innovaphone", reflect.ValueOf(all))
	names := map[string]bool{}
	for at, i := range all {
		key := func(name string) string { return itemPath("presence.innovaphone", at, name) }
		u, err := url.Parse(i.URL)
		switch {
		case i.URL == "":
			l.add(key("url"), "is missing, such as wss://pbx.example.com")
			continue
		case err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			l.add(key("url"), "is no address such as wss://pbx.example.com")
			continue
		}
		l.checkSwitch(key, names, i.ID(), u.Host, i.Prefix, i.Domain)
		l.checkTimes(key, i.Secure(), i.CAFile+i.ServerName, i.Ping, i.Expires)
		if i.App == "" {
			l.add(key("app"), "is empty, name the app object")
		}
		if i.PasswordFile == "" {
			l.add(key("password_file"), "is missing: the file with the password")
		}
		if len(i.Lines) == 0 {
			l.add(key("lines"), "is empty, name lines such as [\"2001\", \"2100-2199\", alice]")
		}
		if _, err := innovaphone.Lines(i.Lines); err != nil {
			l.add(key("lines"), "%v", err)
		}
	}
}
