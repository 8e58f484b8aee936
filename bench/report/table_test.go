//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bench/load"
)

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := number(v); got != want {
			t.Errorf("%f: %s", v, got)
		}
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	o := options{few: 1000, many: 10000, mech: "PLAIN", scram: "SCRAM-SHA-256"}
	good := &column{
		Kind: "relay", Title: "relay", Fast: &load.Flow{CPU: 119, P50: time.Millisecond, Ledger: load.Ledger{Sent: 1, Delivered: 1}},
		Few: &idle{Conns: 2, KB: 42},
	}
	bad := &column{Kind: "deskline", Title: "Deskline", Error: "it broke", Slow: &load.Flow{Ledger: load.Ledger{Sent: 2, Lost: 1}}}
	out := render([]*column{good, bad}, o, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), time.Minute)
	for _, want := range []string{
		"2026-01-02", "| CPU µs per message at 1,000/s | 119 | – |", "| 42.0 (2 connections) | – |",
		"1 / 0 / 0", "**Ledger: violated**", "**Deskline: incomplete**: it broke",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "storm: wall") {
		t.Errorf("a row without figures in\n%s", out)
	}
	if !strings.Contains(render([]*column{good}, o, time.Now(), 0), "every message arrived once") {
		t.Error("no clean verdict")
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	if k, err := (options{servers: "relay, deskline"}).kinds(); err != nil || len(k) != 2 {
		t.Errorf("%v, %v", k, err)
	}
	if _, err := (options{servers: "apache"}).kinds(); err == nil {
		t.Error("measures an unknown server")
	}
	if k, err := (options{url: "http://x"}).kinds(); err != nil || len(k) != 1 {
		t.Errorf("%v, %v", k, err)
	}
}
