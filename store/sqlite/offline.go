package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/xmpp/jid"
)

// Append implements [offline.Store].
func (s *Store) Append(ctx context.Context, owner jid.JID, limit int, m offline.Message) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		var account, kept int64
		err := h.row(ctx, `SELECT a.id, (SELECT count(*) FROM offline o WHERE o.account = a.id)
			FROM accounts a WHERE a.domain = ? AND a.local = ?`, owner.Domain(), owner.Local()).Scan(&account, &kept)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return offline.ErrNotFound
		case err != nil:
			return err
		}
		known, err := knownOrigin(ctx, h, account, m.Origin)
		if known || err != nil {
			return err
		}
		if kept >= int64(limit) {
			return offline.ErrFull
		}
		if err := noteOrigin(ctx, h, account, m.Origin); err != nil {
			return err
		}
		_, err = h.exec(ctx, `INSERT INTO offline (account, stamp, xml) VALUES (?, ?, ?)`,
			account, encodeTime(m.Stamp), blob(m.XML))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep message for %s: %w", owner, err)
	}
	return nil
}

// knownOrigin reports whether a message is kept already, or was.
func knownOrigin(ctx context.Context, h *handle, account int64, o offline.Origin) (known bool, err error) {
	if o == (offline.Origin{}) {
		return false, nil
	}
	err = h.row(ctx, `SELECT request > ?1 OR request = ?1 AND place >= ?2 FROM offline_origins
		WHERE account = ?3 AND sender = ?4`, int64(o.Request), int64(o.Place), account, o.Sender).Scan(&known) //nolint:gosec // below 2^53
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return known, err
}

func noteOrigin(ctx context.Context, h *handle, account int64, o offline.Origin) error {
	if o == (offline.Origin{}) {
		return nil
	}
	now := time.Now()
	_, err := h.exec(ctx, `INSERT OR REPLACE INTO offline_origins (account, sender, request, place, at) VALUES (?, ?, ?, ?, ?)`,
		account, o.Sender, int64(o.Request), int64(o.Place), encodeTime(now)) //nolint:gosec // below 2^53
	if err == nil {
		_, err = h.exec(ctx, `DELETE FROM offline_origins WHERE account = ? AND at < ?`, account, encodeTime(now.Add(-offline.OriginLife)))
	}
	return err
}

// Messages implements [offline.Store].
func (s *Store) Messages(ctx context.Context, owner jid.JID, max int) ([]offline.Message, error) {
	var all []offline.Message
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.query(ctx, func(rows *sql.Rows) error {
			var m offline.Message
			var stamp int64
			err := rows.Scan(&m.ID, &stamp, &m.XML)
			m.Stamp = decodeTime(stamp)
			all = append(all, m)
			return err
		}, `SELECT o.id, o.stamp, o.xml FROM offline o JOIN accounts a ON a.id = o.account
			WHERE a.domain = ? AND a.local = ? ORDER BY o.id LIMIT ?`, owner.Domain(), owner.Local(), atLeastZero(max))
	})
	if err != nil {
		return nil, fmt.Errorf("messages of %s: %w", owner, err)
	}
	return all, nil
}

// Remove implements [offline.Store].
func (s *Store) Remove(ctx context.Context, owner jid.JID, upto int64) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		_, err := h.exec(ctx, `DELETE FROM offline WHERE id <= ? AND account =
			(SELECT id FROM accounts WHERE domain = ? AND local = ?)`, upto, owner.Domain(), owner.Local())
		return err
	})
	if err != nil {
		return fmt.Errorf("remove messages of %s: %w", owner, err)
	}
	return nil
}

// Count implements [offline.Store].
func (s *Store) Count(ctx context.Context, owner jid.JID) (int, error) {
	var n int
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.row(ctx, `SELECT count(*) FROM offline o JOIN accounts a ON a.id = o.account
			WHERE a.domain = ? AND a.local = ?`, owner.Domain(), owner.Local()).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count messages of %s: %w", owner, err)
	}
	return n, nil
}

// blob makes an empty value of none, which NOT NULL would refuse.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
