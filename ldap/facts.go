package ldap

import (
	"context"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// ids is a set of people.
type ids map[string]struct{}

func (s ids) has(id string) bool { _, ok := s[id]; return ok }

// facts are what only the server can say of people: for whom the filter of
// ldap.enabled is true, who is in its groups if the server follows nesting itself,
// and who has a photo. A set that nobody needs is nil.
type facts struct {
	filter, chain, photo ids
}

// allow reports whether the filter and the groups allow chat, as far as is known.
func (f facts) allow(id string) bool {
	return (f.filter == nil || f.filter.has(id)) && (f.chain == nil || f.chain.has(id))
}

// facts asks for those of everybody, or of those with some ids.
func (d *Directory) facts(ctx context.Context, c *conn, restrict string) (f facts, err error) {
	s := d.Settings()
	if s.Enabled.Filter != "" {
		if f.filter, err = d.listing(ctx, c, all(s.Filter, restrict, s.Enabled.Filter)); err != nil {
			return f, fmt.Errorf("ldap.enabled.filter: %w", err)
		}
	}
	if d.chain.Load() && len(s.Enabled.Groups) > 0 {
		if f.chain, err = d.listing(ctx, c, all(s.Filter, restrict, inGroups(s.Enabled.Groups))); err != nil {
			return f, fmt.Errorf("ldap.enabled.groups: %w", err)
		}
	}
	if d.cfg.Attributes.Photo != "" {
		if f.photo, err = d.listing(ctx, c, all(s.Filter, restrict, "("+d.cfg.Attributes.Photo+"=*)")); err != nil {
			return f, fmt.Errorf("ldap.attributes.photo: %w", err)
		}
	}
	return f, nil
}

// listing reads the ids of the people for whom a filter is true.
func (d *Directory) listing(ctx context.Context, c *conn, filter string) (ids, error) {
	set := ids{}
	err := d.pages(ctx, c, d.cfg.Base, d.cfg.OneLevel, filter, []string{d.cfg.Attributes.id}, func(e *goldap.Entry) error {
		set[d.idOf(e)] = struct{}{}
		return nil
	})
	return set, err
}

// judge completes a person with groups, photo, and whether chat is allowed.
func (d *Directory) judge(e *entry, g *groups, f facts) {
	enabled := d.Settings().Enabled
	in := g.of(enabled.Depth, e.key, e.uid)
	e.Groups = g.names(in, e.direct)
	e.Photo = f.photo.has(e.ID)
	e.Why, e.allowed = e.bar, f.allow(e.ID)
	switch {
	case e.Why != "":
	case f.filter != nil && !f.filter.has(e.ID):
		e.Why = "the filter " + enabled.Filter + " is not true of the person"
	case len(enabled.Groups) == 0:
	case f.chain != nil && f.chain.has(e.ID):
	case f.chain != nil || !g.inAny(in, e.direct, enabled.Groups):
		e.Why = notIn(enabled.Groups)
	}
	e.Enabled = e.Why == ""
}

func notIn(groups []string) string {
	if len(groups) == 1 {
		return "not in the group " + groups[0]
	}
	return "in none of the groups " + strings.Join(groups, "; ")
}
