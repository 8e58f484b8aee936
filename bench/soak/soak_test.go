package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bench/peer"
)

// TestSoak is the short variant of the soak, against the real binary.
func TestSoak(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the server")
	}
	binary := filepath.Join(t.TempDir(), "deskline")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/deskline/deskline/cmd/deskline")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	const sessions = 100
	s, err := peer.Start(t.Context(), peer.Deskline, peer.Options{Users: sessions, Deskline: binary})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	r, err := run(t.Context(), config{
		URL: s.URL, Domain: peer.Domain, Prefix: peer.Prefix, Password: peer.Password,
		Sessions: sessions, Duration: 4 * time.Second, Rate: 2, Harm: 0.3, Seed: 1, Log: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Clean() || r.ledger.Delivered == 0 {
		t.Error(r)
	}
	for f := fateCutRequest; f < fates; f++ {
		if r.harms[f].Load() == 0 {
			t.Errorf("no %s in the run", f)
		}
	}
}

func TestReportTellsViolations(t *testing.T) {
	t.Parallel()
	r := &report{cfg: config{Sessions: 2}, took: time.Second}
	b := newBook(2, r)
	b.send(0)
	b.send(0)
	b.arrive(1, []byte("<body>#0:1#</body>"))
	b.close()
	if r.Clean() || !strings.Contains(r.String(), "lost 1,") || !strings.Contains(r.String(), "VIOLATED") {
		t.Error(r)
	}
	if v := b.arrive(0, []byte("<body>#0:0#</body>")); v == 0 {
		t.Error("a message at its own sender is in order")
	}
	clean := &report{took: time.Second}
	clean.violation("session ended")
	if clean.Clean() {
		t.Error("clean in spite of a violation")
	}
}
