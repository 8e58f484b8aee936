package certs_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/certs"
)

// TestExpiryIsTold lets a certificate grow old and counts what the log says.
func TestExpiryIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		dir := t.TempDir()
		key := ecdsaKey(t)
		a := newAuthority(t, "Root", nil)
		place(t, dir, map[string][]byte{"a.pem": slices.Concat(certPEM(a.issue(t, key, now.AddDate(0, 0, -58), "chat.example")), keyPEM(t, key))})
		var log record
		k, err := certs.New(certs.Config{Source: certs.Source{Folder: dir}, Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		// The watch would have this bubble wait for the system.
		tick := func(days int) {
			for range days * 24 {
				time.Sleep(time.Hour)
				k.Warn()
			}
		}
		for _, step := range []struct{ days, soon, expired int }{
			{1, 0, 0},  // 31 days left
			{2, 1, 0},  // 29
			{14, 1, 0}, // 15
			{2, 2, 0},  // 13
			{7, 3, 0},  // 6
			{4, 3, 0},  // 2
			{1, 4, 0},  // 1
			{3, 4, 3},  // over, each day
		} {
			tick(step.days)
			if soon, expired := log.count("about to expire"), log.count("has expired"); soon != step.soon || expired != step.expired {
				t.Errorf("after %d days more: %d and %d, want %d and %d\n%s", step.days, soon, expired, step.soon, step.expired, &log.buf)
			}
		}
	})
}

// TestSelfSignedIsRenewed lets a self-signed certificate grow old under a node
// that runs.
func TestSelfSignedIsRenewed(t *testing.T) {
	now := start
	var log record
	dir := t.TempDir()
	k, err := certs.New(certs.Config{
		Source: certs.Source{Hosts: []string{"chat.example"}}, Dir: dir, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	first, made := k.Leaf(), 1
	for ; now.Before(first.NotAfter.AddDate(0, 0, 3)); now = now.Add(12 * time.Hour) {
		k.Refresh(context.Background())
		if k.NotAfter().Sub(now) < 6*24*time.Hour {
			t.Fatalf("%v left", k.NotAfter().Sub(now))
		}
		made = log.count("self-signed certificate made")
	}
	if made != 2 || k.Leaf().Equal(first) || log.count("about to expire") != 0 {
		t.Errorf("made %d times\n%s", made, &log.buf)
	}
	if list, _, err := certs.Inspect(certs.Config{Dir: dir}); err != nil || len(list) != 1 || !list[0].Made || filepath.Base(list[0].File) != "self-signed.crt" {
		t.Errorf("inspected: %+v %v", list, err)
	}
}

// TestMadeAnew takes a self-signed certificate made by a command into service.
func TestMadeAnew(t *testing.T) {
	cfg := certs.Config{Source: certs.Source{Hosts: []string{"chat.example"}}, Dir: t.TempDir(), Log: quiet()}
	if list, _, err := certs.Inspect(cfg); err != nil || len(list) != 0 {
		t.Fatalf("before the first start: %v %v", list, err)
	}
	k, err := certs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	info, err := certs.MakeSelfSigned(cfg)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "made anew", func() bool { return k.Fingerprint() == info.SHA256 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
