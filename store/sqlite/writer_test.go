package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

// hold stops the writer inside a transaction, so that what is written meanwhile
// makes up the next one.
func hold(t *testing.T, s *sqlite.Store) (release func()) {
	t.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Hold(context.WithoutCancel(t.Context()), begun, end) }()
	<-begun
	return sync.OnceFunc(func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// until waits for a condition that needs other goroutines.
func until(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("condition was never met")
		}
	}
}

// together makes the writes one transaction and returns their errors.
func together(t *testing.T, s *sqlite.Store, writes ...func(context.Context) error) []error {
	t.Helper()
	release := hold(t, s)
	defer release()
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	for i, w := range writes {
		wg.Go(func() { errs[i] = w(context.WithoutCancel(t.Context())) })
		until(t, func() bool { return s.Queued() == i+1 })
	}
	release()
	wg.Wait()
	return errs
}

func TestGroupCommit(t *testing.T) {
	s, path := begin(t)
	second := open(t, path)
	changes := func() int { // counts the transactions that changed something
		t.Helper()
		n, err := second.WriterInt(t.Context(), "PRAGMA data_version")
		must(t, err)
		return n
	}
	before := changes()
	var writes []func(context.Context) error
	for i := range 100 {
		writes = append(writes, func(ctx context.Context) error { return s.SetMeta(ctx, fmt.Sprint(i), []byte{1}) })
	}
	must(t, errors.Join(together(t, s, writes...)...))
	if n, err := second.Int(t.Context(), "SELECT count(*) FROM meta"); err != nil || n != 100 {
		t.Fatalf("another process sees %d writes, %v", n, err)
	}
	if after := changes(); after != before+1 {
		t.Fatalf("100 writes that waited together took %d transactions", after-before)
	}
}

func TestOneFailureAmongMany(t *testing.T) {
	s, _ := begin(t)
	bob := jid.MustParse("bob@example.com")
	r, err := s.Roster(t.Context(), alice)
	must(t, err)
	errs := together(t, s,
		func(ctx context.Context) error { return s.SetMeta(ctx, "first", []byte("1")) },
		func(ctx context.Context) error { return s.SetVCard(ctx, bob, []byte("<vCard/>")) },
		func(ctx context.Context) error {
			return s.CreateAccounts(ctx, []auth.Account{{JID: jid.MustParse("carol@example.com")}, {JID: alice}}, nil)
		},
		func(ctx context.Context) error {
			return s.Write(ctx, "INSERT INTO meta VALUES ('lost', 'x')", "nonsense")
		},
		func(ctx context.Context) error { _, err := s.Save(ctx, alice, r.Ver+7, nil, nil); return err },
		func(ctx context.Context) error {
			return s.Append(ctx, alice, 0, offline.Message{XML: []byte("<message/>")})
		},
		func(ctx context.Context) error { return s.SetMeta(ctx, "last", []byte("2")) },
	)
	for i, want := range []error{nil, nil, auth.ErrExists, nil, roster.ErrConflict, offline.ErrFull, nil} {
		if i == 1 || i == 3 {
			if errs[i] == nil || errors.Is(errs[i], sqlite.ErrUnavailable) {
				t.Errorf("write %d: %v", i, errs[i])
			}
		} else if !errors.Is(errs[i], want) {
			t.Errorf("write %d: %v, want %v", i, errs[i], want)
		}
	}
	if n, err := s.Int(t.Context(), "SELECT (SELECT count(*) FROM meta) * 10 + (SELECT count(*) FROM accounts)"); err != nil || n != 21 {
		t.Fatalf("%d values and accounts, want 21; %v", n, err)
	}
}

func TestWithdrawWhileQueued(t *testing.T) {
	s, _ := begin(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.SetMeta(ctx, "k", []byte("v")) }()
	until(t, func() bool { return s.Queued() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) { // while the writer is busy still
		t.Fatalf("error %v", err)
	}
	release()
	must(t, s.SetMeta(t.Context(), "other", nil))
	if v, err := s.Meta(t.Context(), "k"); err != nil || v != nil {
		t.Fatalf("a withdrawn write was done: %q, %v", v, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: sqlite.Memory, Queue: 2})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	release := hold(t, s)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { must(t, s.SetMeta(context.Background(), fmt.Sprint(i), nil)) })
	}
	until(t, func() bool { return s.Queued() == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.SetMeta(ctx, "third", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	release()
	wg.Wait()
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	s, path := begin(t)
	release := hold(t, s)
	const n = 300 // more than one transaction takes
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- s.SetMeta(context.Background(), fmt.Sprint(i), nil) }()
	}
	until(t, func() bool { return s.Queued() == n })
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	release()
	must(t, <-closed)
	for range n {
		must(t, <-errs)
	}
	if got, err := open(t, path).Int(t.Context(), "SELECT count(*) FROM meta"); err != nil || got != n {
		t.Fatalf("%d of %d writes kept: %v", got, n, err)
	}
}
