package discovery

import (
	"net/url"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Hostnames names the nodes of a user among the SASL mechanisms, as Cisco IM and
// Presence does for its browser library: home first, then backup. The library
// puts the name in place of the host in its address and keeps path and port.
type Hostnames struct{ Directory Directory }

// AppendHints appends one hostname element for each node of the user. They have
// no namespace of their own; other clients look for mechanisms only.
func (h Hostnames) AppendHints(dst []byte, user jid.JID) []byte {
	a := h.Directory.Locate(user.Bare(), "")
	for _, n := range []Node{a.Primary, a.Secondary} {
		if host := n.host(); host != "" {
			dst = append(dst, "<hostname>"...)
			dst = append(stanza.AppendEscaped(dst, host), "</hostname>"...)
		}
	}
	return dst
}

// host is the name of the machine in the node's addresses.
func (n Node) host() string {
	for _, address := range []string{n.BOSH, n.WebSocket} {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	return ""
}
