package configs

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Groups says what groups of people mean for chat.
type Groups struct {
	Required   bool          `key:"required" live:"yes"`   // only members of an authorised group may sign in
	Authorised []string      `key:"authorised" live:"yes"` // beside those of deskline group authorise
	Largest    int           `key:"largest" min:"2" max:"100000"`
	Refresh    time.Duration `key:"refresh" min:"1s" max:"1h"` // between two looks at what was said by commands
	Sync       string        `key:"sync" one:"automatic manual"`
}

// Scope says who may talk to whom, by domain.
type Scope struct {
	Mode    string     `key:"mode" one:"open tree domain"`
	Tenants [][]string `key:"tenants"` // domains that belong together
}

// AllTenants returns the tenants; in a variable their domains are joined by +.
func (s Scope) AllTenants() [][]string {
	var all [][]string
	for _, t := range s.Tenants {
		var domains []string
		for _, d := range t {
			for part := range strings.SplitSeq(d, "+") {
				domains = append(domains, strings.TrimSpace(part))
			}
		}
		all = append(all, domains)
	}
	return all
}

// Users says how accounts are made.
type Users struct {
	JID        string `key:"jid"` // the local part, by user import
	Duplicates string `key:"duplicates" one:"refuse increment"`
}

var userPattern = regexp.MustCompile(`^(?:[^{}]|\{login\}|\{company\})*$`)

func (l *loader) checkGroups() {
	if u := l.cfg.Users.JID; !strings.Contains(u, "{login}") || !userPattern.MatchString(u) {
		l.add("users.jid", "%q is no pattern such as {login} or {login}_{company}", u)
	}
	for i, name := range l.cfg.Groups.Authorised {
		switch {
		case strings.TrimSpace(name) == "":
			l.add("groups.authorised", "has a group without a name")
		case slices.Contains(l.cfg.Groups.Authorised[:i], name):
			l.add("groups.authorised", "%q is there twice", name)
		}
	}
	seen := map[string]bool{}
	for _, t := range l.cfg.Scope.AllTenants() {
		if len(t) == 0 {
			l.add("scope.tenants", "has a tenant without a domain")
		}
		for _, d := range t {
			switch {
			case !slices.Contains(l.cfg.Domains, d):
				l.add("scope.tenants", "%q is none of domains: %s", d, strings.Join(l.cfg.Domains, ", "))
			case seen[d]:
				l.add("scope.tenants", "%q is there twice", d)
			}
			seen[d] = true
		}
	}
}
