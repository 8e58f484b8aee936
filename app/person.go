package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/xmpp/jid"
)

// PersonCheck is why somebody of the directory may chat or not.
type PersonCheck struct {
	JID        jid.JID
	Name, DN   string
	Mail       []string
	Enabled    bool
	Why        string // not
	Conditions []PersonCondition
}

// PersonCondition is one of those that have all to be met.
type PersonCondition struct {
	Name string
	Met  bool
	Text string
}

// CheckPerson asks the directory for somebody of one of its domains.
func CheckPerson(ctx context.Context, cfg configs.Config, who jid.JID) (PersonCheck, error) {
	d, err := ldap.New(directoryConfig(cfg))
	if err != nil {
		return PersonCheck{}, err
	}
	defer d.Close()
	x, err := d.Explain(ctx, who)
	if err != nil {
		return PersonCheck{}, err
	}
	p := PersonCheck{JID: who, Name: x.Person.Name, DN: x.DN, Mail: x.Person.Mail, Enabled: x.Person.Enabled, Why: x.Person.Why}
	for _, c := range x.Conditions {
		p.Conditions = append(p.Conditions, PersonCondition(c))
	}
	return p, nil
}

// checkLDAP tries each server of the directory.
func checkLDAP(ctx context.Context, cfg configs.Config) []CheckResult {
	if len(cfg.LDAP.URLs) == 0 {
		return nil
	}
	d, err := ldap.New(directoryConfig(cfg))
	if err != nil {
		return []CheckResult{{Name: "ldap", Err: err}}
	}
	defer d.Close()
	var results []CheckResult
	for _, s := range d.Inspect(ctx) {
		r := CheckResult{Name: "ldap " + s.URL, Err: s.Err}
		encrypted := s.TLS
		if encrypted == "" {
			encrypted = "without TLS"
		}
		r.Detail = fmt.Sprintf("%s, answered in %s, %s; %d people, %d enabled; changes %s", s.Vendor, s.Took.Round(100*time.Microsecond), encrypted,
			s.People, s.Enabled, changeWords[s.Changes])
		switch {
		case s.Err != nil:
		case len(s.Missing) > 0:
			r.Warning = "there is no group " + strings.Join(s.Missing, ", nor ") + ", which ldap.enabled.groups names"
		case s.People == 0:
			r.Warning = "no person is found: see ldap.base, ldap.filter and ldap.attributes.user, and what ldap.bind_dn may read"
		case s.Enabled == 0:
			r.Warning = "nobody may chat: see ldap.enabled, and deskline user show for the reason of one person"
		}
		results = append(results, r)
	}
	return results
}

var changeWords = map[string]string{
	"sync": "as they happen", "usn": "by uSNChanged", "stamp": "by time of modification",
}
