package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

// fill appends messages until one is refused and returns how many were not.
func fill(t *testing.T, s *sqlite.Store) (kept int) {
	t.Helper()
	for range 10_000 {
		err := s.Append(t.Context(), alice, 1<<30, offline.Message{XML: bytes.Repeat([]byte("x"), 3000)})
		if errors.Is(err, sqlite.ErrUnavailable) {
			return kept
		}
		must(t, err)
		kept++
	}
	t.Fatal("never full")
	return 0
}

func TestDiskFull(t *testing.T) {
	for _, kind := range []string{"file", "memory"} {
		t.Run(kind, func(t *testing.T) {
			path := sqlite.Memory
			if kind == "file" {
				path = t.TempDir() + "/deskline.db"
			}
			var log bytes.Buffer
			var reads, commits, failed atomic.Int64
			s, err := sqlite.Open(t.Context(), sqlite.Config{
				Path: path, Log: slog.New(slog.NewTextHandler(&log, nil)),
				OnRead: func(time.Duration, error) { reads.Add(1) },
				OnCommit: func(_ time.Duration, err error) {
					if commits.Add(1); err != nil {
						failed.Add(1)
					}
				},
			})
			must(t, err)
			must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
			must(t, s.Write(t.Context(), "PRAGMA max_page_count = 200"))
			kept := fill(t, s)
			for range 3 { // stays refused, stays readable
				err := s.SetVCard(t.Context(), alice, bytes.Repeat([]byte("v"), 100_000))
				if !errors.Is(err, sqlite.ErrUnavailable) {
					t.Fatalf("error %v, want ErrUnavailable", err)
				}
				if n, err := s.Count(t.Context(), alice); err != nil || n != kept {
					t.Fatalf("%d of %d acknowledged messages, %v", n, kept, err)
				}
			}
			if v, err := s.VCard(t.Context(), alice); err != nil || v != nil {
				t.Fatalf("a refused write left %d bytes, %v", len(v), err)
			}
			must(t, s.Write(t.Context(), "PRAGMA max_page_count = 100000"))
			must(t, s.SetVCard(t.Context(), alice, bytes.Repeat([]byte("v"), 100_000)))
			must(t, s.Append(t.Context(), alice, 1<<30, offline.Message{XML: []byte("x")}))
			if n, err := s.Count(t.Context(), alice); err != nil || n != kept+1 {
				t.Fatalf("%d of %d acknowledged messages, %v", n, kept+1, err)
			}
			if reads.Load() < 5 || commits.Load() < int64(kept) || failed.Load() != 4 {
				t.Errorf("told of %d reads, %d commits, %d failed", reads.Load(), commits.Load(), failed.Load())
			}
			must(t, s.Close())
			for _, want := range []string{"store cannot write", "store writes again"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("log does not say %q:\n%s", want, &log)
				}
			}
		})
	}
}

// TestLargeWriteAmongSmall: one write that does not fit must not fail those of
// the same transaction that do.
func TestLargeWriteAmongSmall(t *testing.T) {
	s, _ := begin(t)
	must(t, s.Write(t.Context(), "PRAGMA max_page_count = 100"))
	errs := together(t, s,
		func(ctx context.Context) error { return s.SetMeta(ctx, "first", []byte("1")) },
		func(ctx context.Context) error { return s.SetVCard(ctx, alice, bytes.Repeat([]byte("v"), 1<<20)) },
		func(ctx context.Context) error {
			return s.SetVCard(ctx, jid.MustParse("nobody@example.com"), []byte("<vCard/>"))
		},
		func(ctx context.Context) error { return s.SetMeta(ctx, "last", []byte("2")) },
	)
	if errs[0] != nil || !errors.Is(errs[1], sqlite.ErrUnavailable) || errs[2] == nil || errors.Is(errs[2], sqlite.ErrUnavailable) || errs[3] != nil {
		t.Fatalf("errors %v", errs)
	}
	for key, want := range map[string]string{"first": "1", "last": "2"} {
		if v, err := s.Meta(t.Context(), key); err != nil || string(v) != want {
			t.Fatalf("%s is %q, %v", key, v, err)
		}
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	s, path := begin(t)
	other := raw(t, path)
	execute(t, other, "PRAGMA busy_timeout = 1000", "BEGIN EXCLUSIVE", "UPDATE accounts SET name = 'Other'")
	start := time.Now()
	if err := s.SetMeta(t.Context(), "k", []byte("v")); !errors.Is(err, sqlite.ErrUnavailable) {
		t.Fatalf("error %v, want ErrUnavailable", err)
	}
	if took := time.Since(start); took < 90*time.Millisecond || took > 5*time.Second {
		t.Errorf("gave up after %v, want 100ms", took)
	}
	if a, err := s.Account(t.Context(), alice); err != nil || a.Name != "" { // readers do not wait
		t.Fatalf("read %q, %v", a.Name, err)
	}
	execute(t, other, "COMMIT")
	must(t, s.SetMeta(t.Context(), "k", []byte("v")))
	if a, err := s.Account(t.Context(), alice); err != nil || a.Name != "Other" {
		t.Fatalf("read %q, %v", a.Name, err)
	}
}

func TestWriterWaitsForAnotherProcess(t *testing.T) {
	_, path := begin(t)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 20 * time.Second})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	other := raw(t, path)
	execute(t, other, "BEGIN IMMEDIATE")
	done := make(chan error)
	go func() { done <- s.SetMeta(context.Background(), "k", []byte("v")) }()
	select {
	case err := <-done:
		t.Fatalf("wrote through another's lock: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	execute(t, other, "ROLLBACK")
	must(t, <-done)
}

func TestTwoStoresOneFile(t *testing.T) {
	s, path := begin(t)
	tool, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 20 * time.Second})
	must(t, err)
	defer func() { must(t, tool.Close()) }()
	errs := make(chan error, 2)
	work := func(s *sqlite.Store, name string) {
		for i := range 100 {
			j, _ := jid.New(fmt.Sprint(name, i), "example.com", "")
			if err := s.CreateAccounts(context.Background(), []auth.Account{{JID: j}}, nil); err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	}
	patient, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 20 * time.Second})
	must(t, err)
	defer func() { must(t, patient.Close()) }()
	go work(patient, "server")
	go work(tool, "tool")
	must(t, errors.Join(<-errs, <-errs))
	list, err := s.ListAccounts(t.Context(), "example.com", "", 1000)
	if err != nil || len(list) != 201 {
		t.Fatalf("%d accounts, %v", len(list), err)
	}
	must(t, tool.DeleteAccount(t.Context(), alice))
	if _, err := s.Account(t.Context(), alice); !errors.Is(err, auth.ErrNotFound) {
		t.Fatalf("a deleted account is still seen: %v", err)
	}
}
