package presence

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/deskline/deskline/people"
)

// Numbers says how telephone numbers are written in an installation, so that those which are
// written in different ways are the same. The zero Numbers knows only of + and 00.
type Numbers struct {
	Country        string // its code, for numbers without one; "" = not known
	Trunk          string // in front of numbers of the same country; "" = nothing
	International  string // in front of the code of a country, beside +
	NationalDigits int    // a number of so many digits is of the country, without Trunk; 0 = none is
	Rules          []Rule // the first that matches counts, before all else
}

// Rule rewrites a number.
type Rule struct {
	pattern *regexp.Regexp
	number  string
}

// maxRule bounds the text of a rule in bytes.
const maxRule = 200

// ParseRule reads pattern=number. The pattern is a regular expression for the whole number, digits with
// a + or none in front; the number may have $1 and so on of it.
func ParseRule(text string) (Rule, error) {
	pattern, number, ok := strings.Cut(text, "=")
	if pattern, number = strings.TrimSpace(pattern), strings.TrimSpace(number); !ok || pattern == "" || number == "" || len(text) > maxRule {
		return Rule{}, fmt.Errorf("%q is not written pattern=number", text)
	}
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return Rule{}, fmt.Errorf("%q: %w", text, err)
	}
	if strings.Trim(number, "+0123456789${}") != "" {
		return Rule{}, fmt.Errorf("%q: %q is no number, nor one with $1", text, number)
	}
	return Rule{re, number}, nil
}

// Keys returns the words under which a number is the same wherever it is written, as people.PhoneKeys.
func (n Numbers) Keys(text string) (whole, extension string, ok bool) {
	return people.PhoneKeys(n.full(text))
}

// full writes a number with the code of its country, if that is known.
func (n Numbers) full(text string) string {
	for i := range n.Rules {
		plain := compact(text)
		if at := n.Rules[i].pattern.FindStringSubmatchIndex(plain); at != nil {
			text = string(n.Rules[i].pattern.ExpandString(nil, n.Rules[i].number, plain, at))
			break
		}
	}
	plain := compact(text)
	switch {
	case strings.HasPrefix(plain, "+"):
	case n.International != "" && strings.HasPrefix(plain, n.International):
		return "+" + cut(text, len(n.International))
	case n.Country == "":
	case n.Trunk != "" && strings.HasPrefix(plain, n.Trunk) && len(plain) > len(n.Trunk):
		return "+" + n.Country + " " + cut(text, len(n.Trunk))
	case n.NationalDigits > 0 && len(plain) == n.NationalDigits:
		return "+" + n.Country + " " + text
	}
	return text
}

// compact leaves the digits of a number, and a + in front of them.
func compact(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 4 && strings.EqualFold(text[:4], "tel:") {
		text, _, _ = strings.Cut(text[4:], ";")
	}
	text = strings.ReplaceAll(text, "(0)", "")
	var b strings.Builder
	for _, r := range text {
		if r >= '0' && r <= '9' || r == '+' && b.Len() == 0 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cut leaves out the first digits of a number, and what stands before and between them. Such a number is
// behind a tel: scheme at most.
func cut(text string, digits int) string {
	for i, r := range text {
		if digits == 0 {
			return text[i:]
		}
		if r >= '0' && r <= '9' {
			digits--
		}
	}
	return ""
}
