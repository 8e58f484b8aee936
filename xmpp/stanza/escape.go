package stanza

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendEscaped appends s to dst so that it is safe as text and in an
// attribute value of either quote. Bytes that XML cannot carry become U+FFFD.
func AppendEscaped(dst []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || r == 0xfffe || r == 0xffff {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + size
			}
			i += size
			continue
		}
		if esc := escapes[c]; esc != "" {
			dst = append(append(dst, s[from:i]...), esc...)
			from = i + 1
		}
		i++
	}
	return append(dst, s[from:]...)
}

var escapes = func() (t [utf8.RuneSelf]string) {
	for c := range 0x20 {
		t[c] = "\ufffd"
	}
	t['\n'], t['\t'], t['\r'] = "&#xA;", "&#x9;", "&#xD;"
	t['&'], t['<'], t['>'], t['\''], t['"'] = "&amp;", "&lt;", "&gt;", "&apos;", "&quot;"
	return t
}()

var entities = map[string]rune{"amp": '&', "lt": '<', "gt": '>', "apos": '\'', "quot": '"'}

// decodeReference reads the reference at the start of s, which begins with
// '&'; size 0 means that it is not one XMPP allows.
func decodeReference(s string) (r rune, size int) {
	end := strings.IndexByte(s[:min(len(s), 12)], ';')
	if end < 2 {
		return 0, 0
	}
	name := s[1:end]
	if name[0] != '#' {
		r, ok := entities[name]
		if !ok {
			return 0, 0
		}
		return r, end + 1
	}
	digits, base := name[1:], 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	v, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !validChar(rune(v)) || v > utf8.MaxRune || digits[0] == '+' {
		return 0, 0
	}
	return rune(v), end + 1
}

func validChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && utf8.ValidRune(r) && r != 0xfffe && r != 0xffff
}

// unescape replaces the references in raw, which was scanned before.
func unescape(raw string) string {
	i := strings.IndexByte(raw, '&')
	if i < 0 {
		return raw
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		b.WriteString(raw[:i])
		r, size := decodeReference(raw[i:])
		if size == 0 {
			r, size = '&', 1
		}
		b.WriteRune(r)
		raw = raw[i+size:]
		if i = strings.IndexByte(raw, '&'); i < 0 {
			b.WriteString(raw)
			return b.String()
		}
	}
}

// charData returns the unescaped text directly inside raw, the scanned
// content of an element, without that of elements in it.
func charData(raw string) string {
	if strings.IndexByte(raw, '<') < 0 {
		return unescape(raw)
	}
	var b strings.Builder
	depth := 0
	for raw != "" {
		lt := strings.IndexByte(raw, '<')
		text := raw
		if lt >= 0 {
			text = raw[:lt]
		}
		if depth == 0 {
			b.WriteString(unescape(text))
		}
		if lt < 0 {
			break
		}
		raw = raw[lt:]
		if rest, ok := strings.CutPrefix(raw, "<![CDATA["); ok {
			data, after, _ := strings.Cut(rest, "]]>")
			if depth == 0 {
				b.WriteString(data)
			}
			raw = after
			continue
		}
		end := tagEnd(raw)
		switch {
		case raw[1] == '/':
			depth--
		case raw[end-2] != '/':
			depth++
		}
		raw = raw[end:]
	}
	return b.String()
}

// tagEnd returns the length of the tag at the start of s; quoted values may
// hold '>'.
func tagEnd(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(s)
}
