package stanza

import (
	"fmt"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/xmpp/jid"
)

// Node is one scanned element. Its strings and bytes alias the input.
type Node struct {
	Name     Name
	Attrs    []Attr
	Children []Node // as deep as the parse records, nil below

	src        string
	raw, inner span
	tag        int       // length of "<qname"
	defaultNS  string    // in force for its content; recorded for stanzas
	inherited  []binding // prefixes its content takes from outside; for stanzas
}

type span struct{ start, end int }

// Attr returns the value of the attribute without namespace named local.
func (n *Node) Attr(local string) string { return n.AttrNS("", local) }

// AttrNS returns the value of the attribute space:local, "" if absent.
func (n *Node) AttrNS(space, local string) string {
	for i := range n.Attrs {
		if n.Attrs[i].Name.Local == local && n.Attrs[i].Name.Space == space {
			return n.Attrs[i].Value
		}
	}
	return ""
}

// HasAttr reports whether the attribute without namespace named local is there.
func (n *Node) HasAttr(local string) bool {
	for i := range n.Attrs {
		if n.Attrs[i].Name.Local == local && n.Attrs[i].Name.Space == "" {
			return true
		}
	}
	return false
}

// Text returns the unescaped character data directly inside the element.
func (n *Node) Text() string { return charData(n.src[n.inner.start:n.inner.end]) }

// Raw returns the element as it was sent. Prefixes declared further out are
// not repeated in it.
func (n *Node) Raw() string { return n.src[n.raw.start:n.raw.end] }

// Element returns the element as a tree.
func (n *Node) Element() (*etree.Element, error) {
	var wrapped []byte
	wrapped = append(wrapped, "<w xmlns='"...)
	wrapped = AppendEscaped(wrapped, n.outerNS())
	wrapped = append(wrapped, '\'')
	for _, b := range n.inherited {
		wrapped = appendDeclaration(wrapped, b)
	}
	wrapped = append(wrapped, '>')
	wrapped = append(wrapped, n.Raw()...)
	wrapped = append(wrapped, "</w>"...)
	return tree(wrapped)
}

// outerNS is the default namespace that an unprefixed element without a
// declaration of its own stands in.
func (n *Node) outerNS() string {
	if n.tag == len(n.Name.Local)+1 {
		return n.Name.Space
	}
	return n.defaultNS
}

// tree parses a wrapper element and returns the one element in it.
func tree(wrapped []byte) (*etree.Element, error) {
	doc := etree.NewDocument()
	doc.ReadSettings.PreserveCData = false
	if err := doc.ReadFromBytes(wrapped); err != nil {
		return nil, fmt.Errorf("build tree: %w", err)
	}
	children := doc.Root().ChildElements()
	if len(children) != 1 {
		return nil, fmt.Errorf("build tree: %d elements", len(children))
	}
	return children[0], nil
}

// Stanza returns the element as a stanza. An element that is none gives a nil
// stanza and a *SyntaxError. A stanza with a malformed address is returned
// together with a *Error that answers it.
func (n *Node) Stanza() (*Stanza, error) {
	st := &Stanza{}
	switch n.Name.Local {
	case "message":
		st.Kind = KindMessage
	case "presence":
		st.Kind = KindPresence
	case "iq":
		st.Kind = KindIQ
	}
	// Clients that leave the namespace of a BOSH body in force mean jabber:client.
	if st.Kind == 0 || n.Name.Space != NSClient && n.Name.Space != NSHTTPBind {
		return nil, &SyntaxError{"unsupported-stanza-type", "not a stanza of " + NSClient, n.raw.start}
	}
	var err error
	for i := range n.Attrs {
		if e := st.setAttr(n.Attrs[i]); e != nil && err == nil {
			err = e
		}
	}
	st.setInner(n)
	return st, err
}

func (st *Stanza) setAttr(a Attr) error {
	switch a.Name {
	case Name{"", "to"}:
		return setJID(&st.To, a.Value)
	case Name{"", "from"}:
		return setJID(&st.From, a.Value)
	case Name{"", "id"}:
		st.ID = a.Value
	case Name{"", "type"}:
		st.Type = a.Value
	case Name{NSXML, "lang"}:
		st.Lang = a.Value
	default:
		st.Extra = appendExtra(st.Extra, a)
	}
	return nil
}

func setJID(dst *jid.JID, s string) error {
	j, err := jid.Parse(s)
	if err != nil {
		return &Error{Type: Modify, Condition: "jid-malformed"}
	}
	*dst = j
	return nil
}

// appendExtra keeps an attribute that routing does not know. Qualified ones
// carry a declaration of their own.
func appendExtra(dst []byte, a Attr) []byte {
	switch {
	case a.Name.Space == "xmlns":
		return dst
	case a.Name.Space == "":
		dst = append(append(append(dst, ' '), a.Name.Local...), "='"...)
	default:
		p := fmt.Sprintf("x%d", len(dst))
		dst = appendDeclaration(dst, binding{p, a.Name.Space})
		dst = append(append(append(append(append(dst, ' '), p...), ':'), a.Name.Local...), "='"...)
	}
	return append(AppendEscaped(dst, a.Value), '\'')
}

func appendDeclaration(dst []byte, b binding) []byte {
	dst = append(dst, " xmlns"...)
	if b.prefix != "" {
		dst = append(append(dst, ':'), b.prefix...)
	}
	dst = append(dst, "='"...)
	return append(AppendEscaped(dst, b.uri), '\'')
}

// setInner takes over the content of n, made independent of what is declared
// outside of it.
func (st *Stanza) setInner(n *Node) {
	need := n.inherited
	if n.defaultNS != n.Name.Space {
		need = append(need[:len(need):len(need)], binding{"", n.defaultNS})
	}
	if len(n.Children) > 0 {
		st.Children = make([]Child, len(n.Children))
	}
	if len(need) == 0 {
		st.Inner = bytesOf(n.src[n.inner.start:n.inner.end])
		for i := range n.Children {
			c := &n.Children[i]
			st.Children[i] = Child{childName(c, n), c.raw.start - n.inner.start, c.raw.end - n.inner.start}
		}
		return
	}
	var inner []byte
	at := n.inner.start
	for i := range n.Children {
		c := &n.Children[i]
		inner = append(inner, n.src[at:c.raw.start]...)
		start := len(inner)
		inner = append(inner, n.src[c.raw.start:c.raw.start+c.tag]...)
		for _, b := range need {
			if !c.declares(b.prefix) {
				inner = appendDeclaration(inner, b)
			}
		}
		inner = append(inner, n.src[c.raw.start+c.tag:c.raw.end]...)
		st.Children[i] = Child{childName(c, n), start, len(inner)}
		at = c.raw.end
	}
	st.Inner = append(inner, n.src[at:n.inner.end]...)
}

// childName maps children that only inherit a BOSH body's namespace.
func childName(c, parent *Node) Name {
	if c.Name.Space == NSHTTPBind && parent.Name.Space == NSHTTPBind {
		return Name{NSClient, c.Name.Local}
	}
	return c.Name
}

func (n *Node) declares(prefix string) bool {
	for i := range n.Attrs {
		if n.Attrs[i].Name == (Name{"xmlns", prefix}) {
			return true
		}
	}
	return false
}
