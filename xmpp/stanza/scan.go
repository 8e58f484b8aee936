package stanza

import (
	"unicode/utf8"
	"unsafe"
)

// scanner walks one document in a single pass. Strings it hands out alias src.
type scanner struct {
	src    string
	pos    int
	lim    Limits
	record int // levels of elements to record
	ns     []binding
	used   []binding // outer prefixes met inside the stanza being scanned
	outer  int       // len(ns) at the content of the stanza being scanned
	attrs  []Attr    // storage shared by recorded elements
}

type binding struct{ prefix, uri string }

// ParseBody scans a BOSH wrapper: one element, its stanzas and their children.
// It takes ownership of data: the result aliases it, so it must not be changed.
func ParseBody(data []byte, lim Limits) (*Node, error) { return parse(data, lim, 3) }

// ParseFrame scans a frame that is one element: a stanza, or an element of
// stream or SASL negotiation. It takes ownership of data like [ParseBody].
func ParseFrame(data []byte, lim Limits) (*Node, error) { return parse(data, lim, 2) }

func parse(data []byte, lim Limits, record int) (*Node, error) {
	lim = lim.withDefaults()
	if record == 2 {
		lim.Bytes = min(lim.Bytes, lim.StanzaBytes)
	}
	if len(data) > lim.Bytes {
		return nil, &SyntaxError{"policy-violation", "too large", 0}
	}
	if len(data) == 0 {
		return nil, &SyntaxError{"not-well-formed", "empty", 0}
	}
	s := scanner{src: unsafe.String(&data[0], len(data)), lim: lim, record: record}
	// Room for what a body without payload has, or one with a stanza.
	s.attrs, s.ns = make([]Attr, 0, 4), make([]binding, 0, 2)
	if err := s.prolog(); err != nil {
		return nil, err
	}
	n := new(Node)
	if err := s.element(n, 1); err != nil {
		return nil, err
	}
	s.space()
	if s.pos != len(s.src) {
		return nil, s.fail("content after the root element")
	}
	return n, nil
}

func (s *scanner) fail(reason string) error {
	return &SyntaxError{"not-well-formed", reason, s.pos}
}

func (s *scanner) restricted(reason string) error {
	return &SyntaxError{"restricted-xml", reason, s.pos}
}

func (s *scanner) limit(reason string) error {
	return &SyntaxError{"policy-violation", reason, s.pos}
}

func (s *scanner) space() {
	for s.pos < len(s.src) && class[s.src[s.pos]]&clsSpace != 0 {
		s.pos++
	}
}

func (s *scanner) has(prefix string) bool {
	return len(s.src)-s.pos >= len(prefix) && s.src[s.pos:s.pos+len(prefix)] == prefix
}

// prolog skips an XML declaration; some clients write one before each body.
func (s *scanner) prolog() error {
	if s.has("\ufeff") {
		s.pos += len("\ufeff")
	}
	if s.has("<?xml ") {
		for s.pos < len(s.src) && s.src[s.pos] != '>' {
			s.pos++
		}
		if s.pos >= len(s.src) || s.src[s.pos-1] != '?' {
			return s.fail("XML declaration")
		}
		s.pos++
	}
	s.space()
	switch {
	case s.has("<?"):
		return s.restricted("processing instruction")
	case s.has("<!"):
		return s.restricted("comment or document type")
	case !s.has("<"):
		return s.fail("not XML")
	}
	return nil
}

// element scans the element that starts at pos into n; level counts from 1 at
// the root. Beyond the recorded levels only well-formedness is checked.
func (s *scanner) element(n *Node, level int) error {
	if level > s.lim.Depth+s.record-1 {
		return s.limit("too deep")
	}
	stanzaLevel := s.record - 1
	start := s.pos
	s.pos++ // '<'
	qname, prefix, err := s.qname()
	if err != nil {
		return err
	}
	scope := len(s.ns)
	attrs, empty, err := s.startTag(level <= s.record)
	if err != nil {
		return err
	}
	uri, err := s.resolve(prefix)
	if err != nil {
		return err
	}
	if level <= s.record {
		local := qname
		if prefix != "" {
			local = qname[len(prefix)+1:]
		}
		n.Name, n.Attrs, n.raw = Name{uri, local}, attrs, span{start, start}
		n.tag, n.src = len(qname)+1, s.src
	}
	if level == stanzaLevel {
		s.outer, s.used = len(s.ns), nil
		n.defaultNS, _ = s.lookup("")
	}
	n.inner = span{s.pos, s.pos}
	if !empty {
		if err := s.content(n, level, qname); err != nil {
			return err
		}
	}
	if level == stanzaLevel {
		n.inherited = s.used
		s.outer = 0
		if s.pos-start > s.lim.StanzaBytes {
			return s.limit("stanza too large")
		}
	}
	n.raw.end = s.pos
	s.ns = s.ns[:scope]
	return nil
}

