package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/store/sqlite"
)

func init() { roles["limited"] = writeLimited }

// TestWriteError makes the system refuse to write, by a limit on the size of
// files, which a process can set for itself only.
func TestWriteError(t *testing.T) {
	cmd := child(t, "limited", filepath.Join(t.TempDir(), "deskline.db"))
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func writeLimited(ctx context.Context, path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	if err := s.CreateAccounts(ctx, []auth.Account{{JID: alice}}, nil); err != nil {
		return err
	}
	write := func() error {
		return s.Append(ctx, alice, 1<<30, offline.Message{XML: bytes.Repeat([]byte("x"), 20_000)})
	}
	kept := 0
	for range 3 { // breaks, and recovers, more than once
		if err := limitFiles(uint64(200_000 + kept*25_000)); err != nil {
			return err
		}
		for err = error(nil); err == nil; kept++ {
			err = write()
		}
		kept--
		if !errors.Is(err, sqlite.ErrUnavailable) {
			return fmt.Errorf("error %w, want ErrUnavailable", err)
		}
		// The connection was opened anew, which may have made some room.
		if err := write(); err == nil {
			kept++
		} else if !errors.Is(err, sqlite.ErrUnavailable) {
			return fmt.Errorf("second error %w, want ErrUnavailable", err)
		}
		if n, err := s.Count(ctx, alice); err != nil || n != kept {
			return fmt.Errorf("kept %d of %d: %w", n, kept, err)
		}
		if err := limitFiles(syscall.RLIM_INFINITY & (1<<62 - 1)); err != nil {
			return err
		}
		if err := write(); err != nil {
			return fmt.Errorf("after the limit was lifted: %w", err)
		}
		kept++
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = sqlite.Open(ctx, sqlite.Config{Path: path}); err != nil {
		return err
	}
	if n, err := s.Count(ctx, alice); err != nil || n != kept {
		return fmt.Errorf("kept %d of %d after a restart: %w", n, kept, err)
	}
	return s.Close()
}

func limitFiles(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(n, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}
