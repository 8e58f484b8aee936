package sasl

import (
	"bytes"
	"context"
	"unicode/utf8"

	"github.com/deskline/deskline/xmpp/jid"
)

// Plain is the name of the mechanism of RFC 4616.
const Plain = "PLAIN"

type plain struct {
	verifier Verifier
	over     bool
	identity jid.JID
}

// NewPlain starts an exchange of the PLAIN mechanism. The caller sees to it
// that the channel is safe.
func NewPlain(v Verifier) Exchange { return &plain{verifier: v} }

func (p *plain) Identity() jid.JID { return p.identity }

func (p *plain) Step(ctx context.Context, response []byte) ([]byte, bool, error) {
	if p.over {
		return nil, false, malformed("the exchange is over")
	}
	if response == nil {
		return []byte{}, false, nil
	}
	p.over = true
	authzid, user, password, err := parsePlain(response)
	if err != nil {
		return nil, false, err
	}
	p.identity, err = p.verifier.Verify(ctx, user, authzid, password)
	if err != nil {
		p.identity = jid.JID{}
		return nil, false, asFailure(ctx, err)
	}
	return nil, true, nil
}

// parsePlain splits [authzid] NUL authcid NUL passwd (RFC 4616 §2).
func parsePlain(msg []byte) (authzid, user, password string, err error) {
	if len(msg) > MaxMessage {
		return "", "", "", malformed("message is too long")
	}
	if !utf8.Valid(msg) {
		return "", "", "", malformed("message is not UTF-8")
	}
	parts := bytes.Split(msg, []byte{0})
	if len(parts) != 3 {
		return "", "", "", malformed("message needs three parts")
	}
	if len(parts[1]) == 0 || len(parts[2]) == 0 {
		return "", "", "", malformed("user name and password must not be empty")
	}
	return string(parts[0]), string(parts[1]), string(parts[2]), nil
}
