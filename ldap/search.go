package ldap

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// ruleInChain is Active Directory's rule for groups within groups.
const ruleInChain = "1.2.840.113556.1.4.1941"

func request(base string, scope int, filter string, limit int, names []string) *goldap.SearchRequest {
	if len(names) == 0 {
		names = []string{"1.1"} // RFC 4511 §4.5.1.8: none
	}
	return goldap.NewSearchRequest(base, scope, goldap.NeverDerefAliases, limit, 0, false, filter, names, nil)
}

func (d *Directory) scope() int {
	if d.cfg.OneLevel {
		return goldap.ScopeSingleLevel
	}
	return goldap.ScopeWholeSubtree
}

// pages searches page by page (RFC 2696), so that no limit of the server on the
// size of an answer cuts anything off, and no more than a page is in memory.
func (d *Directory) pages(ctx context.Context, c *conn, base string, oneLevel bool, filter string, names []string, each func(*goldap.Entry) error) error {
	settings := d.Settings()
	scope := goldap.ScopeWholeSubtree
	if oneLevel {
		scope = goldap.ScopeSingleLevel
	}
	paging := goldap.NewControlPaging(uint32(settings.PageSize))
	req := request(base, scope, filter, 0, names)
	req.Controls = []goldap.Control{paging}
	for {
		var res *goldap.SearchResult
		err := d.timed(ctx, c, "page", settings.ReadTimeout, func(l *goldap.Conn) (err error) {
			res, err = l.Search(req)
			return err
		})
		if goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			return errors.New("the server limits how many entries it gives out, although they were asked for in pages: give the user of ldap.bind_dn unlimited paged results, or lower ldap.page_size")
		}
		if err != nil {
			return said(err)
		}
		for _, e := range res.Entries {
			if err := each(e); err != nil {
				return err
			}
		}
		answer, ok := goldap.FindControl(res.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		if !ok || len(answer.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(answer.Cookie)
	}
}

// timed carries out one operation within a time of its own.
func (d *Directory) timed(ctx context.Context, c *conn, name string, limit time.Duration, f func(*goldap.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := c.run(ctx, f)
	if err == nil && c.broken {
		err = errors.Join(ctx.Err(), errors.New("the connection broke"))
	}
	d.cfg.Metrics.Operation(name, time.Since(began), failure(err))
	return err
}

// read reads one entry, nil if there is none.
func (d *Directory) read(ctx context.Context, c *conn, dn string, names ...string) (*goldap.Entry, error) {
	var e *goldap.Entry
	err := d.timed(ctx, c, "search", d.Settings().Timeout, func(l *goldap.Conn) (err error) {
		e, err = readOne(l, dn, "(objectClass=*)", names)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dn, said(err))
	}
	return e, nil
}

// readOne reads an entry if a filter is true of it.
func readOne(l *goldap.Conn, dn, filter string, names []string) (*goldap.Entry, error) {
	res, err := l.Search(request(dn, goldap.ScopeBaseObject, filter, 1, names))
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
		return nil, nil
	}
	if err != nil || len(res.Entries) == 0 {
		return nil, err
	}
	return res.Entries[0], nil
}

// all joins filters, leaving out those that are empty.
func all(filters ...string) string {
	var b strings.Builder
	n := 0
	for _, f := range filters {
		if f != "" {
			b.WriteString(f)
			n++
		}
	}
	if n < 2 {
		return b.String()
	}
	return "(&" + b.String() + ")"
}

func equals(name, value string) string {
	return "(" + name + "=" + goldap.EscapeFilter(value) + ")"
}

// inGroups is true of the members of groups, by the rule of Active Directory.
func inGroups(dns []string) string {
	var b strings.Builder
	for _, dn := range dns {
		b.WriteString("(memberOf:" + ruleInChain + ":=" + goldap.EscapeFilter(dn) + ")")
	}
	return "(|" + b.String() + ")"
}

// withIDs is true of the entries with some ids, "" if these are not attributes.
func (d *Directory) withIDs(ids []string) string {
	var b strings.Builder
	for _, id := range ids {
		switch {
		case strings.Contains(id, "="):
			return "" // a DN
		case d.cfg.Attributes.id == "objectGUID":
			raw, _ := hex.DecodeString(id) // made by idOf
			b.WriteString("(objectGUID=")
			for _, x := range raw {
				fmt.Fprintf(&b, `\%02x`, x)
			}
			b.WriteByte(')')
		default:
			b.WriteString(equals(d.cfg.Attributes.id, id))
		}
	}
	return "(|" + b.String() + ")"
}
