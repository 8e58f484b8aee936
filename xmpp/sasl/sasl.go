// Package sasl holds the server side of the SASL mechanisms an XMPP client
// signs in with (RFC 6120 §6): PLAIN (RFC 4616), SCRAM with SHA-1, SHA-256 and
// SHA-512 (RFC 5802, RFC 7677) without channel binding, and OAUTHBEARER
// (RFC 7628).
//
// The package knows messages only. Who may sign in with which keys or token is
// asked of a [Verifier] or [BearerVerifier], which the accounts provide; base64 and the XML around the
// messages are for the caller, by means of [DecodeInitial], [Decode], [Encode]
// and [Failure.AppendXML]:
//
//	ex, _ := sasl.NewSCRAM("SCRAM-SHA-256", accounts)
//	data, err := sasl.DecodeInitial(text)
//	challenge, done, err := ex.Step(ctx, data)
package sasl

import (
	"context"
	"encoding/base64"
	"net/netip"

	"github.com/deskline/deskline/xmpp/jid"
)

// NS is the namespace of SASL in XMPP (RFC 6120 §6).
const NS = "urn:ietf:params:xml:ns:xmpp-sasl"

// MaxMessage is the largest decoded client message in bytes of all mechanisms but
// OAUTHBEARER; PLAIN with three parts of the longest JID part fits.
const MaxMessage = 4096

// Channel describes the connection an exchange runs over.
type Channel struct {
	Secure bool // nobody can listen: TLS, or loopback, or a trusted proxy
	Remote netip.Addr
}

// Exchange is one attempt to authenticate. It serves one caller at a time and
// cannot be used again after it is done or has failed.
type Exchange interface {
	// Step takes the client's next message: nil if the client sent none with
	// its choice of mechanism, empty if it sent an empty one. The challenge of
	// a step that is done is the additional data with success, nil for none.
	// Step may wait, for the store or to slow down guessing; an error is a
	// *Failure unless ctx has ended.
	Step(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Identity returns the bare JID of the client once Step was done.
	Identity() jid.JID
}

// Keys are what a server keeps of a password for one SCRAM mechanism
// (RFC 5802 §3).
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// Verifier answers for the accounts. Its errors reach the client if they are a
// *Failure, else as temporary-auth-failure.
type Verifier interface {
	// Keys returns the SCRAM keys of a user. A user who does not exist gets
	// made-up ones, the same each time, so that nobody learns who exists.
	Keys(ctx context.Context, user string) (Keys, error)
	// Prove calls proof at most once, after a delay if there were many failed
	// attempts, and returns the bare JID that is signed in. It is called after
	// Keys and with the same user.
	Prove(ctx context.Context, user, authzid string, proof func() bool) (jid.JID, error)
	// Verify checks a password as the client sent it and returns the bare JID
	// that is signed in.
	Verify(ctx context.Context, user, authzid, password string) (jid.JID, error)
}

// DecodeInitial decodes the text of an <auth/> element: nil if there is none,
// empty for "=" (RFC 6120 §6.4.2).
func DecodeInitial(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return Decode(text)
}

// Decode decodes the text of a <response/> element; "" and "=" are both the
// empty message. Each mechanism looks at the length again.
func Decode(text string) ([]byte, error) {
	if text == "" || text == "=" {
		return []byte{}, nil
	}
	if base64.StdEncoding.DecodedLen(len(text)) > MaxBearer+2 {
		return nil, NewFailure(MalformedRequest, "message is too long")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		f := NewFailure(IncorrectEncoding, "")
		f.Cause = err
		return nil, f
	}
	return data, nil
}

// Encode encodes the data of a challenge or of success: "" for nil, "=" for the
// empty message (RFC 6120 §6.4.6).
func Encode(data []byte) string {
	if data == nil {
		return ""
	}
	if len(data) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(data)
}
