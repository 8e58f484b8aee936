package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// OAuthBearer is the name of the mechanism of RFC 7628.
const OAuthBearer = "OAUTHBEARER"

// What a Refusal may have as its status (RFC 6750 §3.1).
const (
	InvalidRequest    = "invalid_request"
	InvalidToken      = "invalid_token"
	InsufficientScope = "insufficient_scope"
)

// BearerVerifier answers for tokens. Its errors reach the client if they are a
// *Refusal or a *Failure, else as temporary-auth-failure.
type BearerVerifier interface {
	// VerifyToken returns the bare JID that a token signs in, and when the session
	// has to end, the zero time for never. authzid is who the client wants to be, ""
	// for whoever the token says. An empty token is how a client asks where to get
	// one (RFC 7628 §4.3); it is always refused.
	VerifyToken(ctx context.Context, authzid, token string) (jid.JID, time.Time, error)
}

// Limited is an Exchange that signs in for a time.
type Limited interface {
	// Until returns when the session has to end, the zero time for never.
	Until() time.Time
}

// Refusal is why a token is not taken. The client is told in a challenge, and
// the exchange fails after its response (RFC 7628 §3.2.2 and §3.2.3).
type Refusal struct {
	Status    string // InvalidToken and the like
	Scope     string // that a token needs, "" for none
	Discovery string // URL of the issuer's OpenID configuration, "" if there is none
	Failure   *Failure
}

// Error implements error.
func (r *Refusal) Error() string { return r.Failure.Error() }

// Unwrap returns the failure that ends the exchange.
func (r *Refusal) Unwrap() error { return r.Failure }

// challenge encodes what the client may know.
func (r *Refusal) challenge() []byte {
	data, err := json.Marshal(struct {
		Status    string `json:"status"`
		Scope     string `json:"scope,omitempty"`
		Discovery string `json:"openid-configuration,omitempty"`
	}{r.Status, r.Scope, r.Discovery})
	if err != nil { // never for texts
		return []byte(`{"status":"invalid_token"}`)
	}
	return data
}

type bearer struct {
	verifier BearerVerifier
	refused  *Refusal // told to the client, who has yet to respond
	over     bool
	identity jid.JID
	until    time.Time
}

// NewBearer starts an exchange of the OAUTHBEARER mechanism. The caller sees to
// it that the channel is safe.
func NewBearer(v BearerVerifier) Exchange { return &bearer{verifier: v} }

func (b *bearer) Identity() jid.JID { return b.identity }

// Until implements Limited.
func (b *bearer) Until() time.Time { return b.until }

func (b *bearer) Step(ctx context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case b.over:
		return nil, false, malformed("the exchange is over")
	case b.refused != nil:
		// The client confirms with %x01; some repeat their message. Neither can
		// change anything.
		b.over = true
		return nil, false, b.refused.Failure
	case response == nil:
		return []byte{}, false, nil
	}
	m, err := parseBearer(response)
	if err != nil {
		b.over = true
		return nil, false, err
	}
	identity, until, err := b.verifier.VerifyToken(ctx, m.authzid, m.token)
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		b.refused = refusal
		return refusal.challenge(), false, nil
	}
	b.over = true
	if err != nil {
		return nil, false, asFailure(ctx, err)
	}
	b.identity, b.until = identity, until
	return nil, true, nil
}
