package xmpptest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Namespaces the player has to know.
const (
	nsClient  = "jabber:client"
	nsStreams = "http://etherx.jabber.org/streams"
	nsErrors  = "urn:ietf:params:xml:ns:xmpp-streams"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
)

// element is one XML element with its namespaces resolved.
type element struct {
	name     xml.Name
	attrs    map[xml.Name]string
	text     string // directly inside, without that of children
	children []*element

	moreAttrs, moreChildren bool // of a pattern: others are allowed
}

func (e *element) attr(local string) string { return e.attrs[xml.Name{Local: local}] }

// child returns the first child of that name.
func (e *element) child(space, local string) *element {
	for _, c := range e.children {
		if c.name == (xml.Name{Space: space, Local: local}) {
			return c
		}
	}
	return nil
}

// String writes the element in one line, for people.
func (e *element) String() string {
	var b strings.Builder
	e.write(&b, nsClient)
	return b.String()
}

func (e *element) write(b *strings.Builder, space string) {
	b.WriteString("<" + e.name.Local)
	if e.name.Space != space {
		b.WriteString(" xmlns='" + e.name.Space + "'")
	}
	names := make([]xml.Name, 0, len(e.attrs))
	for name := range e.attrs {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y xml.Name) int { return strings.Compare(x.Space+" "+x.Local, y.Space+" "+y.Local) })
	for _, name := range names {
		prefix := ""
		switch name.Space {
		case "":
		case nsXML:
			prefix = "xml:"
		default:
			prefix = "{" + name.Space + "}"
		}
		b.WriteString(" " + prefix + name.Local + "='" + e.attrs[name] + "'")
	}
	if e.text == "" && len(e.children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteString(">" + clip(e.text))
	for _, c := range e.children {
		c.write(b, e.name.Space)
	}
	b.WriteString("</" + e.name.Local + ">")
}

// clip shortens a text that nobody would read.
func clip(s string) string {
	if len(s) <= 200 {
		return s
	}
	return s[:100] + "[…]" + s[len(s)-20:]
}

// parse reads elements that stand side by side. It refuses what XMPP forbids
// (RFC 6120 §11.1) and prefixes that nothing declares.
func parse(data, space string) ([]*element, error) {
	d := xml.NewDecoder(strings.NewReader(data))
	d.DefaultSpace = space
	var stack, found []*element
	declared := [][]string{{space}}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, data)
		}
		switch t := token.(type) {
		case xml.StartElement:
			e, uris, err := start(t, declared)
			if err != nil {
				return nil, fmt.Errorf("%w in %s", err, data)
			}
			declared = append(declared, uris)
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.children = append(top.children, e)
			} else {
				found = append(found, e)
			}
			stack = append(stack, e)
		case xml.EndElement:
			stack, declared = stack[:len(stack)-1], declared[:len(declared)-1]
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text += string(t)
			} else if strings.TrimSpace(string(t)) != "" {
				return nil, fmt.Errorf("text %q outside of elements", string(t))
			}
		default:
			return nil, fmt.Errorf("%T is no part of XMPP, in %s", token, data)
		}
	}
}

// start makes an element of a start tag. encoding/xml leaves undeclared
// prefixes in place of their namespaces.
func start(t xml.StartElement, declared [][]string) (e *element, uris []string, err error) {
	e = &element{name: t.Name, attrs: make(map[xml.Name]string)}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			uris = append(uris, a.Value)
			continue
		}
		if _, twice := e.attrs[a.Name]; twice {
			return nil, nil, fmt.Errorf("attribute %s stands twice", a.Name.Local)
		}
		e.attrs[a.Name] = a.Value
	}
	names := []xml.Name{e.name}
	for name := range e.attrs {
		names = append(names, name)
	}
	in := append(slices.Clip(declared), uris)
	for _, name := range names {
		known := name.Space == "" || name.Space == nsXML || slices.ContainsFunc(in, func(s []string) bool { return slices.Contains(s, name.Space) })
		if !known {
			return nil, nil, fmt.Errorf("prefix %s is not declared", name.Space)
		}
	}
	return e, uris, nil
}

// more stands for ... in a start tag while a pattern is parsed.
const more = " xmpptest-more=''"

// parsePatterns reads elements as scripts write them.
func parsePatterns(text string) ([]*element, error) {
	found, err := parse(moreAsAttribute(text), nsClient)
	for _, e := range found {
		e.toPattern()
	}
	return found, err
}

// moreAsAttribute replaces ... in start tags, which are no XML.
func moreAsAttribute(text string) string {
	var b strings.Builder
	var quote byte
	inTag := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case inTag && (c == '\'' || c == '"'):
			quote = c
		case c == '<':
			inTag = true
		case c == '>':
			inTag = false
		case inTag && strings.HasPrefix(text[i:], "..."):
			b.WriteString(more)
			i += len("...") - 1
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// toPattern takes ... and the layout of the script out of an element.
func (e *element) toPattern() {
	name := xml.Name{Local: "xmpptest-more"}
	if _, ok := e.attrs[name]; ok {
		e.moreAttrs = true
		delete(e.attrs, name)
	}
	if trimmed := strings.TrimSpace(e.text); trimmed == "..." {
		e.moreChildren = true
		e.text = ""
	} else if trimmed == "" && strings.Contains(e.text, "\n") || len(e.children) > 0 {
		e.text = trimmed
	}
	for _, c := range e.children {
		c.toPattern()
	}
}
