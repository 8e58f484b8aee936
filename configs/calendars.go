package configs

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// Calendar is where users have a calendar, one of presence.calendars.
type Calendar struct {
	Name         string        `key:"name"`          // in what the node tells; each once
	Kind         string        `key:"kind"`          // ics, caldav, graph or ews
	URL          string        `key:"url"`           // with {user}, {domain} or {jid}
	File         string        `key:"file"`          // of kind ics, in place of a URL
	Users        []string      `key:"users"`         // who have such a calendar; empty = all
	Username     string        `key:"username"`      // of a service account; placeholders as in url
	PasswordFile string        `key:"password_file"` // its password
	LoginsFile   string        `key:"logins_file"`   // of users' own: jid, user, password a line
	CAFile       string        `key:"ca_file"`       // PEM; "" = the system's
	Plain        bool          `key:"plain"`         // http:// off this machine
	Zone         string        `key:"zone"`          // of times that have none; "" = as the calendar says, or UTC
	Query        string        `key:"query"`         // of caldav: auto, freebusy, events
	Mailbox      string        `key:"mailbox"`       // of graph and ews: its address, placeholders as in url, or {mail} of the directory
	AskAs        string        `key:"ask_as"`        // of graph and ews: the mailbox in whose name is asked
	Auth         string        `key:"auth"`          // of ews: ntlm, basic, oauth
	Watch        bool          `key:"watch"`         // of ews and graph: hear of changes
	NotifyURL    string        `key:"notify_url"`    // of graph: where Microsoft 365 tells of them
	Tenant       string        `key:"tenant"`        // of Microsoft Entra ID, where tokens are had
	TokenURL     string        `key:"token_url"`     // in place of a tenant
	ClientID     string        `key:"client_id"`
	SecretFile   string        `key:"client_secret_file"`
	CertFile     string        `key:"client_cert_file"` // PEM, in place of a secret
	KeyFile      string        `key:"client_key_file"`
	Refresh      time.Duration `key:"refresh" min:"1s" max:"24h"`
	Keep         time.Duration `key:"keep" min:"1m" max:"168h"` // what a calendar said counts as long without an answer
	Window       time.Duration `key:"window" min:"1h" max:"720h"`
	Timeout      time.Duration `key:"timeout" min:"1s" max:"5m"`
	AtOnce       int           `key:"at_once" min:"1" max:"100"` // calendars asked for
	Size         Size          `key:"size" min:"64KiB" max:"256MiB"`
}

func (Calendar) item() any {
	return Calendar{
		Kind: "caldav", Query: "auto", Mailbox: "{jid}", Auth: "ntlm", Refresh: 5 * time.Minute, Keep: time.Hour, Window: 48 * time.Hour,
		Timeout: 30 * time.Second, AtOnce: 8, Size: 16 << 20,
	}
}

func (l *loader) checkCalendars() {
	const path = "presence.calendars"
	all := l.cfg.Presence.Calendars
	l.checkItemBounds(path, reflect.ValueOf(all))
	for at, c := range all {
		add := func(name, text string, args ...any) {
			if key := itemPath(path, at, name); !l.has(key) {
				l.add(key, text, args...)
			}
		}
		if c.Name == "" {
			add("name", "is missing")
		}
		if slices.ContainsFunc(all[:at], func(o Calendar) bool { return o.Name == c.Name }) {
			add("name", "%q is there twice", c.Name)
		}
		if !slices.Contains([]string{"ics", "caldav", "graph", "ews"}, c.Kind) {
			add("kind", "%q is none of ics, caldav, graph, ews", c.Kind)
		}
		if !slices.Contains([]string{"auto", "freebusy", "events"}, c.Query) {
			add("query", "%q is none of auto, freebusy, events", c.Query)
		}
		if c.Exchange() {
			checkExchange(c, add)
		} else {
			checkCalendarPlace(c, add)
		}
		checkCalendarKind(c, add)
		if c.Keep < 2*c.Refresh {
			add("keep", "%v is below twice refresh, so that what is known would expire between two looks", encode(reflect.ValueOf(c.Keep)))
		}
		if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
			add("zone", "%q is no time zone such as Europe/Berlin", c.Zone)
		}
		for _, u := range c.Users {
			j, err := jid.Parse(u)
			if err != nil || j.Local() == "" || j.Resource() != "" || !slices.Contains(l.cfg.Domains, j.Domain()) {
				add("users", "%q is nobody here, write them as alice@example.com", u)
			}
		}
	}
}

// checkCalendarPlace is for where a calendar is and who may read it.
func checkCalendarPlace(c Calendar, add func(name, text string, args ...any)) {
	place, name := c.URL, "url"
	switch {
	case c.File != "" && c.Kind != "ics":
		add("file", "is for kind ics")
	case c.File != "" && c.URL != "":
		add("file", "url is set too")
	case c.File != "":
		place, name = c.File, "file"
	case c.URL == "":
		add("url", "is missing")
		return
	default:
		if err := calendar.CheckURL(calendar.Expand(c.URL, jid.MustParse("user@example.com")), c.Plain); err != nil {
			add("url", "%v", err)
			return
		}
	}
	if own := strings.Contains(place, "{user}") || strings.Contains(place, "{jid}") || c.LoginsFile != ""; !own && len(c.Users) == 0 {
		add(name, "has no {user} or {jid}, so that all users would have the same calendar; name them in users if that is meant")
	}
	if (c.Username == "") != (c.PasswordFile == "") {
		missing := "password_file"
		if c.Username == "" {
			missing = "username"
		}
		add(missing, "is missing, username and password_file go together")
	}
}
