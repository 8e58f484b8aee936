package roster

import (
	"bytes"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// nsRoster is the namespace of roster requests.
const nsRoster = "jabber:iq:roster"

// maxRequest bounds the bytes kept of a pending request; a longer one is kept
// without its extended content.
const maxRequest = 8 << 10

// listed marks a stored request of a contact that the owner also put into the
// roster. A request alone makes an item that clients never see (RFC 6121 A.1,
// "None + Pending In"); a contact without name and group looks the same but for
// this mark. It is whitespace before the stanza.
const listed = ' '

// String returns the value of the subscription attribute.
func (s Subscription) String() string {
	switch s {
	case To:
		return "to"
	case From:
		return "from"
	case Both:
		return "both"
	}
	return "none"
}

// hidden reports whether the item is nothing but a pending request.
func (it *Item) hidden() bool {
	return it.PendingIn && it.Subscription == None && !it.Ask && !it.Approved && it.Name == "" && len(it.Groups) == 0 &&
		(len(it.Request) == 0 || it.Request[0] != listed)
}

// list makes sure that the item stays visible while a request is pending.
func (it *Item) list() {
	if it.PendingIn && (len(it.Request) == 0 || it.Request[0] != listed) {
		it.Request = append([]byte{listed}, it.Request...)
	}
}

// request returns the pending request as it came from the contact.
func (it *Item) request(owner jid.JID) *stanza.Stanza {
	if raw := bytes.TrimLeft(it.Request, string(listed)); len(raw) > 0 {
		if st, err := stanza.Decode(raw); err == nil {
			return st
		}
	}
	return notice(it.JID, owner, Subscribe)
}

// set writes a state into the item.
func (it *Item) set(s State, approved bool) {
	it.Subscription, it.Ask, it.PendingIn, it.Approved = s.Subscription(), s.Ask(), s.PendingIn(), approved
	if !it.PendingIn {
		it.Request = nil
	}
}

// notice returns a subscription stanza made by the server.
func notice(from, to jid.JID, a Action) *stanza.Stanza {
	st := stanza.New(stanza.KindPresence, a.String(), nil)
	st.From, st.To = from, to
	return st
}

// encodeRequest returns what is kept of a subscribe stanza.
func encodeRequest(st *stanza.Stanza) []byte {
	if st.Size() > maxRequest {
		st = notice(st.From, st.To, Subscribe)
	}
	return st.AppendXML(nil)
}

func find(items []Item, contact jid.JID) int {
	return slices.IndexFunc(items, func(it Item) bool { return it.JID == contact })
}

func appendQuery(dst []byte, ver string) []byte {
	dst = append(dst, `<query xmlns='jabber:iq:roster' ver='`...)
	dst = append(dst, ver...)
	return append(dst, `'>`...)
}

func (it *Item) appendXML(dst []byte) []byte {
	dst = append(dst, `<item jid='`...)
	dst = stanza.AppendEscaped(dst, it.JID.String())
	if it.Name != "" {
		dst = append(dst, `' name='`...)
		dst = stanza.AppendEscaped(dst, it.Name)
	}
	dst = append(dst, `' subscription='`...)
	dst = append(dst, it.Subscription.String()...)
	if it.Ask {
		dst = append(dst, `' ask='subscribe`...)
	}
	if it.Approved {
		dst = append(dst, `' approved='true`...)
	}
	if len(it.Groups) == 0 {
		return append(dst, `'/>`...)
	}
	dst = append(dst, `'>`...)
	for _, g := range it.Groups {
		dst = append(dst, `<group>`...)
		dst = stanza.AppendEscaped(dst, g)
		dst = append(dst, `</group>`...)
	}
	return append(dst, `</item>`...)
}
