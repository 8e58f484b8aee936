package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/store/storetest"
	"github.com/deskline/deskline/xmpp/jid"
)

var alice = jid.MustParse("alice@example.com")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a store that waits briefly for others and is closed with the test.
func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, BusyTimeout: 100 * time.Millisecond})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// begin opens a new file with the account alice in it.
func begin(t testing.TB) (*sqlite.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data", "deskline.db")
	s := open(t, path)
	must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
	return s, path
}

func TestStore(t *testing.T) {
	patient := func(t *testing.T, path string) *sqlite.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return s
	}
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
			return patient(t, sqlite.Memory), nil
		})
	})
	t.Run("file", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
			path := filepath.Join(t.TempDir(), "a ?#%41 'ż", "deskline.db") // no character of a path is special
			s := patient(t, path)
			return s, func() storetest.Store {
				must(t, s.Close())
				return patient(t, path)
			}
		})
	})
}

func TestClosed(t *testing.T) {
	for _, path := range []string{sqlite.Memory, filepath.Join(t.TempDir(), "deskline.db")} {
		s := open(t, path)
		must(t, s.Ping(t.Context()))
		must(t, s.Close())
		must(t, s.Close())
		if _, err := s.Account(t.Context(), alice); !isErr(err, sqlite.ErrClosed) {
			t.Errorf("read: %v", err)
		}
		if err := s.SetMeta(t.Context(), "k", nil); !isErr(err, sqlite.ErrClosed) {
			t.Errorf("write: %v", err)
		}
	}
}
