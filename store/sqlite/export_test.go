package sqlite

import (
	"context"
	"log/slog"
)

// Write runs statements in one write transaction.
func (s *Store) Write(ctx context.Context, statements ...string) error {
	return s.write(ctx, func(ctx context.Context, h *handle) error {
		for _, q := range statements {
			if _, err := h.exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// Hold occupies the writer until release is closed, and reports on begun that
// it does.
func (s *Store) Hold(ctx context.Context, begun chan<- struct{}, release <-chan struct{}) error {
	return s.write(ctx, func(context.Context, *handle) error {
		close(begun)
		<-release
		return nil
	})
}

// Queued returns how many writes wait for the next transaction.
func (s *Store) Queued() int { return len(s.writes.queue) }

// Int reads one number.
func (s *Store) Int(ctx context.Context, query string) (n int, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error { return h.row(ctx, query).Scan(&n) })
	return n, err
}

// WriterInt reads one number on the writer's connection.
func (s *Store) WriterInt(ctx context.Context, query string) (n int, err error) {
	err = s.write(ctx, func(ctx context.Context, h *handle) error { return h.row(ctx, query).Scan(&n) })
	return n, err
}

// Migrate brings the file to the version of the last of scripts.
func Migrate(ctx context.Context, path string, all []string) (err error) {
	f := file{path: path, busy: 1e9}
	h, err := f.connect(ctx, false)
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	return migrateTo(ctx, h, slog.New(slog.DiscardHandler), all)
}

// Scripts returns the migrations.
var Scripts = scripts
