package rate_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/rate"
)

// Asking how long to wait costs nothing, and neighbours in a network of IPv6 share a count.
func TestWait(t *testing.T) {
	l := rate.New(2)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for range 10 {
		if wait := l.Wait(one, now); wait != 0 {
			t.Fatal(wait)
		}
	}
	if l.Take(one, now) != 0 || l.Take(other, now) != 0 {
		t.Error("fewer than are allowed")
	}
	if l.Wait(one, now) == 0 || l.Take(other, now) == 0 {
		t.Error("more than are allowed")
	}
	if l.Wait(netip.MustParseAddr("192.0.2.1"), now) != 0 {
		t.Error("an address waits for another one")
	}
	if wait := l.Wait(one, now.Add(2*time.Minute)); wait != 0 {
		t.Errorf("waits for %s after two minutes", wait)
	}
}
