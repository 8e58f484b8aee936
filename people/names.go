package people

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds the bytes of a name or a group's name.
const maxName = 1023

// clean makes a text fit for XML and for one line.
func clean(s string) string {
	bad := func(r rune) bool {
		return unicode.IsControl(r) || r == utf8.RuneError || r == '\ufffe' || r == '\uffff'
	}
	if strings.ContainsFunc(s, bad) {
		s = strings.Map(func(r rune) rune {
			if bad(r) {
				return ' '
			}
			return r
		}, s)
	}
	s = strings.TrimSpace(s)
	if len(s) > maxName {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:maxName], ""))
	}
	return strings.Clone(s)
}

// GroupKey is what two spellings of one group's name have in common: case, and in
// a directory's name (cn=agents, ou=groups) the blanks around commas, do not count.
func GroupKey(name string) string {
	name = clean(strings.ToLower(name)) // in lower case some are longer
	if !isDN(name) {
		return name
	}
	parts := splitDN(name)
	for i, p := range parts {
		attr, value, _ := strings.Cut(p, "=")
		parts[i] = strings.TrimSpace(attr) + "=" + strings.TrimSpace(value)
	}
	return strings.Join(parts, ",")
}

// GroupTitle is how a group is shown: a directory's name by its first value.
func GroupTitle(name string) string {
	name = clean(name)
	if !isDN(name) {
		return name
	}
	_, value, _ := strings.Cut(splitDN(name)[0], "=")
	if value = unescapeDN(strings.TrimSpace(value)); value == "" {
		return name
	}
	return value
}

// isDN tells names such as cn=agents,ou=groups,dc=example from others that have
// an equals sign.
func isDN(name string) bool {
	for i, p := range splitDN(name) {
		attr, _, ok := strings.Cut(p, "=")
		if attr = strings.TrimSpace(attr); !ok || attr == "" || strings.ContainsFunc(attr, func(r rune) bool {
			return r != '-' && r != '.' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
		}) {
			return false
		}
		if i > 0 {
			return true
		}
	}
	return false
}

// splitDN cuts at the commas that are not escaped (RFC 4514).
func splitDN(name string) []string {
	var parts []string
	from := 0
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case ',':
			parts = append(parts, name[from:i])
			from = i + 1
		}
	}
	return append(parts, name[from:])
}

func unescapeDN(value string) string {
	if !strings.Contains(value, `\`) {
		return value
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '\\' && i+2 < len(value) && hex(value[i+1]) >= 0 && hex(value[i+2]) >= 0 {
			c = byte(hex(value[i+1])<<4 | hex(value[i+2]))
			i += 2
		} else if c == '\\' && i+1 < len(value) {
			i++
			c = value[i]
		}
		out = append(out, c)
	}
	return clean(string(out))
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
