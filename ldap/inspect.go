package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// Inspection is what a server turned out to be.
type Inspection struct {
	URL     string
	Vendor  string
	TLS     string        // how the connection is encrypted, "" = not
	Took    time.Duration // to connect, bind and answer
	People  int
	Enabled int
	Changes string // how changes are found
	Nested  bool   // follows groups within groups itself
	Missing []string
	Err     error
}

// Inspect tries each server and reads all people from it.
func (d *Directory) Inspect(ctx context.Context) []Inspection {
	all := make([]Inspection, len(d.servers))
	for i, s := range d.servers {
		all[i] = d.inspect(ctx, s)
	}
	return all
}

func (d *Directory) inspect(ctx context.Context, s *server) Inspection {
	result := Inspection{URL: s.url}
	cfg := d.cfg
	cfg.URLs, cfg.Settings = []string{s.url}, d.Settings()
	one, err := New(cfg)
	if err != nil {
		result.Err = err
		return result
	}
	defer one.Close()
	result.Err = one.look(ctx, &result)
	return result
}

func (d *Directory) look(ctx context.Context, result *Inspection) error {
	began := time.Now()
	c, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if state, ok := c.TLSConnectionState(); ok {
		result.TLS = tls.VersionName(state.Version)
		if len(state.PeerCertificates) > 0 {
			result.TLS += ", certificate valid until " + state.PeerCertificates[0].NotAfter.Format("2006-01-02")
		}
	}
	r := &reader{d: d, to: nobodyListens{}}
	if r.nature, err = d.probe(ctx, c); err != nil {
		return err
	}
	result.Took = time.Since(began)
	result.Vendor, result.Changes = strings.TrimSpace(r.nature.vendor), r.nature.changes
	for _, dn := range d.Settings().Enabled.Groups {
		e, err := d.read(ctx, c, dn)
		if err != nil {
			return err
		}
		if e == nil {
			result.Missing = append(result.Missing, dn)
		}
	}
	if err := r.readAll(ctx, c); err != nil {
		return err
	}
	result.People, result.Enabled, _, _ = d.people.counts()
	result.Nested = d.chain.Load()
	return nil
}

// nobodyListens is a sink for people who are only counted.
type nobodyListens struct{}

func (nobodyListens) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (nobodyListens) Change(context.Context, []people.Person, []jid.JID) error { return nil }

// Explanation is why somebody may chat or not.
type Explanation struct {
	Person     people.Person // whose groups are those that the way to the decision passed
	DN         string
	Conditions []Condition
}

// Condition is one of those that have all to be met.
type Condition struct {
	Name string // the key of the configuration, or "entry", "account"
	Met  bool
	Text string
}

// Explain asks the servers for somebody and for each condition. Of somebody who is
// not there, only the first is told.
func (d *Directory) Explain(ctx context.Context, user jid.JID) (Explanation, error) {
	_, e, err := d.find(ctx, user)
	x := Explanation{DN: e.dn, Person: e.Person}
	switch {
	case errors.Is(err, ErrPassword):
		text := fmt.Sprintf("none below %s to which %s applies", d.cfg.Base, all(d.Settings().Filter, equals(d.cfg.Attributes.User, unescapeLocal(user.Local()))))
		x.Person, x.Conditions = people.Person{JID: user, Why: "there is no such person"}, []Condition{{"entry", false, text}}
		return x, nil
	case errors.Is(err, ErrAmbiguous):
		x.Person, x.Conditions = people.Person{JID: user, Why: "there is more than one"}, []Condition{{"entry", false, err.Error()}}
		return x, nil
	case err != nil:
		return x, err
	}
	x.met("entry", true, e.dn)
	x.met("account", e.bar == "", e.bar)
	if err := d.conditions(ctx, e, &x); err != nil {
		return x, err
	}
	x.Person.Why, err = d.whyNot(ctx, e)
	x.Person.Enabled = err == nil && x.Person.Why == ""
	return x, err
}

func (d *Directory) conditions(ctx context.Context, e entry, x *Explanation) error {
	enabled := d.Settings().Enabled
	if enabled.Filter != "" {
		ok, err := d.holds(ctx, e.dn, enabled.Filter)
		if err != nil {
			return err
		}
		x.met("ldap.enabled.filter", ok, enabled.Filter)
	}
	if len(enabled.Groups) == 0 {
		return nil
	}
	ok, looked, err := d.member(ctx, e)
	if err != nil {
		return err
	}
	for _, dn := range looked {
		x.Person.Groups = append(x.Person.Groups, nameOf(dn))
	}
	text := "looked for " + strings.Join(enabled.Groups, "; ") + " in: " + strings.Join(looked, "; ")
	if len(looked) == 0 {
		text = "looked for " + strings.Join(enabled.Groups, "; ") + "; the person is in no group"
	}
	x.met("ldap.enabled.groups", ok, text)
	return nil
}

func (x *Explanation) met(name string, met bool, text string) {
	x.Conditions = append(x.Conditions, Condition{name, met, text})
}
