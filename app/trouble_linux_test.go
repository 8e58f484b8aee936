package app_test

import (
	"os"
	"syscall"
	"testing"
)

// limitFiles bounds the size of files that this process writes.
func limitFiles(t *testing.T, n uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = min(n, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
}

const unlimited = ^uint64(0)

// When the disk takes no more, writes are refused with an error, the node goes
// on, and nothing that was accepted is lost.
func TestFullDisk(t *testing.T) {
	s := start(t, nil)
	alice := s.login("alice")
	defer limitFiles(t, unlimited)
	var kept []string
	for _, round := range []string{"first", "second"} {
		wal, err := os.Stat(s.storePath() + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		limitFiles(t, uint64(wal.Size())+100_000)
		ids, refused := accepted(alice, round, 1000)
		kept = append(kept, ids...)
		want(t, "refusal", refused, "<message", "type='error'", "internal-server-error", "type='wait'")
		want(t, "reading goes on", alice.send("<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"), "type='result'")
		limitFiles(t, unlimited)
		ids, refused = accepted(alice, round+"-after", 1)
		if refused != "" {
			t.Fatalf("refused afterwards: %s", refused)
		}
		kept = append(kept, ids...)
	}
	arrive(t, s, kept)
	want(t, "log", s.log.String(), "store cannot write", "store writes again")
}
