package mux

import (
	"context"
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Namespaces of service discovery (XEP-0030).
const (
	NSDiscoInfo  = "http://jabber.org/protocol/disco#info"
	NSDiscoItems = "http://jabber.org/protocol/disco#items"
)

// Identity is one disco identity (XEP-0030 §3.1).
type Identity struct{ Category, Type, Name string }

// Disco answers service discovery from the table itself.
type Disco struct {
	Server, Account Identity
	// Items lists the entities behind a domain; nil means none.
	Items func(domain jid.JID) []jid.JID
	// Form is the encoded extension of the server's information, such as
	// XEP-0157 addresses; "" for none.
	Form string
	// MayAsk says whether somebody other than the owner may query an account
	// (XEP-0030 §8: presence subscribers); nil refuses all others.
	MayAsk func(ctx context.Context, from, owner jid.JID) bool
}

// RegisterDisco adds the handlers of XEP-0030 for both scopes.
func (m *Mux) RegisterDisco(d Disco) {
	m.Handle(Route{
		Name: stanza.Name{Space: NSDiscoInfo, Local: "query"}, Scope: ScopeServer | ScopeAccount, Public: true,
		Get: func(ctx context.Context, req *Request) ([]byte, error) {
			if err := d.check(ctx, req); err != nil {
				return nil, err
			}
			return d.info(m, req)
		},
	})
	m.Handle(Route{
		Name: stanza.Name{Space: NSDiscoItems, Local: "query"}, Scope: ScopeServer | ScopeAccount, Public: true,
		Get: func(ctx context.Context, req *Request) ([]byte, error) {
			if err := d.check(ctx, req); err != nil {
				return nil, err
			}
			out := []byte("<query xmlns='" + NSDiscoItems + "'>")
			if req.Scope == ScopeServer && d.Items != nil {
				for _, item := range d.Items(req.Owner) {
					out = append(stanza.AppendEscaped(append(out, "<item jid='"...), item.String()), "'/>"...)
				}
			}
			return append(out, "</query>"...), nil
		},
	})
}

func (d Disco) check(ctx context.Context, req *Request) error {
	if req.Scope == ScopeAccount && !req.Self && (d.MayAsk == nil || !d.MayAsk(ctx, req.Stanza.From.Bare(), req.Owner)) {
		return stanza.ErrServiceUnavailable()
	}
	el, err := req.Element()
	if err != nil {
		return err
	}
	// A client that saw the server's capabilities asks for the node with their
	// hash (XEP-0115 §6.2).
	if node := el.SelectAttrValue("node", ""); node != "" && !strings.HasPrefix(node, CapsNode+"#") {
		return stanza.ErrItemNotFound()
	}
	return nil
}

// info encodes the answer to a disco#info request. The entity capabilities of
// the server (Caps) are a hash over the same.
func (d Disco) info(m *Mux, req *Request) ([]byte, error) {
	id, form := d.Server, d.Form
	if req.Scope == ScopeAccount {
		id, form = d.Account, ""
	}
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	out := []byte("<query xmlns='" + NSDiscoInfo + "'")
	if node := el.SelectAttrValue("node", ""); node != "" {
		out = append(stanza.AppendEscaped(append(out, " node='"...), node), '\'')
	}
	out = append(out, "><identity category='"...)
	out = append(stanza.AppendEscaped(out, id.Category), "' type='"...)
	out = append(stanza.AppendEscaped(out, id.Type), '\'')
	if id.Name != "" {
		out = append(stanza.AppendEscaped(append(out, " name='"...), id.Name), '\'')
	}
	out = append(out, "/>"...)
	for _, f := range m.features[req.Scope] {
		out = append(stanza.AppendEscaped(append(out, "<feature var='"...), f), "'/>"...)
	}
	return append(append(out, form...), "</query>"...), nil
}