// content scans up to and over the end tag of the element named qname.
func (s *scanner) content(n *Node, level int, qname string) error {
	for {
		if err := s.text(); err != nil {
			return err
		}
		if s.pos+1 >= len(s.src) {
			return s.fail("unexpected end")
		}
		switch s.src[s.pos+1] {
		case '/':
			n.inner.end = s.pos
			return s.endTag(qname)
		case '!':
			if err := s.cdata(); err != nil {
				return err
			}
		case '?':
			return s.restricted("processing instruction")
		default:
			if err := s.child(n, level); err != nil {
				return err
			}
		}
	}
}

func (s *scanner) child(n *Node, level int) error {
	if level >= s.record {
		var scratch Node
		return s.element(&scratch, level+1)
	}
	if len(n.Children) >= s.lim.Children {
		return s.limit("too many elements")
	}
	n.Children = append(n.Children, Node{})
	return s.element(&n.Children[len(n.Children)-1], level+1)
}

func (s *scanner) endTag(qname string) error {
	s.pos += 2
	if !s.has(qname) {
		return s.fail("mismatched end tag")
	}
	s.pos += len(qname)
	s.space()
	if !s.has(">") {
		return s.fail("mismatched end tag")
	}
	s.pos++
	return nil
}

func (s *scanner) cdata() error {
	if !s.has("<![CDATA[") {
		return s.restricted("comment or document type")
	}
	s.pos += len("<![CDATA[")
	for s.pos < len(s.src) {
		if s.src[s.pos] == ']' && s.has("]]>") {
			s.pos += 3
			return nil
		}
		if err := s.char(); err != nil {
			return err
		}
	}
	return s.fail("unexpected end")
}

// text moves to the next '<', checking characters and references.
func (s *scanner) text() error {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case class[c]&clsText != 0:
			s.pos++
		case c == '<':
			return nil
		case c == '&':
			if err := s.reference(); err != nil {
				return err
			}
		case c == ']':
			if s.has("]]>") {
				return s.fail("]]> in text")
			}
			s.pos++
		default:
			if err := s.char(); err != nil {
				return err
			}
		}
	}
	return s.fail("unexpected end")
}

// char checks one character of XML 1.0 production 2 and moves over it.
func (s *scanner) char() error {
	c := s.src[s.pos]
	if c < utf8.RuneSelf {
		if c < 0x20 && class[c]&clsSpace == 0 {
			return s.fail("control character")
		}
		s.pos++
		return nil
	}
	r, size := utf8.DecodeRuneInString(s.src[s.pos:])
	if r == utf8.RuneError && size == 1 {
		return s.fail("not UTF-8")
	}
	if r == 0xfffe || r == 0xffff {
		return s.fail("forbidden character")
	}
	s.pos += size
	return nil
}

// reference checks a character or predefined entity reference at '&'.
func (s *scanner) reference() error {
	_, size := decodeReference(s.src[s.pos:])
	if size == 0 {
		return s.restricted("entity reference")
	}
	s.pos += size
	return nil
}

const (
	clsSpace = 1 << iota // XML white space
	clsText              // plain text, no look ahead needed
	clsStart             // starts a name
	clsName              // continues a name
	clsValue             // plain in an attribute value
)

var class = func() (t [256]uint8) {
	for c := range 256 {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		digit := c >= '0' && c <= '9' || c == '-' || c == '.'
		space := c == ' ' || c == '\t' || c == '\n' || c == '\r'
		if space {
			t[c] |= clsSpace
		}
		if letter {
			t[c] |= clsStart | clsName
		}
		if digit {
			t[c] |= clsName
		}
		if c < utf8.RuneSelf && (c >= 0x20 || space) {
			if c != '<' && c != '&' && c != ']' {
				t[c] |= clsText
			}
			if c != '<' && c != '&' && c != '\'' && c != '"' {
				t[c] |= clsValue
			}
		}
	}
	return t
}()
