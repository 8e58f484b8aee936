package sqlite

import (
	"context"
	"fmt"
)

// Snapshot is one session written down; the store does not look into Data. It
// is an alias so that other stores and their users can name the same type
// without importing this package.
type Snapshot = struct {
	SID  string
	Kind string // the door that wrote it, such as "bosh"
	Data []byte
}

// SaveSessions writes sessions down at a graceful stop, all or none. One that is
// there already is replaced.
func (s *Store) SaveSessions(ctx context.Context, sessions []Snapshot) error {
	if len(sessions) == 0 {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		for _, x := range sessions {
			if _, err := h.exec(ctx, `INSERT INTO sessions (sid, kind, data) VALUES (?, ?, ?)
				ON CONFLICT DO UPDATE SET kind = excluded.kind, data = excluded.data`, x.SID, x.Kind, blob(x.Data)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save %d sessions: %w", len(sessions), err)
	}
	return nil
}

// TakeSessions returns the sessions written down, in the order they were, and
// removes them in the same transaction: nobody gets one twice.
func (s *Store) TakeSessions(ctx context.Context) ([]Snapshot, error) {
	var all []Snapshot
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		var err error
		all, err = readSessions(ctx, h)
		if err != nil || len(all) == 0 {
			return err
		}
		_, err = h.exec(ctx, `DELETE FROM sessions`)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take sessions: %w", err)
	}
	return all, nil
}

// Meta returns one of the server's own values, nil if it was never set.
func (s *Store) Meta(ctx context.Context, key string) ([]byte, error) {
	v, err := s.value(ctx, `SELECT value FROM meta WHERE key = ?`, key)
	if err != nil {
		return nil, fmt.Errorf("meta %s: %w", key, err)
	}
	return v, nil
}

// SetMeta replaces one of the server's own values.
func (s *Store) SetMeta(ctx context.Context, key string, value []byte) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		_, err := h.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET value = excluded.value`, key, blob(value))
		return err
	})
	if err != nil {
		return fmt.Errorf("set meta %s: %w", key, err)
	}
	return nil
}

// InitMeta sets one of the server's own values unless it is set, and returns
// what is there then.
func (s *Store) InitMeta(ctx context.Context, key string, value []byte) ([]byte, error) {
	var v []byte
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		if _, err := h.exec(ctx, `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING`, key, blob(value)); err != nil {
			return err
		}
		return h.row(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&v)
	})
	if err != nil {
		return nil, fmt.Errorf("init meta %s: %w", key, err)
	}
	return v, nil
}
