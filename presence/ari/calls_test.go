package ari

import "testing"

func TestCalls(t *testing.T) {
	const alice, bob = "PJSIP/alice", "PJSIP/bob-x"
	one, two, other := channel{"1", alice + "-00000001"}, channel{"2", alice + "-00000002"}, channel{"3", bob + "-00000003"}
	c := newCalls()
	want := func(device string, held bool) {
		t.Helper()
		if c.held(device) != held {
			t.Errorf("%s is held: %v", device, !held)
		}
	}
	event := func(kind string, of channel) { c.event(kind, of, of.device()) }
	want(alice, false)
	event("ChannelCreated", one)
	want(alice, false)
	event("ChannelHold", one)
	event("ChannelCreated", other)
	want(alice, true)
	want(bob, false)
	event("ChannelCreated", two) // another call, while the first is held
	want(alice, false)
	event("ChannelHold", two)
	want(alice, true)
	event("ChannelUnhold", one)
	want(alice, false)
	event("ChannelDestroyed", one)
	want(alice, true)
	event("ChannelDestroyed", two)
	want(alice, false)
	event("ChannelDestroyed", two)

	c.begin()
	c.list(alice, []string{"1", "4"}) // of before
	event("ChannelHold", one)
	want(alice, false)
	c.begin()
	event("ChannelHold", channel{"5", alice + "-00000005"}) // began and was held since the list was asked for
	event("ChannelDestroyed", channel{"4", alice + "-00000004"})
	c.list(alice, []string{"1", "4"})
	want(alice, true)
	c.begin()
	c.list(alice, nil)
	c.list(bob, []string{"", "3"})
	want(alice, false)
	event("ChannelHold", channel{"3", alice + "-00000003"}) // it is another's now
	want(alice, true)
	want(bob, false)
	if len(c.of) != 1 || len(c.devices) != 1 {
		t.Errorf("%v %v", c.of, c.devices)
	}
	for _, odd := range []channel{{}, {"1", ""}, {"1", "PJSIP/x"}, {"", "PJSIP/x-1"}} {
		if d := odd.device(); d != "" {
			t.Errorf("%v is of %q", odd, d)
		}
	}
}
