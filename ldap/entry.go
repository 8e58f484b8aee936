package ldap

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

const (
	maxText   = 1024 // bytes of a text that is kept
	maxValues = 20   // of an attribute
)

// entry is a person as read, before groups are looked at.
type entry struct {
	people.Person
	dn      string
	key     key
	uid     key    // among the members of a posixGroup
	stamp   uint64 // differs after each change of the entry
	bar     string // why the entry itself may not use chat; "" = it may
	recheck bool   // time alone changes that
	allowed bool   // as in a record
	direct  []string
}

var seed = maphash.MakeSeed()

// errNoName says that an entry cannot be a person of ours.
var errNoName = errors.New("has no name that an address could have")

// names lists what is read of a person.
func (d *Directory) names() []string {
	a, enabled := d.cfg.Attributes, d.Settings().Enabled
	list := slices.Concat([]string{
		a.User, a.Domain, a.Name, "cn", a.Given, a.Family, a.Mail, a.Title, a.Department, a.Company, a.Entity, a.Groups,
		a.id, a.stamp, a.control, a.lock, a.expiry, enabled.Attribute, "entryCSN",
	}, a.Phones, a.Lines)
	slices.Sort(list)
	return slices.Compact(slices.DeleteFunc(list, func(name string) bool { return name == "" }))
}

// parse makes a person of an entry.
func (d *Directory) parse(e *goldap.Entry) (entry, error) {
	a := d.cfg.Attributes
	user := value(e, a.User)
	domain := d.domainOf(e)
	if user == "" || domain == "" {
		return entry{}, fmt.Errorf("%s: %w", e.DN, errNoName)
	}
	j, err := jid.New(escapeLocal(user), domain, "")
	if err != nil || j.Local() == "" {
		return entry{}, fmt.Errorf("%s: %w", e.DN, errNoName)
	}
	p := people.Person{
		JID: j, ID: d.idOf(e), Name: value(e, a.Name), Given: value(e, a.Given), Family: value(e, a.Family), Mail: values(e, a.Mail),
		Title: value(e, a.Title), Department: value(e, a.Department), Company: value(e, a.Company), Unit: above(e.DN), Entity: value(e, a.Entity),
	}
	if p.Name == "" {
		p.Name = value(e, "cn")
	}
	for _, name := range a.Phones {
		p.Phones = append(p.Phones, values(e, name)...)
	}
	if len(a.Lines) > 0 {
		p.Lines = []string{} // somebody without any has none
	}
	for _, name := range a.Lines {
		p.Lines = append(p.Lines, values(e, name)...)
	}
	out := entry{Person: p, dn: e.DN, key: dnKey(e.DN), uid: uidKey(user), direct: values(e, a.Groups)}
	if a.Groups != "" {
		out.direct = e.GetEqualFoldAttributeValues(a.Groups)
	}
	out.stamp = d.stampOf(e)
	out.bar, out.recheck = d.barred(e, time.Now())
	return out, nil
}

// domainOf finds the domain that an entry belongs to, "" for none.
func (d *Directory) domainOf(e *goldap.Entry) string {
	if d.cfg.Attributes.Domain == "" {
		return d.cfg.Domains[0]
	}
	for _, v := range values(e, d.cfg.Attributes.Domain) {
		if at := strings.LastIndexByte(v, '@'); at >= 0 {
			v = v[at+1:]
		}
		if j, err := jid.New("", v, ""); err == nil && slices.Contains(d.cfg.Domains, j.Domain()) {
			return j.Domain()
		}
	}
	return ""
}

// idOf is what outlives a rename, or the DN.
func (d *Directory) idOf(e *goldap.Entry) string {
	if raw := e.GetEqualFoldRawAttributeValue(d.cfg.Attributes.id); len(raw) > 0 {
		if d.cfg.Attributes.id == "objectGUID" {
			return fmt.Sprintf("%x", raw)
		}
		return strings.ToLower(string(raw))
	}
	return foldDN(e.DN)
}

// stampOf differs after each change of an entry.
func (d *Directory) stampOf(e *goldap.Entry) uint64 {
	return maphash.String(seed, value(e, "entryCSN")+"\x00"+value(e, d.cfg.Attributes.stamp))
}

// adDisabled is a bit of userAccountControl.
const adDisabled = 1 << 1

// locked is what pwdAccountLockedTime has for a lock that only an administrator
// takes away; others pass by themselves.
const locked = "000001010000Z"

// barred looks at what the entry itself says of whether it is in use. A lock after
// wrong passwords is no such thing: the server refuses the next sign-in by itself,
// and strangers who guess must not be able to end the chats of somebody.
func (d *Directory) barred(e *goldap.Entry, now time.Time) (why string, recheck bool) {
	a, enabled := d.cfg.Attributes, d.Settings().Enabled
	control, _ := strconv.ParseInt(value(e, a.control), 10, 64)
	end := fileTime(value(e, a.expiry))
	switch {
	case control&adDisabled != 0:
		return "the account is disabled in the directory", false
	case !end.IsZero() && end.Before(now):
		return "the account in the directory has expired", false
	case value(e, a.lock) == locked:
		return "the account is locked in the directory", false
	case enabled.Attribute != "" && !has(e, enabled.Attribute, enabled.Value):
		return fmt.Sprintf("the attribute %s is not %s", enabled.Attribute, wanted(enabled.Value)), false
	}
	return "", !end.IsZero()
}

func wanted(value string) string {
	if value == "" {
		return "set"
	}
	return value
}

func has(e *goldap.Entry, name, want string) bool {
	return slices.ContainsFunc(e.GetEqualFoldAttributeValues(name), func(v string) bool { return want == "" || strings.EqualFold(v, want) })
}

// fileTime reads the time of Active Directory, zero for never.
func fileTime(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n == 1<<63-1 {
		return time.Time{}
	}
	const epoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(n/1e7-epoch, n%1e7*100)
}

// value is the first value of an attribute.
func value(e *goldap.Entry, name string) string {
	if all := values(e, name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// values are those that can be shown.
func values(e *goldap.Entry, name string) []string {
	if name == "" {
		return nil
	}
	var list []string
	for _, v := range e.GetEqualFoldAttributeValues(name) {
		if v = clean(v); v != "" && len(list) < maxValues {
			list = append(list, v)
		}
	}
	return list
}

// clean takes from a text what XML cannot have, and what is too much.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}

// escaped are the characters that a local part cannot have (XEP-0106 §3).
var escaped = []string{" ", "20", `"`, "22", "&", "26", "'", "27", "/", "2f", ":", "3a", "<", "3c", ">", "3e", "@", "40"}

var escaper, unescaper = func() (*strings.Replacer, *strings.Replacer) {
	var to, from []string
	for i := 0; i < len(escaped); i += 2 {
		to, from = append(to, escaped[i], `\`+escaped[i+1]), append(from, `\`+escaped[i+1], escaped[i])
	}
	return strings.NewReplacer(to...), strings.NewReplacer(append(from, `\5c`, `\`)...)
}()

// escapeLocal makes a name fit for the local part of an address. A backslash is
// escaped where it would be taken for an escape itself.
func escapeLocal(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+2 < len(name) && isEscape(strings.ToLower(name[i+1:i+3])) {
			b.WriteString(`\5c`)
			continue
		}
		b.WriteByte(name[i])
	}
	return escaper.Replace(b.String())
}

func isEscape(code string) bool {
	if code == "5c" {
		return true
	}
	for i := 1; i < len(escaped); i += 2 {
		if escaped[i] == code {
			return true
		}
	}
	return false
}

func unescapeLocal(local string) string { return unescaper.Replace(local) }
