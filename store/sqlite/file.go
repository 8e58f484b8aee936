package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// applicationID marks our files ("DskL"), so that a path set by mistake to the
// file of another program does no harm.
const applicationID = 0x44736b4c

// file knows how to make connections to one database.
type file struct {
	path string
	busy time.Duration
}

func (f file) memory() bool { return f.path == Memory }

// prepare makes the directory and the file, or looks at the one that is there
// through a connection that cannot write.
//
// The file is never opened by other means than SQLite while it may be in use:
// closing any descriptor of it would drop this process's locks (POSIX).
func (f file) prepare(ctx context.Context, log *slog.Logger) (created bool, err error) {
	if f.memory() {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return false, err
	}
	st, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		n, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			return true, n.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		st, err = os.Stat(f.path) // another process was faster
		if err != nil {
			return false, err
		}
	} else if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() {
		return false, fmt.Errorf("%w: not a regular file", ErrForeign)
	}
	if st.Size() == 0 {
		return false, nil
	}
	if err := f.inspect(ctx); err != nil {
		return false, err
	}
	return false, f.tighten(st, log)
}

// inspect refuses a file that is not ours or not of our time, untouched.
func (f file) inspect(ctx context.Context) (err error) {
	h, err := f.connect(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	_, err = schemaVersion(ctx, h)
	return err
}

// tighten takes a file with everybody's permissions back: it holds keys.
func (f file) tighten(st fs.FileInfo, log *slog.Logger) error {
	if st.Mode().Perm()&0o077 == 0 {
		return nil
	}
	log.Warn("store was open to other users, permissions tightened", "path", f.path, "mode", st.Mode().Perm().String())
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(f.path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// dsn names the database and the settings of each of its connections.
func (f file) dsn(readOnly bool) string {
	q := url.Values{"_txlock": {"immediate"}, "_dqs": {"0"}}
	q.Add("_pragma", "busy_timeout("+strconv.FormatInt(f.busy.Milliseconds(), 10)+")")
	q.Add("_pragma", "foreign_keys(1)")
	if f.memory() {
		return "file::memory:?" + q.Encode()
	}
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "journal_size_limit(67108864)")
	if readOnly {
		q.Set("mode", "ro")
	} else {
		q.Set("mode", "rw")
	}
	return "file:" + (&url.URL{Path: f.path}).EscapedPath() + "?" + q.Encode()
}

// connect opens one connection.
func (f file) connect(ctx context.Context, readOnly bool) (*handle, error) {
	db, err := sql.Open("sqlite", f.dsn(readOnly))
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(classify(err), db.Close())
	}
	return &handle{db: db, conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

// connectWriter opens a connection in place of one that broke.
func (f file) connectWriter(ctx context.Context) (*handle, error) {
	h, err := f.connect(ctx, false)
	if err != nil {
		return nil, err
	}
	if err := current(ctx, h); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// setUp turns the write-ahead log on and migrates.
func (f file) setUp(ctx context.Context, h *handle, log *slog.Logger) error {
	if _, err := schemaVersion(ctx, h); err != nil {
		return err
	}
	if !f.memory() {
		if err := f.enableWAL(ctx, h); err != nil {
			return err
		}
	}
	return migrate(ctx, h, log)
}

// enableWAL changes the journal mode, which is kept in the file. SQLite does not
// wait for others here as it does elsewhere, so a second process that starts at
// the same moment is waited for.
func (f file) enableWAL(ctx context.Context, h *handle) error {
	deadline := time.Now().Add(f.busy)
	for {
		var mode string
		err := h.row(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		if err == nil && mode != "wal" {
			return fmt.Errorf("write-ahead log refused: journal mode is %s", mode)
		}
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return classify(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// syncDir makes the new file's name durable.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
