// Package storetest is the contract of a store, as tests: every store must pass
// Run, or the suites of the interfaces it fills.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
//			path := filepath.Join(t.TempDir(), "test.db")
//			s := open(t, path)
//			return s, func() storetest.Store { close(t, s); return open(t, path) }
//		})
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

// Store is everything that accounts own, and the accounts.
type Store interface {
	auth.Store
	roster.Store
	offline.Store
	private.Store
	vcard.Store
	info.Store
}

// SessionStore is the add-on of a store that keeps sessions over a restart.
type SessionStore interface {
	SaveSessions(ctx context.Context, sessions []struct {
		SID  string
		Kind string
		Data []byte
	}) error
	TakeSessions(ctx context.Context) ([]struct {
		SID  string
		Kind string
		Data []byte
	}, error)
}

// MetaStore is the add-on of a store that keeps the server's own values.
type MetaStore interface {
	Meta(ctx context.Context, key string) ([]byte, error)
	SetMeta(ctx context.Context, key string, value []byte) error
	InitMeta(ctx context.Context, key string, value []byte) ([]byte, error)
}

// Opener returns a new empty store, and a function that closes it and opens the
// same one again; nil if the data do not outlive the store. The opener closes
// what it opened when the test ends.
type Opener func(t *testing.T) (s Store, reopen func() Store)

// Run runs every suite.
func Run(t *testing.T, open Opener) {
	for _, suite := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"accounts", Accounts},
		{"rosters", Rosters},
		{"offline", Offline},
		{"private", Private},
		{"vcards", VCards},
		{"info", Info},
		{"deletion", Deletion},
		{"sessions", Sessions},
		{"meta", Meta},
		{"assignments", Assignments},
		{"records", Records},
		{"groups", Groups},
		{"history", History},
		{"history of many", HistoryOfMany},
	} {
		t.Run(suite.name, func(t *testing.T) { suite.run(t, open) })
	}
}

const domain = "example.com"

var (
	alice   = jid.MustParse("alice@example.com")
	bob     = jid.MustParse("bob@example.com")
	nobody  = jid.MustParse("nobody@example.com")
	unicode = jid.MustParse("żółć-甲乙@münchen.example")
	created = time.Date(2026, 2, 3, 4, 5, 6, 789e6, time.UTC)
)

// tricky are texts that a careless store would damage.
var tricky = map[string]string{
	"quotes":         `'"` + "`" + `; DROP TABLE accounts; --`,
	"separators":     "a\x1fb,c\nd\te|f",
	"unicode":        "Zürich 甲乙丙 👩‍💻 e\u0301 \u202e",
	"markup":         `<a b="c">&amp;]]></a>`,
	"json":           `["a",{"b":null}]`,
	"like a number":  "0012e3",
	"spaces":         "  around  ",
	"64 KiB":         strings.Repeat("x甲", 16<<10),
	"NUL and binary": "a\x00b",
}

// account returns a complete account.
func account(j jid.JID) auth.Account {
	return auth.Account{
		JID: j,
		Keys: map[string]auth.Keys{
			"SCRAM-SHA-1":   {Salt: []byte{0, 1, 0xff}, Iterations: 4096, StoredKey: []byte("s1"), ServerKey: []byte("k1")},
			"SCRAM-SHA-256": {Salt: []byte{9}, Iterations: 10000, StoredKey: []byte{0xc3, 0x28}, ServerKey: []byte("k2")},
		},
		Name: "Name of " + j.Local(), Email: j.String(), Groups: []string{"Team A", "Büro, 2"},
		Created: created, Changed: created.Add(time.Hour),
	}
}

// begin opens a store with the accounts alice, bob and one in Unicode.
func begin(t *testing.T, open Opener) (Store, func() Store) {
	t.Helper()
	s, reopen := open(t)
	var all []auth.Account
	for _, j := range []jid.JID{alice, bob, unicode} {
		all = append(all, account(j))
	}
	must(t, s.CreateAccounts(t.Context(), all, nil))
	return s, reopen
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get is must for calls that return a value.
func get[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func wantBytes(t *testing.T, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Fatalf("got %.80q (%d bytes), want %.80q (%d bytes)", got, len(got), want, len(want))
	}
}

// parallel runs fn n times at once and returns the errors.
func parallel(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

func user(i int) jid.JID { return jid.MustParse(fmt.Sprintf("user%05d@%s", i, domain)) }
