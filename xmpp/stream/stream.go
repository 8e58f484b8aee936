// Package stream holds what belongs to an XML stream as a whole, whatever
// carries it: namespaces and stream errors (RFC 6120 §4). A stream error ends
// its stream; doors put it into their wire's form.
//
//	return stream.NewError(stream.NotAuthorized, "stanza before authentication")
package stream

import "github.com/deskline/deskline/xmpp/stanza"

// Namespaces of stream negotiation.
const (
	NS        = "http://etherx.jabber.org/streams"
	NSErrors  = "urn:ietf:params:xml:ns:xmpp-streams"
	NSSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	NSBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	NSSession = "urn:ietf:params:xml:ns:xmpp-session"
	NSFraming = "urn:ietf:params:xml:ns:xmpp-framing"
)

// Conditions of RFC 6120 §4.9.3.
const (
	BadFormat             = "bad-format"
	Conflict              = "conflict"
	ConnectionTimeout     = "connection-timeout"
	HostUnknown           = "host-unknown"
	ImproperAddressing    = "improper-addressing"
	InternalServerError   = "internal-server-error"
	InvalidFrom           = "invalid-from"
	InvalidNamespace      = "invalid-namespace"
	InvalidXML            = "invalid-xml"
	NotAuthorized         = "not-authorized"
	NotWellFormed         = "not-well-formed"
	PolicyViolation       = "policy-violation"
	Reset                 = "reset"
	ResourceConstraint    = "resource-constraint"
	RestrictedXML         = "restricted-xml"
	SeeOtherHost          = "see-other-host"
	SystemShutdown        = "system-shutdown"
	UndefinedCondition    = "undefined-condition"
	UnsupportedStanzaType = "unsupported-stanza-type"
	UnsupportedVersion    = "unsupported-version"
)

// Error is a stream error. It implements error.
type Error struct {
	Condition string
	Text      string // for people; English
	Detail    string // content of the condition element, such as another host
	App       stanza.Name
}

// NewError makes an error with a condition of RFC 6120 §4.9.3 and a text.
func NewError(condition, text string) *Error {
	return &Error{Condition: condition, Text: text}
}

// FromSyntax turns a refused input into the stream error that tells it.
func FromSyntax(e *stanza.SyntaxError) *Error {
	return NewError(e.Condition, e.Reason)
}

// Error implements error.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Text
}

// AppendXML appends the encoded error, which declares the stream prefix itself.
func (e *Error) AppendXML(dst []byte) []byte {
	dst = append(dst, "<stream:error xmlns:stream='"+NS+"'>"...)
	return append(e.AppendConditions(dst), "</stream:error>"...)
}

// AppendConditions appends the content of the error element alone.
func (e *Error) AppendConditions(dst []byte) []byte {
	dst = append(append(append(dst, '<'), e.Condition...), " xmlns='"+NSErrors+"'"...)
	if e.Detail == "" {
		dst = append(dst, "/>"...)
	} else {
		dst = stanza.AppendEscaped(append(dst, '>'), e.Detail)
		dst = append(append(append(dst, "</"...), e.Condition...), '>')
	}
	if e.Text != "" {
		dst = append(dst, "<text xmlns='"+NSErrors+"' xml:lang='en'>"...)
		dst = append(stanza.AppendEscaped(dst, e.Text), "</text>"...)
	}
	if e.App.Local != "" {
		dst = append(append(append(dst, '<'), e.App.Local...), " xmlns='"...)
		dst = append(stanza.AppendEscaped(dst, e.App.Space), "'/>"...)
	}
	return dst
}
