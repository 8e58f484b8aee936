package roster_test

import (
	"testing"

	"github.com/deskline/deskline/roster"
)

const (
	none, noneOut, noneIn, noneOutIn = roster.StateNone, roster.StateNoneOut, roster.StateNoneIn, roster.StateNoneOutIn
	to, toIn, from, fromOut, both    = roster.StateTo, roster.StateToIn, roster.StateFrom, roster.StateFromOut, roster.StateBoth
)

// TestAppendix has a line for each row of RFC 6121 A.2 and A.3.
func TestAppendix(t *testing.T) {
	type row struct {
		state   roster.State
		forward bool
		next    roster.State
	}
	tables := []struct {
		name string
		dir  roster.Direction
		act  roster.Action
		rows []row
	}{
		{"A.2.1 outbound subscribe", roster.Outbound, roster.Subscribe, []row{
			{none, true, noneOut},
			{noneOut, true, noneOut},
			{noneIn, true, noneOutIn},
			{noneOutIn, true, noneOutIn},
			{to, true, to},
			{toIn, true, toIn},
			{from, true, fromOut},
			{fromOut, true, fromOut},
			{both, true, both},
		}},
		{"A.2.2 outbound unsubscribe", roster.Outbound, roster.Unsubscribe, []row{
			{none, true, none},
			{noneOut, true, none},
			{noneIn, true, noneIn},
			{noneOutIn, true, noneIn},
			{to, true, none},
			{toIn, true, noneIn},
			{from, true, from},
			{fromOut, true, from},
			{both, true, from},
		}},
		{"A.2.3 outbound subscribed", roster.Outbound, roster.Subscribed, []row{
			{none, false, none},
			{noneOut, false, noneOut},
			{noneIn, true, from},
			{noneOutIn, true, fromOut},
			{to, false, to},
			{toIn, true, both},
			{from, false, from},
			{fromOut, false, fromOut},
			{both, false, both},
		}},
		{"A.2.4 outbound unsubscribed", roster.Outbound, roster.Unsubscribed, []row{
			{none, false, none},
			{noneOut, false, noneOut},
			{noneIn, true, none},
			{noneOutIn, true, noneOut},
			{to, false, to},
			{toIn, true, to},
			{from, true, none},
			{fromOut, true, noneOut},
			{both, true, to},
		}},
		{"A.3.1 inbound subscribe", roster.Inbound, roster.Subscribe, []row{
			{none, true, noneIn},
			{noneOut, true, noneOutIn},
			{noneIn, false, noneIn},
			{noneOutIn, false, noneOutIn},
			{to, true, toIn},
			{toIn, false, toIn},
			{from, false, from},
			{fromOut, false, fromOut},
			{both, false, both},
		}},
		{"A.3.2 inbound unsubscribe", roster.Inbound, roster.Unsubscribe, []row{
			{none, false, none},
			{noneOut, false, noneOut},
			{noneIn, true, none},
			{noneOutIn, true, noneOut},
			{to, false, to},
			{toIn, true, to},
			{from, true, none},
			{fromOut, true, noneOut},
			{both, true, to},
		}},
		{"A.3.3 inbound subscribed", roster.Inbound, roster.Subscribed, []row{
			{none, false, none},
			{noneOut, true, to},
			{noneIn, false, noneIn},
			{noneOutIn, true, toIn},
			{to, false, to},
			{toIn, false, toIn},
			{from, false, from},
			{fromOut, true, both},
			{both, false, both},
		}},
		{"A.3.4 inbound unsubscribed", roster.Inbound, roster.Unsubscribed, []row{
			{none, false, none},
			{noneOut, true, none},
			{noneIn, false, noneIn},
			{noneOutIn, true, noneIn},
			{to, true, none},
			{toIn, true, noneIn},
			{from, false, from},
			{fromOut, true, from},
			{both, true, from},
		}},
	}
	for _, tab := range tables {
		for _, r := range tab.rows {
			t.Run(tab.name+"/"+r.state.String(), func(t *testing.T) {
				got := roster.Advance(r.state, false, tab.dir, tab.act)
				if got.Next != r.next || got.Forward != r.forward {
					t.Errorf("next %q forward %v, want %q %v", got.Next, got.Forward, r.next, r.forward)
				}
				reply := tab.dir == roster.Inbound && tab.act == roster.Subscribe && r.state.Seen()
				if got.Reply != reply {
					t.Errorf("reply %v, want %v", got.Reply, reply)
				}
			})
		}
	}
}

func TestPreApproval(t *testing.T) {
	tests := []struct {
		name     string
		state    roster.State
		approved bool
		dir      roster.Direction
		act      roster.Action
		want     roster.Step
	}{
		{"given to a stranger", none, false, roster.Outbound, roster.Subscribed, roster.Step{Next: none, Approved: true, Push: true}},
		{"given twice", none, true, roster.Outbound, roster.Subscribed, roster.Step{Next: none, Approved: true}},
		{"given while asking", noneOut, false, roster.Outbound, roster.Subscribed, roster.Step{Next: noneOut, Approved: true, Push: true}},
		{"given in to", to, false, roster.Outbound, roster.Subscribed, roster.Step{Next: to, Approved: true, Push: true}},
		{"needless in from", from, false, roster.Outbound, roster.Subscribed, roster.Step{Next: from}},
		{"approval of a request is none", noneIn, false, roster.Outbound, roster.Subscribed, roster.Step{Next: from, Forward: true, Push: true}},
		{"cancelled", none, true, roster.Outbound, roster.Unsubscribed, roster.Step{Next: none, Push: true}},
		{"used in none", none, true, roster.Inbound, roster.Subscribe, roster.Step{Next: from, Reply: true, Push: true}},
		{"used while asking", noneOut, true, roster.Inbound, roster.Subscribe, roster.Step{Next: fromOut, Reply: true, Push: true}},
		{"used in to", to, true, roster.Inbound, roster.Subscribe, roster.Step{Next: both, Reply: true, Push: true}},
		{"survives the contact's refusal", noneOut, true, roster.Inbound, roster.Unsubscribed, roster.Step{Next: none, Approved: true, Forward: true, Push: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := roster.Advance(tt.state, tt.approved, tt.dir, tt.act); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestStateOf(t *testing.T) {
	for s := none; s <= both; s++ {
		it := roster.Item{Subscription: s.Subscription(), Ask: s.Ask(), PendingIn: s.PendingIn()}
		if got := roster.StateOf(&it); got != s {
			t.Errorf("state %q comes back as %q", s, got)
		}
	}
}
