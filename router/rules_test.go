package router_test

import (
	"testing"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/stanza"
)

// TestDecide holds the rules against RFC 6121 §8.5, row by row.
func TestDecide(t *testing.T) {
	const (
		drop   = router.Drop
		send   = router.Deliver
		keep   = router.Store
		refuse = router.Refuse
		serve  = router.Serve
	)
	for _, tc := range []struct {
		section string
		kind    stanza.Kind
		typ     string
		addr    router.Address
		takes   bool
		want    router.Action
		targets router.Targets
	}{
		{"8.5.1 chat", stanza.KindMessage, "chat", router.Unknown, false, refuse, 0},
		{"8.5.1 error", stanza.KindMessage, "error", router.Unknown, false, drop, 0},
		{"8.5.1 iq get", stanza.KindIQ, "get", router.Unknown, false, refuse, 0},
		{"8.5.1 iq result", stanza.KindIQ, "result", router.Unknown, false, drop, 0},
		{"8.5.2.1.1 normal", stanza.KindMessage, "normal", router.Bare, true, send, router.NonNegative},
		{"8.5.2.1.1 no type", stanza.KindMessage, "", router.Bare, true, send, router.NonNegative},
		{"8.5.2.1.1 unknown type", stanza.KindMessage, "shout", router.Bare, true, send, router.NonNegative},
		{"8.5.2.1.1 chat", stanza.KindMessage, "chat", router.Bare, true, send, router.NonNegative},
		{"8.5.2.1.1 headline", stanza.KindMessage, "headline", router.Bare, true, send, router.NonNegative},
		{"8.5.2.1.1 groupchat", stanza.KindMessage, "groupchat", router.Bare, true, refuse, 0},
		{"8.5.2.1.1 error", stanza.KindMessage, "error", router.Bare, true, drop, 0},
		{"8.5.2.1.3 iq", stanza.KindIQ, "get", router.Bare, true, serve, 0},
		{"8.5.2.1.3 iq result", stanza.KindIQ, "result", router.Bare, true, drop, 0},
		{"8.5.2.2.1 normal", stanza.KindMessage, "normal", router.Bare, false, keep, 0},
		{"8.5.2.2.1 chat", stanza.KindMessage, "chat", router.Bare, false, keep, 0},
		{"8.5.2.2.1 headline", stanza.KindMessage, "headline", router.Bare, false, drop, 0},
		{"8.5.2.2.1 groupchat", stanza.KindMessage, "groupchat", router.Bare, false, refuse, 0},
		{"8.5.2.2.3 iq", stanza.KindIQ, "set", router.Bare, false, serve, 0},
		{"8.5.3.1 chat", stanza.KindMessage, "chat", router.Matched, false, send, router.TheResource},
		{"8.5.3.1 groupchat", stanza.KindMessage, "groupchat", router.Matched, false, send, router.TheResource},
		{"8.5.3.1 error", stanza.KindMessage, "error", router.Matched, false, send, router.TheResource},
		{"8.5.3.1 iq", stanza.KindIQ, "result", router.Matched, false, send, router.TheResource},
		{"8.5.3.2.1 chat with resources", stanza.KindMessage, "chat", router.Unbound, true, send, router.NonNegative},
		{"8.5.3.2.1 chat without", stanza.KindMessage, "chat", router.Unbound, false, keep, 0},
		{"8.5.3.2.1 normal", stanza.KindMessage, "normal", router.Unbound, true, refuse, 0},
		{"8.5.3.2.1 groupchat", stanza.KindMessage, "groupchat", router.Unbound, true, refuse, 0},
		{"8.5.3.2.1 headline", stanza.KindMessage, "headline", router.Unbound, true, drop, 0},
		{"8.5.3.2.3 iq", stanza.KindIQ, "get", router.Unbound, true, refuse, 0},
		{"8.5.3.2.3 iq error", stanza.KindIQ, "error", router.Unbound, true, drop, 0},
	} {
		t.Run(tc.section, func(t *testing.T) {
			got := router.Decide(tc.kind, tc.typ, tc.addr, tc.takes)
			if got != (router.Verdict{Action: tc.want, Targets: tc.targets}) {
				t.Fatalf("got %+v", got)
			}
		})
	}
}
