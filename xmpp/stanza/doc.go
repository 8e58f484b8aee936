// Package stanza reads and writes XMPP's XML: the framing elements of the
// doors and the three stanzas of RFC 6120 §8 inside them.
//
// Reading is one strict pass ([ParseBody], [ParseFrame]) over bytes that are
// whole in memory. It accepts exactly the XML that XMPP allows (RFC 6120
// §11.1: no document type, comment, processing instruction or entity but the
// five predefined ones), holds limits before anything is built, and records
// elements only as deep as routing needs: the frame, its stanzas and their
// direct children. What lies deeper stays as bytes and passes untouched;
// handlers that want a tree ask for it ([Node.Element], [Stanza.Element]).
//
// A [Stanza] is read-only once built. Its inner bytes are written once and
// shared by all receivers; only the start tag differs.
//
//	n, err := stanza.ParseFrame(data, stanza.Limits{})
//	st, err := n.Stanza()
//	frame := st.AppendXML(nil)
package stanza

// Namespaces that frames and stanzas live in.
const (
	NSClient   = "jabber:client"
	NSHTTPBind = "http://jabber.org/protocol/httpbind"
	NSStanzas  = "urn:ietf:params:xml:ns:xmpp-stanzas"
	NSXML      = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS    = "http://www.w3.org/2000/xmlns/"
)

// Name is an expanded XML name.
type Name struct{ Space, Local string }

// Attr is one attribute. A namespace declaration has the space "xmlns" and the
// prefix as local name ("" for the default namespace).
type Attr struct {
	Name  Name
	Value string
}

// Limits bounds what a parse accepts. A zero field takes its default.
type Limits struct {
	Bytes       int // whole input, default 256 KiB
	StanzaBytes int // one stanza, default 64 KiB
	Depth       int // nested elements below the stanza, default 32
	Attrs       int // attributes of one element, default 64
	Children    int // elements recorded in one parent, default 1000
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Bytes, 256<<10)
	def(&l.StanzaBytes, 64<<10)
	def(&l.Depth, 32)
	def(&l.Attrs, 64)
	def(&l.Children, 1000)
	return l
}

// SyntaxError says why input was refused. Condition is the stream error
// condition of RFC 6120 §4.9.3 that tells the client.
type SyntaxError struct {
	Condition string // not-well-formed, restricted-xml, policy-violation, invalid-namespace
	Reason    string
	Offset    int // byte position in the input
}

// Error implements error. It never quotes the input.
func (e *SyntaxError) Error() string { return e.Condition + ": " + e.Reason }
