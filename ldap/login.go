package ldap

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/xmpp/jid"
)

// maxPassword bounds what is sent to a server.
const maxPassword = 1024

// Login checks a password: ErrPassword, ErrExpired, a *DisabledError, ErrAmbiguous,
// or what wraps ErrAway or ErrBusy. It returns within Settings.Timeout. A turn that
// is not nil is called before the password is tried, and its error returned.
func (d *Directory) Login(ctx context.Context, user jid.JID, password string, turn func() error) error {
	ctx, cancel := withTimeout(ctx, d.Settings().Timeout)
	defer cancel()
	// An empty password would be an anonymous bind, which succeeds for anybody
	// (RFC 4513 §5.1.2); some servers cut others at NUL.
	if password == "" || len(password) > maxPassword || strings.ContainsRune(password, 0) {
		return ErrPassword
	}
	raw, e, err := d.find(ctx, user)
	if err != nil && !errors.Is(err, ErrPassword) {
		return err
	}
	dn := d.nobody(user)
	if err == nil {
		dn = raw.DN
	}
	// Also for somebody who is not there, so that the time does not tell.
	if bound := d.bind(ctx, dn, password, turn); bound != nil {
		return bound
	}
	if err != nil {
		return err
	}
	return d.admit(ctx, raw, e)
}

// bind tries a password.
func (d *Directory) bind(ctx context.Context, dn, password string, turn func() error) error {
	var stopped error
	err := d.do(ctx, login, "bind", func(l *goldap.Conn) error {
		if turn != nil {
			if stopped = turn(); stopped != nil {
				return nil
			}
		}
		return l.Bind(dn, password)
	})
	if stopped != nil {
		return stopped
	}
	if err == nil || !answered(err) {
		return err
	}
	return refusal(err)
}

// refusal is what the answer to a bind means. Active Directory tells more in a
// number, some of it only to those whose password was right.
func refusal(err error) error {
	if goldap.IsErrorWithCode(err, goldap.LDAPResultReferral) {
		return fmt.Errorf("bind: %w", said(err))
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "data 532"), strings.Contains(text, "data 773"):
		return ErrExpired
	case strings.Contains(text, "data 533"), strings.Contains(text, "data 701"):
		return &DisabledError{Why: "the account is disabled or has expired in the directory"}
	}
	return ErrPassword
}

// nobody is a DN that is not there.
func (d *Directory) nobody(user jid.JID) string {
	k := keyOf("nobody\x00" + user.String())
	return "cn=" + hex.EncodeToString(k[:]) + "," + d.cfg.Base
}

