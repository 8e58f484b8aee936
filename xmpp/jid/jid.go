// Package jid holds XMPP addresses: parsing, preparation and comparison after
// RFC 7622, with the PRECIS profiles of RFC 8265 for the local and the
// resource part and IDNA for the domain.
//
// A JID is a small comparable value, so it serves as a map key; two JIDs are
// equal exactly when their prepared forms are. The zero JID means "absent".
//
//	j, err := jid.Parse("Alice@Example.com/desk")
//	j.String()        // alice@example.com/desk
//	j.Bare().String() // alice@example.com
package jid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// maxPart is the longest part allowed, in bytes (RFC 7622 §3.1).
const maxPart = 1023

// ErrMalformed is wrapped by every error of this package.
var ErrMalformed = errors.New("malformed JID")

// JID is a prepared address. The parts share one string; slash and at are
// positions in it plus one, zero meaning that the part is absent.
type JID struct {
	s     string
	at    uint16
	slash uint16
}

// Parse prepares the address s. It takes the first slash as the start of the
// resource part and an at sign before it as the end of the local part
// (RFC 7622 §3.1).
func Parse(s string) (JID, error) {
	if j, ok := parseFast(s); ok {
		return j, nil
	}
	rest, resource, hasResource := strings.Cut(s, "/")
	if hasResource && resource == "" {
		return JID{}, fmt.Errorf("%w: empty resource", ErrMalformed)
	}
	local, domain, hasLocal := strings.Cut(rest, "@")
	if !hasLocal {
		local, domain = "", rest
	} else if local == "" {
		return JID{}, fmt.Errorf("%w: empty local part", ErrMalformed)
	}
	return New(local, domain, resource)
}

// MustParse is Parse for addresses known to be good; it panics on others.
func MustParse(s string) JID {
	j, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

// New prepares and joins three parts. An empty local or resource part is
// absent; the domain is required.
func New(local, domain, resource string) (JID, error) {
	d, err := prepareDomain(domain)
	if err != nil {
		return JID{}, err
	}
	l, err := prepareLocal(local)
	if err != nil {
		return JID{}, err
	}
	r, err := prepareResource(resource)
	if err != nil {
		return JID{}, err
	}
	return join(l, d, r), nil
}

func join(local, domain, resource string) JID {
	var j JID
	n := len(domain)
	if local != "" {
		j.at = uint16(len(local)) + 1
		n += len(local) + 1
	}
	if resource == "" {
		if local == "" {
			j.s = domain
		} else {
			j.s = local + "@" + domain
		}
		return j
	}
	j.slash = uint16(n) + 1
	if local == "" {
		j.s = domain + "/" + resource
	} else {
		j.s = local + "@" + domain + "/" + resource
	}
	return j
}

// Local returns the part before the at sign, "" if absent.
func (j JID) Local() string {
	if j.at == 0 {
		return ""
	}
	return j.s[:j.at-1]
}

// Domain returns the domain part.
func (j JID) Domain() string { return j.s[j.at:j.bareLen()] }

// Resource returns the part after the slash, "" if absent.
func (j JID) Resource() string {
	if j.slash == 0 {
		return ""
	}
	return j.s[j.slash:]
}

// Bare returns the address without its resource part.
func (j JID) Bare() JID { return JID{s: j.s[:j.bareLen()], at: j.at} }

// DomainJID returns the address of the domain alone.
func (j JID) DomainJID() JID { return JID{s: j.Domain()} }

// WithResource returns the bare address with resource r, prepared.
func (j JID) WithResource(r string) (JID, error) {
	p, err := prepareResource(r)
	if err != nil {
		return JID{}, err
	}
	return join(j.Local(), j.Domain(), p), nil
}

// String returns the address in its prepared form.
func (j JID) String() string { return j.s }

// IsZero reports whether the address is absent.
func (j JID) IsZero() bool { return j.s == "" }

// IsBare reports whether the address has no resource part.
func (j JID) IsBare() bool { return j.slash == 0 }

// Compare orders addresses by their prepared form.
func (j JID) Compare(o JID) int { return strings.Compare(j.s, o.s) }

// MarshalText implements encoding.TextMarshaler.
func (j JID) MarshalText() ([]byte, error) { return []byte(j.s), nil }

// UnmarshalText implements encoding.TextUnmarshaler; empty text is the zero JID.
func (j *JID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*j = JID{}
		return nil
	}
	p, err := Parse(string(b))
	if err != nil {
		return err
	}
	*j = p
	return nil
}

