package sip_test

import (
	"sync/atomic"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// TestHandOver has one node subscribe in place of another: what the first has said is
// not taken back, and what runs out there is not above what the second has heard.
func TestHandOver(t *testing.T) {
	t.Parallel()
	p := newPBX(t)
	var second atomic.Bool
	node := func(mine func() bool) *world {
		return start(t, sip.Config{
			Mine:      func(string) bool { return mine() },
			Subscribe: []sip.Subscription{{Server: "sip:" + p.conn.LocalAddr().String(), Event: "dialog", Lines: []string{"3001"}}},
		})
	}
	a, b := node(func() bool { return !second.Load() }), node(second.Load)
	r := p.next()
	p.answer(r, 200, "Expires: 3\r\n")
	p.notify(r, "active;expires=3", info("0", "full", call("a", "confirmed")))
	a.await(line3001, presence.LineInCall)
	said := a.state(line3001)

	second.Store(true)
	var bye, first request
	for bye.from == nil || first.from == nil { // in any order
		switch r2 := p.next(); {
		case r2.headers["expires"] == "0":
			bye = r2
		case r2.headers["call-id"] != r.headers["call-id"]:
			first = r2
		default: // a refresh came before
			p.answer(r2, 200, "Expires: 3\r\n")
		}
	}
	p.answer(bye, 200, "Expires: 0\r\n")
	p.answer(first, 200, granted)
	p.notify(first, "active;expires=3600", info("0", "full", ""))
	b.await(line3001, presence.LineIdle)
	if of, with := a.source.Status().Subscriptions, b.source.Status().Subscriptions; of != 0 || with != 1 {
		t.Errorf("%d subscriptions of the first node, %d of the second", of, with)
	}
	if now := b.state(line3001); now.Seq <= said.Seq {
		t.Errorf("seq %d after %d", now.Seq, said.Seq)
	}
	a.await(line3001, presence.LineUnknown) // by itself
	if gone := a.state(line3001); gone.Seq != said.Seq {
		t.Errorf("seq %d of what ran out, and %d of what was heard", gone.Seq, said.Seq)
	}
}
