package wire

import "bytes"

// Element is one child of a <body/>.
type Element struct {
	Name []byte // with its prefix, as written
	Tag  []byte // the start tag from '<' to '>'
	Raw  []byte // the whole element
}

// Attr returns the raw value of an attribute of the element's start tag, nil
// when it has none.
func (e Element) Attr(name string) []byte { return Attr(e.Tag, name) }

// Text returns the raw character data between the element's tags, whatever
// stands there.
func (e Element) Text() []byte { return Inner(e.Raw) }

// StartTag returns the start tag that b begins with (after white space), from
// '<' to '>', or nil.
func StartTag(b []byte) []byte {
	i := bytes.IndexByte(b, '<')
	if i < 0 {
		return nil
	}
	end := tagEnd(b, i)
	if end < 0 {
		return nil
	}
	return b[i:end]
}

// Inner returns what stands between the start and end tag of the one element
// that b is, nil when it is empty.
func Inner(b []byte) []byte {
	tag := StartTag(b)
	if tag == nil || tag[len(tag)-2] == '/' {
		return nil
	}
	start := bytes.IndexByte(b, '<') + len(tag)
	end := bytes.LastIndexByte(b, '<')
	if end < start {
		return nil
	}
	return b[start:end]
}

// Next finds the first element in b and returns what follows it. It reports
// false when there is none (any more).
func Next(b []byte) (e Element, rest []byte, ok bool) {
	start := bytes.IndexByte(b, '<')
	if start < 0 {
		return e, nil, false
	}
	end := tagEnd(b, start)
	if end < 0 || b[start+1] == '/' {
		return e, nil, false
	}
	e.Tag = b[start:end]
	e.Name = tagName(e.Tag)
	depth := 1
	if e.Tag[len(e.Tag)-2] == '/' {
		depth = 0
	}
	for depth > 0 {
		open := bytes.IndexByte(b[end:], '<')
		if open < 0 {
			return e, nil, false
		}
		open += end
		if end = tagEnd(b, open); end < 0 {
			return e, nil, false
		}
		switch {
		case b[open+1] == '/':
			depth--
		case b[end-2] != '/':
			depth++
		}
	}
	e.Raw = b[start:end]
	return e, b[end:], true
}

// tagEnd returns the index after the '>' of the tag that begins at i; a '>' in
// an attribute value does not end it.
func tagEnd(b []byte, i int) int {
	var quote byte
	for at := i + 1; at < len(b); at++ {
		c := b[at]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '>':
			if at == i+1 {
				return -1
			}
			return at + 1
		case c == '\'' || c == '"':
			quote = c
		}
	}
	return -1
}

func tagName(tag []byte) []byte {
	for i := 1; i < len(tag); i++ {
		switch tag[i] {
		case ' ', '\t', '\r', '\n', '/', '>':
			return tag[1:i]
		}
	}
	return nil
}

// Attr returns the raw value of an attribute of a start tag, nil when it has
// none. The name is compared as written, prefix included.
func Attr(tag []byte, name string) []byte {
	for at := 0; at < len(tag); {
		eq := bytes.IndexByte(tag[at:], '=')
		if eq < 0 {
			return nil
		}
		eq += at
		open := eq + 1
		for open < len(tag) && tag[open] != '\'' && tag[open] != '"' {
			open++
		}
		if open == len(tag) {
			return nil
		}
		end := bytes.IndexByte(tag[open+1:], tag[open])
		if end < 0 {
			return nil
		}
		end += open + 1
		key := bytes.TrimRight(tag[at:eq], " \t\r\n")
		if i := bytes.LastIndexAny(key, " \t\r\n"); i >= 0 {
			key = key[i+1:]
		}
		if string(key) == name {
			return tag[open+1 : end : end]
		}
		at = end + 1
	}
	return nil
}
