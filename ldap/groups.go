package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// group is one group and where it is among the others.
type group struct {
	dn     string
	sample string // the DN of a member, to try the server with
}

// groups is every group of the directory: who is directly in which, by keys.
type groups struct {
	list    []group
	byKey   map[key]int32
	parents map[key][]int32 // member → groups
	edges   int
}

// maxEdges bounds the memberships in memory, some 30 bytes each.
const maxEdges = 20_000_000

// memberAttributes name members by DN; memberUid has them by user name.
var memberAttributes = []string{"member", "uniqueMember"}

// readGroups reads all groups, page by page.
func (d *Directory) readGroups(ctx context.Context, c *conn) (*groups, error) {
	g := &groups{byKey: map[key]int32{}, parents: map[key][]int32{}}
	names := append([]string{"memberUid"}, memberAttributes...)
	err := d.pages(ctx, c, d.cfg.GroupBase, false, d.Settings().GroupFilter, names, func(e *goldap.Entry) error {
		return d.addGroup(ctx, c, g, e)
	})
	// Those that matter most may be elsewhere.
	for _, dn := range d.Settings().Enabled.Groups {
		if _, known := g.byKey[dnKey(dn)]; known || err != nil {
			continue
		}
		var e *goldap.Entry
		if e, err = d.read(ctx, c, dn, names...); err == nil && e != nil {
			err = d.addGroup(ctx, c, g, e)
		}
		if err == nil && e == nil {
			d.cfg.Log.WarnContext(ctx, "no such group", "ldap_enabled_groups", dn)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return g, nil
}

func (d *Directory) addGroup(ctx context.Context, c *conn, g *groups, e *goldap.Entry) error {
	at := int32(len(g.list))
	one := group{dn: clean(e.DN)}
	g.byKey[dnKey(e.DN)] = at
	for _, uid := range e.GetEqualFoldAttributeValues("memberUid") {
		g.add(uidKey(uid), at)
	}
	for _, a := range e.Attributes {
		name, option, ranged := strings.Cut(a.Name, ";range=")
		if !slices.ContainsFunc(memberAttributes, func(m string) bool { return strings.EqualFold(m, name) }) {
			continue
		}
		for _, dn := range a.Values {
			g.add(dnKey(dn), at)
		}
		if len(a.Values) > 0 {
			one.sample = a.Values[0]
		}
		if ranged {
			if err := d.rest(ctx, c, e.DN, name, option, func(dn string) { g.add(dnKey(dn), at) }); err != nil {
				return err
			}
		}
	}
	g.list = append(g.list, one)
	if g.edges > maxEdges {
		return fmt.Errorf("more than %d memberships: set ldap.group_filter or ldap.group_base to those that matter", maxEdges)
	}
	return nil
}

func (g *groups) add(member key, at int32) {
	g.parents[member] = append(g.parents[member], at)
	g.edges++
}

// rest reads what follows the first part of a large attribute, as Active Directory
// gives them out: member;range=0-1499, then 1500-2999, at last 3000-*.
func (d *Directory) rest(ctx context.Context, c *conn, dn, name, option string, each func(string)) error {
	for {
		_, last, ok := strings.Cut(option, "-")
		if !ok || last == "*" {
			return nil
		}
		var next int
		if _, err := fmt.Sscanf(last, "%d", &next); err != nil {
			return fmt.Errorf("read members of %s: range %q", dn, option)
		}
		e, err := d.read(ctx, c, dn, fmt.Sprintf("%s;range=%d-*", name, next+1))
		if err != nil || e == nil {
			return err
		}
		option = ""
		for _, a := range e.Attributes {
			got, part, ranged := strings.Cut(a.Name, ";range=")
			if !ranged || !strings.EqualFold(got, name) || len(a.Values) == 0 {
				continue
			}
			option = part
			for _, v := range a.Values {
				each(v)
			}
		}
	}
}

// of returns the groups that somebody is in, also by groups within groups. Cycles
// end by themselves; what is deeper than depth does not count.
func (g *groups) of(depth int, member ...key) []int32 {
	var found []int32
	seen := map[int32]bool{}
	level := member
	for ; depth > 0 && len(level) > 0; depth-- {
		var above []key
		for _, k := range level {
			for _, at := range g.parents[k] {
				if !seen[at] {
					seen[at] = true
					found = append(found, at)
					above = append(above, dnKey(g.list[at].dn))
				}
			}
		}
		level = above
	}
	return found
}

// names are the DNs of groups, also of those that an entry itself names. They are
// told whole: groups in two places may have one short name.
func (g *groups) names(in []int32, direct []string) []string {
	var list []string
	for _, at := range in {
		list = append(list, g.list[at].dn)
	}
	for _, dn := range direct {
		if _, known := g.byKey[dnKey(dn)]; !known {
			list = append(list, clean(dn))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// inAny reports whether one of some groups is among those found, or is named by the
// entry itself.
func (g *groups) inAny(in []int32, direct, wanted []string) bool {
	return slices.ContainsFunc(wanted, func(dn string) bool {
		k := dnKey(dn)
		if at, ok := g.byKey[k]; ok && slices.Contains(in, at) {
			return true
		}
		return slices.ContainsFunc(direct, func(d string) bool { return dnKey(d) == k })
	})
}

// nesting finds a group, one within it, and a member of that one who is not in the
// first by itself: what a server that follows nesting is tried with.
func (g *groups) nesting() (outer group, leaf string, ok bool) {
	for k, parents := range g.parents {
		inner, isGroup := g.byKey[k]
		if !isGroup || g.list[inner].sample == "" {
			continue
		}
		leaf := g.list[inner].sample
		for _, at := range parents {
			if at != inner && !slices.Contains(g.parents[dnKey(leaf)], at) {
				return g.list[at], leaf, true
			}
		}
	}
	return group{}, "", false
}