// find looks up the entry of a user; ErrPassword says that there is none.
func (d *Directory) find(ctx context.Context, user jid.JID) (*goldap.Entry, entry, error) {
	var found []*goldap.Entry
	filter := all(d.Settings().Filter, equals(d.cfg.Attributes.User, unescapeLocal(user.Local())))
	err := d.do(ctx, lookup, "search", func(l *goldap.Conn) error {
		// Two tell that there is more than one; with several domains, others may
		// have the same name.
		res, err := l.Search(request(d.cfg.Base, d.scope(), filter, 10, d.names()))
		if res != nil {
			found = res.Entries
		}
		if goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, entry{}, fmt.Errorf("look up %s: %w", user, kept(err))
	}
	var raw *goldap.Entry
	var one entry
	for _, f := range found {
		e, err := d.parse(f)
		if err != nil || e.JID != user {
			continue
		}
		if raw != nil {
			return nil, entry{}, fmt.Errorf("%s: %w: %s and %s", user, ErrAmbiguous, raw.DN, f.DN)
		}
		raw, one = f, e
	}
	if raw == nil {
		return nil, entry{}, ErrPassword
	}
	return raw, one, nil
}

// kept is said, but what callers test for stays.
func kept(err error) error {
	if answered(err) {
		return said(err)
	}
	return err
}

// admit asks whether somebody whose password was right may chat.
func (d *Directory) admit(ctx context.Context, raw *goldap.Entry, e entry) error {
	why, err := d.whyNot(ctx, e)
	if err != nil {
		return err
	}
	old, known, complete := d.people.person(e.JID)
	if complete && (!known || (old.why == "") != (why == "")) {
		if why == "" {
			d.people.welcome(e.JID)
		}
		select {
		case d.unknown <- raw.DN:
		default: // the next refresh will find it
		}
	}
	if why != "" {
		return &DisabledError{Why: why}
	}
	return nil
}

// whyNot says why somebody may not chat, as the servers have it now; "" = may.
func (d *Directory) whyNot(ctx context.Context, e entry) (string, error) {
	enabled := d.Settings().Enabled
	if e.bar != "" {
		return e.bar, nil
	}
	if enabled.Filter != "" {
		ok, err := d.holds(ctx, e.dn, enabled.Filter)
		if err != nil || !ok {
			return "the filter " + enabled.Filter + " is not true of the person", err
		}
	}
	if len(enabled.Groups) == 0 {
		return "", nil
	}
	ok, _, err := d.member(ctx, e)
	if err != nil || ok {
		return "", err
	}
	return notIn(enabled.Groups), nil
}

// holds reports whether a filter is true of an entry.
func (d *Directory) holds(ctx context.Context, dn, filter string) (bool, error) {
	var found *goldap.Entry
	err := d.do(ctx, lookup, "search", func(l *goldap.Conn) (err error) {
		found, err = readOne(l, dn, filter, nil)
		return err
	})
	return found != nil, kept(err)
}

// member reports whether somebody is in one of the groups of ldap.enabled, and the
// DNs of the groups that were looked at on the way.
func (d *Directory) member(ctx context.Context, e entry) (bool, []string, error) {
	enabled := d.Settings().Enabled
	if d.chain.Load() {
		ok, err := d.holds(ctx, e.dn, inGroups(enabled.Groups))
		return ok, nil, err
	}
	wanted := map[key]bool{}
	for _, dn := range enabled.Groups {
		wanted[dnKey(dn)] = true
	}
	seen := map[key]bool{}
	var looked []string
	level, err := d.groupsWith(ctx, membership([]string{e.dn})+equals("memberUid", unescapeLocal(e.JID.Local())))
	level = append(level, e.direct...)
	for depth := 1; err == nil && len(level) > 0; depth++ {
		var next []string
		for _, dn := range level {
			if k := dnKey(dn); !seen[k] {
				seen[k] = true
				next, looked = append(next, dn), append(looked, dn)
				if wanted[k] {
					return true, looked, nil
				}
			}
		}
		if depth >= enabled.Depth || len(looked) > maxLooked {
			break
		}
		level = nil
		for part := range slices.Chunk(next, batch) {
			found, e := d.groupsWith(ctx, membership(part))
			level, err = append(level, found...), errors.Join(err, e)
		}
	}
	return false, looked, err
}

// maxLooked bounds the groups that are looked at for one person.
const maxLooked = 2000

// membership is true of the groups that have one of some members, but for the
// parentheses around it.
func membership(dns []string) string {
	var b strings.Builder
	for _, dn := range dns {
		for _, name := range memberAttributes {
			b.WriteString(equals(name, dn))
		}
	}
	return b.String()
}

func (d *Directory) groupsWith(ctx context.Context, filter string) ([]string, error) {
	var list []string
	err := d.do(ctx, lookup, "search", func(l *goldap.Conn) error {
		list = nil
		req := request(d.cfg.GroupBase, goldap.ScopeWholeSubtree, all(d.Settings().GroupFilter, "(|"+filter+")"), maxLooked, nil)
		res, err := l.Search(req)
		if res != nil {
			for _, e := range res.Entries {
				list = append(list, e.DN)
			}
		}
		if goldap.IsErrorAnyOf(err, goldap.LDAPResultSizeLimitExceeded, goldap.LDAPResultNoSuchObject) {
			return nil
		}
		return err
	})
	return list, kept(err)
}

// Exists reports whether somebody may use chat, as far as is known. Until everybody
// was read once, the servers are asked.
func (d *Directory) Exists(ctx context.Context, user jid.JID) (bool, error) {
	r, known, complete := d.people.person(user)
	if known {
		return r.why == "", nil
	}
	if complete {
		return d.people.isFresh(user, d.grace()), nil
	}
	_, e, err := d.find(ctx, user)
	if errors.Is(err, ErrPassword) || errors.Is(err, ErrAmbiguous) {
		return false, nil
	}
	return err == nil && e.bar == "", err
}

// grace is how long somebody who signed in may be missing from the picture.
func (d *Directory) grace() time.Duration { return 3*d.Settings().Refresh + 30*time.Second }

// Withdrawn reports whether somebody who is signed in may not be any more, and why.
// It never waits.
func (d *Directory) Withdrawn(user jid.JID) (why string, withdrawn bool) {
	r, known, complete := d.people.person(user)
	switch {
	case !complete, known && r.why == "":
		return "", false
	case d.people.isFresh(user, d.grace()):
		return "", false
	case known:
		return r.why, true
	}
	return "there is no such person in the directory any more", true
}

// Stamp differs after each change of somebody's entry, so that what was found out
// of it before counts no longer. It is not known of all, and of nobody who may
// not chat.
func (d *Directory) Stamp(user jid.JID) (uint64, bool) {
	r, known, complete := d.people.person(user)
	return r.stamp, known && complete && r.why == ""
}

// Holds reports whether people of a domain are in the directory.
func (d *Directory) Holds(domain string) bool {
	for _, own := range d.cfg.Domains {
		if own == domain {
			return true
		}
	}
	return false
}
