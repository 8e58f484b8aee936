package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ presence.Histories = (*Store)(nil)

// SaveChanges implements [presence.Histories].
func (s *Store) SaveChanges(ctx context.Context, changes []presence.Change, max int) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		accounts := map[jid.JID]int64{}
		for i := range changes {
			c := &changes[i]
			id, known := accounts[c.User]
			if !known {
				err := h.row(ctx, `SELECT id FROM accounts WHERE domain = ? AND local = ?`, c.User.Domain(), c.User.Local()).Scan(&id)
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				accounts[c.User] = id
			}
			if id == 0 {
				continue // nobody's
			}
			_, err := h.exec(ctx, `INSERT OR REPLACE INTO presence_changes (account, at, state, why) VALUES (?, ?, ?, ?)`,
				id, encodeTime(c.At), string(c.State), c.Why)
			if err != nil {
				return err
			}
		}
		for _, id := range accounts {
			_, err := h.exec(ctx, `DELETE FROM presence_changes WHERE account = ?1 AND at <=
				(SELECT at FROM presence_changes WHERE account = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)`, id, atLeastZero(max))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

// Changes implements [presence.Histories].
func (s *Store) Changes(ctx context.Context, user jid.JID, from, until time.Time, max int) (all []presence.Change, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		all = nil
		return h.query(ctx, func(rows *sql.Rows) error {
			c := presence.Change{User: user}
			var at int64
			err := rows.Scan(&at, &c.State, &c.Why)
			c.At = decodeTime(at)
			all = append(all, c)
			return err
		}, `WITH a AS (SELECT id FROM accounts WHERE domain = ?1 AND local = ?2)
			SELECT * FROM (SELECT at, state, why FROM presence_changes
				WHERE account = (SELECT id FROM a) AND at < ?3 ORDER BY at DESC LIMIT 1)
			UNION ALL
			SELECT * FROM (SELECT at, state, why FROM presence_changes
				WHERE account = (SELECT id FROM a) AND at >= ?3 AND at < ?4 ORDER BY at LIMIT ?5)
			ORDER BY at`, user.Domain(), user.Local(), encodeTime(from), encodeTime(until), atLeastZero(max))
	})
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", user, err)
	}
	return all, nil
}

// sweepStep is how many changes one write removes at most, so that others need not wait for long.
const sweepStep = 1000

// readStep is how many users are read at once.
const readStep = 200

// SweepChanges implements [presence.Histories].
func (s *Store) SweepChanges(ctx context.Context, before time.Time, last bool) error {
	const old = `SELECT account, at FROM presence_changes AS c WHERE at < ?1`
	query := `DELETE FROM presence_changes WHERE (account, at) IN (` + old + ` LIMIT ?2)`
	if !last {
		query = `DELETE FROM presence_changes WHERE (account, at) IN (` + old + ` AND EXISTS
			(SELECT 1 FROM presence_changes AS n WHERE n.account = c.account AND n.at > c.at AND n.at < ?1) LIMIT ?2)`
	}
	for {
		var n int64
		err := s.write(ctx, func(ctx context.Context, h *handle) (err error) {
			n, err = h.exec(ctx, query, encodeTime(before), sweepStep)
			return err
		})
		if err != nil {
			return fmt.Errorf("remove old history: %w", err)
		}
		if n < sweepStep {
			return nil
		}
	}
}

// LastChanges implements [presence.Histories].
func (s *Store) LastChanges(ctx context.Context, visit func([]presence.Change) error) error {
	for after, more := int64(0), true; more; {
		var some []presence.Change
		err := s.read(ctx, func(ctx context.Context, h *handle) error {
			some = nil
			return h.query(ctx, func(rows *sql.Rows) error {
				var local, domain string
				var c presence.Change
				var at int64
				err := rows.Scan(&after, &local, &domain, &at, &c.State, &c.Why)
				if err == nil {
					c.User, err = jid.New(local, domain, "")
				}
				c.At = decodeTime(at)
				some = append(some, c)
				return err
			}, `SELECT a.id, a.local, a.domain, c.at, c.state, c.why FROM accounts a JOIN presence_changes c
				ON c.account = a.id AND c.at = (SELECT max(at) FROM presence_changes WHERE account = a.id)
				WHERE a.id > ? ORDER BY a.id LIMIT ?`, after, readStep)
		})
		if err == nil && len(some) > 0 {
			err = visit(some)
		}
		if err != nil {
			return fmt.Errorf("last of history: %w", err)
		}
		more = len(some) == readStep
	}
	return nil
}
