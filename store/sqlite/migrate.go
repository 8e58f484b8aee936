package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// migrations are named NNNN_what.sql without gaps; number N brings a store of
// version N-1 to version N.
//
//go:embed migrations/*.sql
var migrations embed.FS

// scripts returns the migrations in order.
func scripts() ([]string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var all []string
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", e.Name(), i+1)
		}
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// schemaVersion returns the version of the store, 0 for an empty file; ErrNewer
// or ErrForeign if it is none that this program may write.
func schemaVersion(ctx context.Context, h *handle) (int, error) {
	all, err := scripts()
	if err != nil {
		return 0, err
	}
	return versionUpTo(ctx, h, len(all))
}

func versionUpTo(ctx context.Context, h *handle, known int) (int, error) {
	var id, version, objects int
	// One statement, so that another process's first migration is seen whole.
	err := h.row(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &objects)
	switch {
	case err != nil:
		return 0, classify(err)
	case id == 0 && version == 0 && objects == 0:
		return 0, nil
	case id != applicationID:
		return 0, fmt.Errorf("%w: application id %#x", ErrForeign, id)
	case version > known:
		return 0, fmt.Errorf("%w: its version is %d, this program knows up to %d", ErrNewer, version, known)
	}
	return version, nil
}

// current makes sure that the file still has the version this program migrated
// it to: it may have been replaced while no connection was open.
func current(ctx context.Context, h *handle) error {
	version, err := schemaVersion(ctx, h)
	if err != nil {
		return err
	}
	all, err := scripts()
	if err != nil {
		return err
	}
	if version != len(all) {
		return fmt.Errorf("%w: version of the file fell back to %d", ErrUnavailable, version)
	}
	return nil
}

// migrate brings the store up to date in one transaction: all or nothing.
func migrate(ctx context.Context, h *handle, log *slog.Logger) error {
	all, err := scripts()
	if err != nil {
		return err
	}
	return migrateTo(ctx, h, log, all)
}

func migrateTo(ctx context.Context, h *handle, log *slog.Logger, all []string) (err error) {
	if _, err := h.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return classify(err)
	}
	end := "ROLLBACK"
	defer func() {
		if _, e := h.exec(ctx, end); e != nil {
			err = classify(errors.Join(err, e))
		}
	}()
	from, err := versionUpTo(ctx, h, len(all)) // again: another process may have been here
	if err != nil || from >= len(all) {
		return err
	}
	for i, script := range all[from:] {
		if _, err := h.conn.ExecContext(ctx, script); err != nil {
			return fmt.Errorf("migrate to version %d: %w", from+i+1, classify(err))
		}
	}
	marks := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(all))
	if _, err := h.conn.ExecContext(ctx, marks); err != nil {
		return classify(err)
	}
	end = "COMMIT"
	log.Info("store migrated", "from", from, "to", len(all))
	return nil
}
