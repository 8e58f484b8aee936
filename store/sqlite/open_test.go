package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

func isErr(err, want error) bool { return errors.Is(err, want) }

// raw opens the file as another program would.
func raw(t *testing.T, path string) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	conn, err := db.Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { _, _ = conn.Close(), db.Close() })
	return conn
}

func execute(t *testing.T, conn *sql.Conn, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	program := func(statements ...string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			must(t, err)
			for _, q := range statements {
				_, err := db.ExecContext(t.Context(), q)
				must(t, err)
			}
			must(t, db.Close())
		}
	}
	ours := func(t *testing.T, path string) {
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		must(t, err)
		must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
		must(t, s.Close())
	}
	for _, tc := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"newer", func(t *testing.T, path string) {
			ours(t, path)
			program("PRAGMA user_version = 1000")(t, path)
		}, sqlite.ErrNewer},
		{"another program's", program("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"), sqlite.ErrForeign},
		{"another program's with a version", program("PRAGMA application_id = 42", "PRAGMA user_version = 1"), sqlite.ErrForeign},
		{"another program's in WAL mode", program("PRAGMA journal_mode = WAL", "CREATE TABLE t (a)"), sqlite.ErrForeign},
		{"no database", func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(strings.Repeat("domains: [example.com]\n", 100)), 0o644))
		}, sqlite.ErrForeign},
		{"a short text", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("hello"), 0o644)) }, sqlite.ErrForeign},
		{"a directory", func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) }, sqlite.ErrForeign},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "deskline.db")
			tc.make(t, path)
			before, _ := os.ReadFile(path)
			mode := fileMode(t, path)
			s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want %v with the path", err, tc.want)
			}
			after, _ := os.ReadFile(path)
			if !bytes.Equal(before, after) || fileMode(t, path) != mode {
				t.Fatal("the file was changed")
			}
			for _, suffix := range []string{"-wal", "-journal"} {
				if st, err := os.Stat(path + suffix); err == nil && st.Size() > 0 {
					t.Fatalf("left %s of %d bytes", suffix, st.Size())
				}
			}
		})
	}
}

func fileMode(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Stat(path)
	must(t, err)
	return st.Mode().Perm()
}

func TestNewerWhileInUse(t *testing.T) {
	s, path := begin(t)
	must(t, s.Write(t.Context(), "PRAGMA user_version = 1000")) // is in the log, not in the file yet
	if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrNewer) {
		t.Fatalf("error %v, want ErrNewer", err)
	}
}

func TestPermissions(t *testing.T) {
	_, path := begin(t)
	want := func(path string, mode os.FileMode) {
		t.Helper()
		if got := fileMode(t, path); got != mode {
			t.Errorf("%s has mode %v, want %v", filepath.Base(path), got, mode)
		}
	}
	want(filepath.Dir(path), 0o700)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		want(path+suffix, 0o600)
		must(t, os.Chmod(path+suffix, 0o644))
	}
	open(t, path)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		want(path+suffix, 0o600)
	}
}

func TestSettings(t *testing.T) {
	s, _ := begin(t)
	for pragma, want := range map[string]int{"synchronous": 2, "foreign_keys": 1, "application_id": 0x44736b4c, "busy_timeout": 100} {
		for name, read := range map[string]func(context.Context, string) (int, error){"reader": s.Int, "writer": s.WriterInt} {
			if got, err := read(t.Context(), "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("%s of the %s is %d, %v, want %d", pragma, name, got, err, want)
			}
		}
	}
	if n, err := s.Int(t.Context(), "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"); err != nil || n != 1 {
		t.Errorf("no write-ahead log: %v", err)
	}
}

func TestMigrate(t *testing.T) {
	all, err := sqlite.Scripts()
	must(t, err)
	version := func(path string) (n int) {
		must(t, raw(t, path).QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n))
		return n
	}
	next := "ALTER TABLE accounts ADD COLUMN test TEXT NOT NULL DEFAULT 'new'; CREATE TABLE extra (a INTEGER) STRICT"
	newer := append(all[:len(all):len(all)], next)

	t.Run("each older version becomes the present one", func(t *testing.T) {
		for from := 1; from <= len(all); from++ {
			path := filepath.Join(t.TempDir(), "deskline.db")
			must(t, os.WriteFile(path, nil, 0o600))
			must(t, sqlite.Migrate(t.Context(), path, all[:from]))
			s := open(t, path)
			must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
			if got := version(path); got != len(all) {
				t.Fatalf("version %d, want %d", got, len(all))
			}
		}
	})
	t.Run("the present one becomes a newer one with its data", func(t *testing.T) {
		s, path := begin(t)
		must(t, s.Close())
		must(t, sqlite.Migrate(t.Context(), path, newer))
		must(t, sqlite.Migrate(t.Context(), path, newer))
		var local, test string
		must(t, raw(t, path).QueryRowContext(t.Context(), "SELECT local, test FROM accounts").Scan(&local, &test))
		if got := version(path); got != len(newer) || local != "alice" || test != "new" {
			t.Fatalf("version %d, account %s, %s", got, local, test)
		}
		if _, err := sqlite.Open(t.Context(), sqlite.Config{Path: path}); !errors.Is(err, sqlite.ErrNewer) {
			t.Fatalf("opened: %v", err)
		}
	})
	t.Run("one that fails changes nothing", func(t *testing.T) {
		s, path := begin(t)
		must(t, s.Close())
		broken := append(newer[:len(newer):len(newer)], "CREATE TABLE more (a); CREATE TABLE accounts (a)")
		if err := sqlite.Migrate(t.Context(), path, broken); err == nil {
			t.Fatal("no error")
		}
		s = open(t, path)
		if n, err := s.Int(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name IN ('extra', 'more')"); err != nil || n != 0 {
			t.Fatalf("%d tables are left: %v", n, err)
		}
	})
}

func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deskline.db")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path, BusyTimeout: 10 * time.Second})
			if err != nil {
				t.Errorf("open %d: %v", i, err)
				return
			}
			j, _ := jid.New("user"+string(rune('a'+i)), "example.com", "")
			if err := s.CreateAccounts(context.Background(), []auth.Account{{JID: j}}, nil); err != nil {
				t.Errorf("create %d: %v", i, err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	got, err := open(t, path).ListAccounts(t.Context(), "example.com", "", 100)
	if err != nil || len(got) != 6 {
		t.Fatalf("%d accounts, %v", len(got), err)
	}
}
