package stanza

import "github.com/deskline/deskline/xmpp/jid"

// ErrorType says what the sender may do about a stanza error (RFC 6120 §8.3.2).
type ErrorType string

// The error types.
const (
	Auth     ErrorType = "auth"
	Cancel   ErrorType = "cancel"
	Continue ErrorType = "continue"
	Modify   ErrorType = "modify"
	Wait     ErrorType = "wait"
)

// Error is a stanza error (RFC 6120 §8.3). Handlers return it to have it sent.
type Error struct {
	Type      ErrorType
	Condition string // RFC 6120 §8.3.3
	Text      string // for people; English
	By        jid.JID
	App       *Name // application-specific condition
}

// NewError makes an error.
func NewError(typ ErrorType, condition, text string) *Error {
	return &Error{Type: typ, Condition: condition, Text: text}
}

// ErrServiceUnavailable answers what the server does not offer.
func ErrServiceUnavailable() *Error { return NewError(Cancel, "service-unavailable", "") }

// ErrItemNotFound answers for what does not exist.
func ErrItemNotFound() *Error { return NewError(Cancel, "item-not-found", "") }

// ErrBadRequest answers a request that says nothing the protocol knows.
func ErrBadRequest(text string) *Error { return NewError(Modify, "bad-request", text) }

// ErrForbidden answers a request the sender has no right to.
func ErrForbidden() *Error { return NewError(Auth, "forbidden", "") }

// ErrNotAllowed answers a request nobody may make.
func ErrNotAllowed() *Error { return NewError(Cancel, "not-allowed", "") }

// ErrInternal answers when the server itself failed; the cause is in its log.
func ErrInternal() *Error { return NewError(Wait, "internal-server-error", "") }

// Error implements error.
func (e *Error) Error() string {
	if e.Text == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Text
}

// AppendXML appends the encoded error element.
func (e *Error) AppendXML(dst []byte) []byte {
	dst = append(append(append(dst, "<error type='"...), e.Type...), '\'')
	dst = appendJID(dst, " by='", e.By)
	dst = append(append(append(dst, "><"...), e.Condition...), " xmlns='"+NSStanzas+"'/>"...)
	if e.Text != "" {
		dst = AppendEscaped(append(dst, "<text xmlns='"+NSStanzas+"' xml:lang='en'>"...), e.Text)
		dst = append(dst, "</text>"...)
	}
	if e.App != nil {
		dst = append(append(append(dst, '<'), e.App.Local...), " xmlns='"...)
		dst = append(AppendEscaped(dst, e.App.Space), "'/>"...)
	}
	return append(dst, "</error>"...)
}

// ErrorReply returns the answer that carries e, with the addresses swapped. It
// is nil for stanzas that must not be answered: errors and results, so that no
// loop can arise (RFC 6120 §8.3.1).
func (st *Stanza) ErrorReply(e *Error) *Stanza {
	if st.Type == "error" || st.Kind == KindIQ && st.Type == "result" {
		return nil
	}
	inner := e.AppendXML(nil)
	r := &Stanza{Kind: st.Kind, Type: "error", ID: st.ID, From: st.To, To: st.From, Inner: inner}
	r.Children = []Child{{Name{NSClient, "error"}, 0, len(inner)}}
	return r
}
