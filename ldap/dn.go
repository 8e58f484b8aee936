package ldap

import (
	"crypto/sha256"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// key stands for a DN, or a name of posixGroup, in sets of many: short, and nobody
// can make another one with the same.
type key [16]byte

func keyOf(text string) key {
	h := sha256.Sum256([]byte(text))
	return key(h[:16])
}

// dnKey is the same for all ways to write a DN (RFC 4514), but for values that are
// told apart by case.
func dnKey(dn string) key { return keyOf(foldDN(dn)) }

// uidKey is for the members of a posixGroup.
func uidKey(uid string) key { return keyOf("\x00" + strings.ToLower(uid)) }

func foldDN(dn string) string {
	if !strings.ContainsAny(dn, "\\\"#+;") {
		return fold(dn)
	}
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}

// fold is foldDN for a DN without anything special.
func fold(dn string) string {
	parts := strings.Split(strings.ToLower(dn), ",")
	for i, p := range parts {
		name, value, ok := strings.Cut(p, "=")
		parts[i] = strings.TrimSpace(p)
		if ok {
			parts[i] = strings.TrimSpace(name) + "=" + strings.TrimSpace(value)
		}
	}
	return strings.Join(parts, ",")
}

// splitDN returns the first part of a DN and what is above it.
func splitDN(dn string) (first, above string) {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',', ';':
			return dn[:i], strings.TrimSpace(dn[i+1:])
		}
	}
	return dn, ""
}

// nameOf is the value of the first part of a DN, for people to read.
func nameOf(dn string) string {
	parsed, err := goldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return dn
	}
	return parsed.RDNs[0].Attributes[0].Value
}
