package people

import "strings"

// A telephone number is found by the ways people type it: with the code of the
// country, without it, with a 0 in front, by its last digits, by the extension.
// Each way is a word with a mark in front that no other word has.
const (
	markInternational = "\x01" // 4930123456 of +49 30 123-456
	markNational      = "\x02" // 30123456 of the same
	markLocal         = "\x03" // 30123456 of 030 123456, whose country is unknown
	markReversed      = "\x04" // 65432103, to be found by its end
	markExtension     = "\x05" // 456
)

const (
	maxDigits = 20 // of a number; E.164 has 15, extensions come behind them
	minEnd    = 3  // digits by which the end of a number is found
)

// phone is a number taken apart.
type phone struct {
	country   string // its code, "" = unknown
	national  string // without code, trunk prefix and leading zeros
	extension string // written behind a hyphen or a word for it
}

// parsePhone reads a number as it is written in directories; ok is false for
// what has no digits or too many.
func parsePhone(text string) (p phone, ok bool) {
	text = strings.TrimSpace(text)
	if rest, found := cutScheme(text); found {
		text = rest
	}
	text = strings.ReplaceAll(text, "(0)", "")
	p.extension = extension(text)
	d := digits(text)
	if d == "" || len(d) > maxDigits {
		return phone{}, false
	}
	if strings.HasPrefix(strings.TrimLeft(text, " ("), "+") {
		p.country, p.national = splitCountry(d)
	} else if rest, found := strings.CutPrefix(d, "00"); found {
		p.country, p.national = splitCountry(rest)
	} else {
		p.national = d
	}
	p.national = strings.TrimLeft(p.national, "0")
	return p, p.national != "" || p.country != ""
}

func cutScheme(text string) (string, bool) {
	if len(text) > 4 && strings.EqualFold(text[:4], "tel:") {
		rest, _, _ := strings.Cut(text[4:], ";")
		return rest, true
	}
	return text, false
}

// extension is what stands behind the last hyphen or a word such as "ext.".
func extension(text string) string {
	at := strings.LastIndexFunc(text, func(r rune) bool {
		return r == '-' || r == '–' || r == '#' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	})
	if at < 0 {
		return ""
	}
	if d := digits(text[at:]); len(d) > 0 && len(d) <= 6 {
		return d
	}
	return ""
}

func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}

// splitCountry cuts off the code of the country (ITU-T E.164): 1 and 7 have one
// digit, those listed two, all others three.
func splitCountry(d string) (country, national string) {
	n := 3
	switch {
	case d == "":
		return "", ""
	case d[0] == '1' || d[0] == '7':
		n = 1
	case len(d) >= 2 && strings.Contains(twoDigits, " "+d[:2]+" "):
		n = 2
	}
	n = min(n, len(d))
	return d[:n], d[n:]
}

const twoDigits = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 " +
	"60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "

// words are what the number is kept under.
func (p phone) words(yield func(word string)) {
	if p.country != "" {
		yield(markInternational + p.country + p.national)
		yield(markNational + p.national)
	} else {
		yield(markLocal + p.national)
	}
	yield(markReversed + reversed(p.country+p.national))
	if p.extension != "" {
		yield(markExtension + p.extension)
	}
}

// prefixes are the words that a number typed so far is looked up by.
func phonePrefixes(typed string) []string {
	d := digits(typed)
	if d == "" || len(d) > maxDigits {
		return nil
	}
	var all []string
	p, _ := parsePhone(typed)
	switch {
	case p.country != "":
		all = append(all, markInternational+p.country+p.national)
		if p.national != "" {
			all = append(all, markLocal+p.national)
		}
		return all
	case d[0] == '0':
		if p.national != "" {
			all = append(all, markNational+p.national, markLocal+p.national)
		}
	default:
		all = append(all, markInternational+d, markNational+d, markLocal+d)
	}
	if len(d) >= minEnd {
		all = append(all, markReversed+reversed(d))
	}
	return append(all, markExtension+d)
}

func reversed(d string) string {
	b := []byte(d)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
