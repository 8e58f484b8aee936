package sqlite

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// code returns SQLite's primary result code, 0 if err is none of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func isBusy(err error) bool { return code(err) == lib.SQLITE_BUSY }

// isFull reports that a write needs more space than there is, so that a smaller
// one may yet fit.
func isFull(err error) bool { return code(err) == lib.SQLITE_FULL }

// isBroken reports that the connection is not to be trusted any more.
func isBroken(err error) bool {
	switch code(err) {
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT, lib.SQLITE_CANTOPEN, lib.SQLITE_NOTADB,
		lib.SQLITE_PROTOCOL, lib.SQLITE_NOMEM, lib.SQLITE_READONLY, lib.SQLITE_MISUSE:
		return true
	}
	return errors.Is(err, errLost) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// machine returns err if it is the machine's fault.
func machine(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrForeign) {
		return err
	}
	return nil
}

// classify wraps what is the machine's fault in ErrUnavailable and a file that
// is no database in ErrForeign.
func classify(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrForeign):
		return err
	case code(err) == lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case isBroken(err) || isFull(err) || isBusy(err) || code(err) == lib.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