func (j JID) bareLen() int {
	if j.slash == 0 {
		return len(j.s)
	}
	return int(j.slash) - 1
}

// parseFast takes addresses that are in prepared form already and all ASCII,
// which is nearly every address on the wire, without allocating.
func parseFast(s string) (JID, bool) {
	if len(s) == 0 || len(s) > maxPart {
		return JID{}, false
	}
	j := JID{s: s}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case j.slash != 0:
			if c < 0x20 || c > 0x7e {
				return JID{}, false
			}
		case c == '/':
			j.slash = uint16(i) + 1
		case c == '@':
			if j.at != 0 || i == 0 {
				return JID{}, false
			}
			j.at = uint16(i) + 1
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-':
		case c == '_' || c == '+' || c == '=' || c == '~' || c == '!' || c == '#' || c == '$':
			// Fine in a local part only; an at sign must still follow.
			if j.at != 0 {
				return JID{}, false
			}
		default:
			return JID{}, false
		}
	}
	if int(j.slash) == len(s) || !plainDomain(j.Domain()) || (j.at == 0 && strings.ContainsAny(j.Domain(), "_+=~!#$")) {
		return JID{}, false
	}
	return j, true
}

// plainDomain reports whether d needs no preparation: non-empty labels of
// letters, digits and inner hyphens, none of them an A-label.
func plainDomain(d string) bool {
	if d == "" || d[0] == '-' || d[0] == '.' || d[len(d)-1] == '-' || d[len(d)-1] == '.' {
		return false
	}
	label := 0
	for i := 0; i < len(d); i++ {
		switch c := d[i]; {
		case c == '.':
			if label == 0 || d[i-1] == '-' || d[i+1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-' && label == 3 && d[i-1] == '-':
			return false // perhaps "xn--"
		}
		if label++; label > 63 {
			return false
		}
	}
	return true
}

// stable prepares s and refuses results that a second pass would change: an
// address must compare equal to itself after a trip over the wire.
func stable(s string, prepare func(string) (string, error)) (string, error) {
	p, err := prepare(s)
	if err != nil {
		return "", err
	}
	if q, err := prepare(p); err != nil || p != q {
		return "", errors.New("preparation is not stable")
	}
	return p, nil
}

// localExcluded are refused in a local part by RFC 7622 §3.3.1.
const localExcluded = "\"&'/:<>@"

func prepareLocal(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	p, err := stable(s, precis.UsernameCaseMapped.String)
	if err != nil {
		return "", fmt.Errorf("%w: local part: %w", ErrMalformed, err)
	}
	if p == "" || len(p) > maxPart || strings.ContainsAny(p, localExcluded) {
		return "", fmt.Errorf("%w: local part", ErrMalformed)
	}
	return p, nil
}

func prepareResource(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if len(s) > maxPart {
		return "", fmt.Errorf("%w: resource longer than %d bytes", ErrMalformed, maxPart)
	}
	p, err := stable(s, precis.OpaqueString.String)
	if err != nil {
		return "", fmt.Errorf("%w: resource: %w", ErrMalformed, err)
	}
	if p == "" || len(p) > maxPart {
		return "", fmt.Errorf("%w: resource", ErrMalformed)
	}
	return p, nil
}

// domainProfile keeps U-labels and lower-cases (RFC 7622 §3.2).
var domainProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.Transitional(false))

func prepareDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: no domain", ErrMalformed)
	}
	if len(s) > 2*maxPart {
		return "", fmt.Errorf("%w: domain longer than %d bytes", ErrMalformed, maxPart)
	}
	if s[0] == '[' {
		a, err := netip.ParseAddr(strings.TrimSuffix(s[1:], "]"))
		if err != nil || !a.Is6() || a.Zone() != "" || s[len(s)-1] != ']' {
			return "", fmt.Errorf("%w: domain %q", ErrMalformed, s)
		}
		return "[" + a.String() + "]", nil
	}
	p, err := stable(s, domainProfile.ToUnicode)
	if err != nil {
		return "", fmt.Errorf("%w: domain: %w", ErrMalformed, err)
	}
	if p == "" || len(p) > maxPart || strings.HasSuffix(p, ".") || strings.ContainsAny(p, "@/") {
		return "", fmt.Errorf("%w: domain", ErrMalformed)
	}
	return p, nil
}
