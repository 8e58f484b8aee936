package offline

import "github.com/deskline/deskline/xmpp/stanza"

type fate uint8

const (
	keep   fate = iota
	drop        // nobody misses it
	refuse      // the sender has to know
)

// fateOf decides what becomes of a message that no resource takes
// (RFC 6121 §8.5.2.2, XEP-0160 §3, XEP-0334 §4.3).
func fateOf(st *stanza.Stanza) fate {
	if st.Kind != stanza.KindMessage {
		return refuse
	}
	switch st.Type {
	case "headline", "error":
		return drop
	case "groupchat":
		return refuse
	}
	content := false
	for _, c := range st.Children {
		switch {
		case c.Name.Space == nsChatStates:
		case c.Name == stanza.Name{Space: stanza.NSClient, Local: "thread"}:
		case c.Name.Space != nsHints:
			content = true
		case c.Name.Local == "no-store", c.Name.Local == "no-permanent-store":
			if _, text := st.Child(stanza.NSClient, "body"); text {
				return refuse
			}
			return drop
		case c.Name.Local == "store":
			content = true
		}
	}
	if !content {
		return drop
	}
	return keep
}
