package sasl

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/stanza"
)

// The conditions of RFC 6120 §6.5.
const (
	Aborted              = "aborted"
	AccountDisabled      = "account-disabled"
	CredentialsExpired   = "credentials-expired"
	EncryptionRequired   = "encryption-required"
	IncorrectEncoding    = "incorrect-encoding"
	InvalidAuthzid       = "invalid-authzid"
	InvalidMechanism     = "invalid-mechanism"
	MalformedRequest     = "malformed-request"
	MechanismTooWeak     = "mechanism-too-weak"
	NotAuthorized        = "not-authorized"
	TemporaryAuthFailure = "temporary-auth-failure"
)

// Failure is why authentication failed, as the client may know it. Cause is for
// the log alone.
type Failure struct {
	Condition string // RFC 6120 §6.5
	Text      string // for people; English
	Cause     error
}

// NewFailure makes a failure.
func NewFailure(condition, text string) *Failure {
	return &Failure{Condition: condition, Text: text}
}

// Error implements error.
func (f *Failure) Error() string {
	s := "sasl " + f.Condition
	if f.Text != "" {
		s += ": " + f.Text
	}
	if f.Cause != nil {
		s += ": " + f.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// AppendXML appends the encoded <failure/> element.
func (f *Failure) AppendXML(dst []byte) []byte {
	dst = append(dst, "<failure xmlns='"+NS+"'><"...)
	dst = append(append(dst, f.Condition...), "/>"...)
	if f.Text != "" {
		dst = stanza.AppendEscaped(append(dst, "<text xml:lang='en'>"...), f.Text)
		dst = append(dst, "</text>"...)
	}
	return append(dst, "</failure>"...)
}

// asFailure makes any error of a verifier fit for the client, but leaves the
// end of the context as it is.
func asFailure(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if ctx.Err() != nil {
		return err
	}
	return &Failure{Condition: TemporaryAuthFailure, Cause: err}
}

func malformed(text string) error { return NewFailure(MalformedRequest, text) }
