//go:build linux

package main

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/deskline/deskline/bench/load"
)

// TestRelayedOnceAndInOrder runs the load generator against the relay, so it
// tests both: the ledger must be clean.
func TestRelayedOnceAndInOrder(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(newRelay())
	defer srv.Close()
	f, err := load.NewFleet(load.Config{URL: srv.URL + "/", Domain: "localhost", Prefix: "u", Relay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.SignIn(0, 20, 4, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	cpu := func() (time.Duration, error) { return 0, nil }
	open, err := f.OpenLoop(10, 500, 200*time.Millisecond, cpu)
	if err != nil || !open.Ledger.Clean() || open.Ledger.Delivered == 0 || open.P99 == 0 {
		t.Errorf("open loop: %+v, %v", open, err)
	}
	closed, err := f.ClosedLoop(10, 4, 200*time.Millisecond, cpu)
	if err != nil || !closed.Ledger.Clean() || closed.Rate == 0 {
		t.Errorf("closed loop: %+v, %v", closed, err)
	}
	if err := f.Leave(0, 20, 10*time.Second); err != nil || f.Ready() != 0 {
		t.Errorf("%d stay, %v", f.Ready(), err)
	}
}

// TestUnknownSession shows that a failed sign-in is an error of the generator.
func TestUnknownSession(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(newRelay())
	f, err := load.NewFleet(load.Config{URL: srv.URL, Domain: "localhost", Prefix: "u", Relay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	srv.Close()
	if err := f.SignIn(0, 1, 1, 10*time.Second); err == nil {
		t.Error("signed in to a server that is gone")
	}
}
