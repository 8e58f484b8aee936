package stanza

import (
	"time"
	"unsafe"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/xmpp/jid"
)

// Kind tells the three stanzas apart.
type Kind uint8

// The stanzas of RFC 6120 §8.2. The zero Kind is none of them.
const (
	KindMessage Kind = iota + 1
	KindPresence
	KindIQ
)

// String returns the element name.
func (k Kind) String() string {
	switch k {
	case KindMessage:
		return "message"
	case KindPresence:
		return "presence"
	case KindIQ:
		return "iq"
	}
	return "none"
}

// Stanza is a message, presence or IQ. It is read-only after creation: it may
// be on its way to many receivers at once. To readdress one, [Stanza.Clone] it.
type Stanza struct {
	Kind     Kind
	Type     string // "" if absent
	ID       string
	Lang     string
	From, To jid.JID
	Extra    []byte  // encoded attributes beyond these, each with a leading space
	Inner    []byte  // encoded content; its default namespace is jabber:client
	Children []Child // the elements directly in Inner, in order

	Arrived time.Time // from a client; zero for one made or kept here
	Kept    bool      // for its receiver, who was away

	// Also lists the sessions of the receiver that have the stanza, if they are
	// several. It is not encoded.
	Also []string
}

// Child is one element directly inside a stanza: Inner[Start:End].
type Child struct {
	Name       Name
	Start, End int
}

// New makes a stanza with inner, which must be well-formed content that the
// server itself encoded; it panics if it is not.
func New(kind Kind, typ string, inner []byte) *Stanza {
	st := &Stanza{Kind: kind, Type: typ}
	if len(inner) == 0 {
		return st
	}
	wrapped := make([]byte, 0, len(inner)+64)
	wrapped = append(wrapped, "<"+kind.String()+" xmlns='"+NSClient+"'>"...)
	wrapped = append(wrapped, inner...)
	wrapped = append(wrapped, "</"+kind.String()+">"...)
	big := len(wrapped)
	n, err := ParseFrame(wrapped, Limits{Bytes: big, StanzaBytes: big, Depth: 1000, Attrs: 1000, Children: big})
	if err != nil {
		panic("stanza: content encoded by the server: " + err.Error())
	}
	st.setInner(n)
	return st
}

// Decode reads back a stanza that [Stanza.AppendXML] wrote, for example from a
// store.
func Decode(data []byte) (*Stanza, error) {
	big := len(data) + 1
	n, err := ParseFrame(data, Limits{Bytes: big, StanzaBytes: big, Depth: 1000, Attrs: 1000, Children: big})
	if err != nil {
		return nil, err
	}
	return n.Stanza()
}

// Child returns the first direct child with that name.
func (st *Stanza) Child(space, local string) (Child, bool) {
	for _, c := range st.Children {
		if c.Name.Local == local && c.Name.Space == space {
			return c, true
		}
	}
	return Child{}, false
}

// Payload returns the first direct child: what an IQ asks for.
func (st *Stanza) Payload() (Child, bool) {
	if len(st.Children) == 0 {
		return Child{}, false
	}
	return st.Children[0], true
}

// ChildBytes returns the encoded child. The caller must not change it.
func (st *Stanza) ChildBytes(c Child) []byte { return st.Inner[c.Start:c.End:c.End] }

// ChildText returns the unescaped text of the first child with that name.
func (st *Stanza) ChildText(space, local string) string {
	c, ok := st.Child(space, local)
	if !ok {
		return ""
	}
	raw := string(st.Inner[c.Start:c.End])
	start := tagEnd(raw)
	if raw[start-2] == '/' {
		return ""
	}
	end := len(raw)
	for raw[end-1] != '<' {
		end--
	}
	return charData(raw[start : end-1])
}

// Element returns the child as a tree.
func (st *Stanza) Element(c Child) (*etree.Element, error) {
	wrapped := make([]byte, 0, c.End-c.Start+32)
	wrapped = append(wrapped, "<w xmlns='"+NSClient+"'>"...)
	wrapped = append(wrapped, st.Inner[c.Start:c.End]...)
	return tree(append(wrapped, "</w>"...))
}

// Clone returns a shallow copy, whose addressing fields may be changed.
func (st *Stanza) Clone() *Stanza {
	c := *st
	return &c
}

// WithChild returns a copy with raw, one encoded element in the namespace
// name says, as an additional last child.
func (st *Stanza) WithChild(name Name, raw []byte) *Stanza {
	c := *st
	c.Inner = append(append(make([]byte, 0, len(st.Inner)+len(raw)), st.Inner...), raw...)
	c.Children = append(st.Children[:len(st.Children):len(st.Children)], Child{name, len(st.Inner), len(c.Inner)})
	return &c
}

// AppendXML appends the encoded stanza. It always declares jabber:client, as
// the doors without a stream around each stanza need (XEP-0206 §4, RFC 7395
// §3.3.3), so that one encoding serves all of them.
func (st *Stanza) AppendXML(dst []byte) []byte { return st.AppendXMLTo(dst, st.To) }

// AppendXMLTo is AppendXML with another receiver in the start tag.
func (st *Stanza) AppendXMLTo(dst []byte, to jid.JID) []byte {
	if dst == nil {
		dst = make([]byte, 0, st.Size()+len(to.String()))
	}
	dst = append(dst, '<')
	dst = append(dst, st.Kind.String()...)
	dst = append(dst, " xmlns='"+NSClient+"'"...)
	dst = appendJID(dst, " from='", st.From)
	dst = appendJID(dst, " to='", to)
	dst = appendAttr(dst, " type='", st.Type)
	dst = appendAttr(dst, " id='", st.ID)
	dst = appendAttr(dst, " xml:lang='", st.Lang)
	dst = append(dst, st.Extra...)
	if len(st.Inner) == 0 {
		return append(dst, "/>"...)
	}
	dst = append(dst, '>')
	dst = append(dst, st.Inner...)
	dst = append(dst, "</"...)
	dst = append(dst, st.Kind.String()...)
	return append(dst, '>')
}

// Size returns about how many bytes the encoded stanza takes.
func (st *Stanza) Size() int {
	return len(st.Inner) + len(st.Extra) + len(st.From.String()) + len(st.To.String()) + len(st.ID) + len(st.Type) + len(st.Lang) + 96
}

func appendJID(dst []byte, name string, j jid.JID) []byte {
	if j.IsZero() {
		return dst
	}
	return appendAttr(dst, name, j.String())
}

func appendAttr(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return append(AppendEscaped(append(dst, name...), value), '\'')
}

// Result returns the answer to an IQ request.
func (st *Stanza) Result(inner []byte) *Stanza {
	r := New(KindIQ, "result", inner)
	r.ID, r.From, r.To = st.ID, st.To, st.From
	return r
}

// bytesOf views s as bytes that nobody may write.
func bytesOf(s string) []byte {
	if s == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
