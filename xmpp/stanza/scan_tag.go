package stanza

import (
	"unicode"
	"unicode/utf8"
)

// qname scans a qualified name and splits off its prefix.
func (s *scanner) qname() (qname, prefix string, err error) {
	start, colon := s.pos, -1
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		first := s.pos == start || s.pos == colon+1
		switch {
		case class[c]&clsStart != 0, !first && class[c]&clsName != 0:
			s.pos++
			continue
		case c == ':' && colon < 0 && !first:
			colon = s.pos
			s.pos++
			continue
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s.src[s.pos:])
			if nameRune(r, first) {
				s.pos += size
				continue
			}
			return "", "", s.fail("name")
		}
		break
	}
	if s.pos == start || s.pos == colon+1 {
		return "", "", s.fail("name")
	}
	qname = s.src[start:s.pos]
	if colon >= 0 {
		prefix = s.src[start:colon]
	}
	return qname, prefix, nil
}

// nameRune approximates productions 4 and 4a of XML 1.0 beyond ASCII.
func nameRune(r rune, first bool) bool {
	switch {
	case r == utf8.RuneError, r == 0xd7, r == 0xf7, r == 0x37e:
		return false
	case unicode.IsLetter(r), r >= 0x10000 && r <= 0xeffff && !unicode.IsControl(r):
		return true
	}
	return !first && (r == 0xb7 || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r) || unicode.IsDigit(r))
}

// startTag scans attributes up to the end of the start tag, pushes namespace
// declarations and, if keep, returns the attributes with resolved names.
func (s *scanner) startTag(keep bool) (attrs []Attr, empty bool, err error) {
	first := len(s.attrs)
	mark := first
	for {
		before := s.pos
		s.space()
		switch {
		case s.pos >= len(s.src):
			return nil, false, s.fail("unexpected end")
		case s.src[s.pos] == '>':
			s.pos++
			attrs, err = s.finish(first, keep)
			return attrs, false, err
		case s.has("/>"):
			s.pos += 2
			attrs, err = s.finish(first, keep)
			return attrs, true, err
		case before == s.pos:
			return nil, false, s.fail("start tag")
		}
		if mark++; mark-first > s.lim.Attrs {
			return nil, false, s.limit("too many attributes")
		}
		if err := s.attribute(first); err != nil {
			return nil, false, err
		}
	}
}

func (s *scanner) attribute(first int) error {
	qname, prefix, err := s.qname()
	if err != nil {
		return err
	}
	s.space()
	if !s.has("=") {
		return s.fail("attribute without value")
	}
	s.pos++
	s.space()
	value, err := s.value()
	if err != nil {
		return err
	}
	a := Attr{Name{prefix, qname}, value}
	if prefix != "" {
		a.Name.Local = qname[len(prefix)+1:]
	}
	if qname == "xmlns" {
		a.Name = Name{"xmlns", ""}
	}
	for _, other := range s.attrs[first:] {
		if other.Name == a.Name {
			return s.fail("repeated attribute")
		}
	}
	if a.Name.Space == "xmlns" {
		if err := s.declare(a.Name.Local, value); err != nil {
			return err
		}
	}
	s.attrs = append(s.attrs, a)
	return nil
}

func (s *scanner) declare(prefix, uri string) error {
	switch {
	case prefix == "xmlns", uri == nsXMLNS, (prefix == "xml") != (uri == NSXML), prefix != "" && uri == "":
		return s.fail("namespace declaration")
	}
	s.ns = append(s.ns, binding{prefix, uri})
	return nil
}

// finish resolves the prefixes of the attributes from first on, once all
// declarations of the tag are known.
func (s *scanner) finish(first int, keep bool) ([]Attr, error) {
	attrs := s.attrs[first:len(s.attrs):len(s.attrs)]
	prefixed := false
	for i := range attrs {
		if p := attrs[i].Name.Space; p != "" && p != "xmlns" {
			uri, err := s.resolve(p)
			if err != nil {
				return nil, err
			}
			attrs[i].Name.Space = uri
			prefixed = true
		}
	}
	if prefixed {
		for i := range attrs {
			for j := range i {
				if attrs[i].Name == attrs[j].Name {
					return nil, s.fail("repeated attribute")
				}
			}
		}
	}
	if !keep {
		s.attrs = s.attrs[:first]
		return nil, nil
	}
	return attrs, nil
}

// value scans a quoted attribute value and unescapes it.
func (s *scanner) value() (string, error) {
	if s.pos >= len(s.src) || s.src[s.pos] != '\'' && s.src[s.pos] != '"' {
		return "", s.fail("attribute value")
	}
	quote := s.src[s.pos]
	s.pos++
	start, plain := s.pos, true
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == quote:
			raw := s.src[start:s.pos]
			s.pos++
			if plain {
				return raw, nil
			}
			return unescape(raw), nil
		case class[c]&clsValue != 0, c == '\'', c == '"':
			s.pos++
		case c == '&':
			plain = false
			if err := s.reference(); err != nil {
				return "", err
			}
		case c == '<':
			return "", s.fail("< in attribute value")
		default:
			if err := s.char(); err != nil {
				return "", err
			}
		}
	}
	return "", s.fail("unexpected end")
}

// resolve finds the namespace of prefix and notes prefixes that the stanza
// being scanned takes from outside.
func (s *scanner) resolve(prefix string) (string, error) {
	if prefix == "xml" {
		return NSXML, nil
	}
	uri, at := s.lookup(prefix)
	if at < 0 && prefix != "" {
		return "", s.fail("undeclared namespace prefix")
	}
	if prefix != "" && s.outer > 0 && at < s.outer {
		b := binding{prefix, uri}
		for _, u := range s.used {
			if u == b {
				return uri, nil
			}
		}
		s.used = append(s.used, b)
	}
	return uri, nil
}

func (s *scanner) lookup(prefix string) (uri string, at int) {
	for i := len(s.ns) - 1; i >= 0; i-- {
		if s.ns[i].prefix == prefix {
			return s.ns[i].uri, i
		}
	}
	return "", -1
}
