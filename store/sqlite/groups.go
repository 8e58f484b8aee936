package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/deskline/deskline/people"
)

var _ people.Store = (*Store)(nil)

// GroupRecords implements [people.Store].
func (s *Store) GroupRecords(ctx context.Context) (list []people.Record, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		list = nil
		return h.query(ctx, func(rows *sql.Rows) error {
			var r people.Record
			err := rows.Scan(&r.Name, &r.Domain, &r.Authorised)
			list = append(list, r)
			return err
		}, `SELECT name, domain, authorised FROM chat_groups ORDER BY key`)
	})
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return list, nil
}

// SaveGroupRecord implements [people.Store].
func (s *Store) SaveGroupRecord(ctx context.Context, r people.Record) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		_, err := h.exec(ctx, `INSERT INTO chat_groups (key, name, domain, authorised) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET name = excluded.name, domain = excluded.domain, authorised = excluded.authorised`,
			r.Key(), r.Name, r.Domain, r.Authorised)
		return err
	})
	if err != nil {
		return fmt.Errorf("save group %q: %w", r.Name, err)
	}
	return nil
}

// DeleteGroupRecord implements [people.Store].
func (s *Store) DeleteGroupRecord(ctx context.Context, r people.Record) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		n, err := h.exec(ctx, `DELETE FROM chat_groups WHERE key = ?`, r.Key())
		if err == nil && n == 0 {
			err = people.ErrNoGroup
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete group %q: %w", r.Name, err)
	}
	return nil
}
