package people

import "strings"

// PhoneKeys returns the words under which a telephone number is the same wherever it
// is written: whole is the number itself, with the code of its country if that is
// known; extension is what a line in the same house has, "" if it is not told apart.
// ok is false for what is no number.
func PhoneKeys(text string) (whole, extension string, ok bool) {
	p, ok := parsePhone(text)
	if !ok {
		return "", "", false
	}
	if _, after, found := strings.Cut(text, ";ext="); found { // RFC 3966 §5.3, as msRTCSIP-Line has it
		after, _, _ = strings.Cut(after, ";")
		if d := digits(after); d != "" && len(d) <= 6 {
			p.extension = d
		}
	}
	whole = p.national
	if p.country != "" {
		whole = "+" + p.country + p.national
	}
	return whole, p.extension, true
}
