package mux

import (
	"crypto/sha1" //nolint:gosec // XEP-0115 says SHA-1
	"encoding/base64"

	"github.com/deskline/deskline/xmpp/stanza"
)

// Caps encodes the server's entity capabilities as a stream feature
// (XEP-0115 §6.3): clients that know the hash need not ask.
func (d Disco) Caps(m *Mux) []byte {
	// XEP-0115 §5.1: identities, then features, each followed by "<".
	s := d.Server.Category + "/" + d.Server.Type + "//" + d.Server.Name + "<"
	for _, f := range m.features[ScopeServer] { // sorted
		s += f + "<"
	}
	sum := sha1.Sum([]byte(s)) //nolint:gosec // XEP-0115 says SHA-1
	out := []byte("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='" + CapsNode + "' ver='")
	out = stanza.AppendEscaped(out, base64.StdEncoding.EncodeToString(sum[:]))
	return append(out, "'/>"...)
}

// CapsNode is the node of the server's entity capabilities.
const CapsNode = "urn:deskline:caps"
