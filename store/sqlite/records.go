package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ store.Target = (*Store)(nil)

// Domains implements [store.Source].
func (s *Store) Domains(ctx context.Context) (all []string, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		all = nil
		return h.query(ctx, func(rows *sql.Rows) error {
			var d string
			err := rows.Scan(&d)
			all = append(all, d)
			return err
		}, `SELECT DISTINCT domain FROM accounts ORDER BY domain`)
	})
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	return all, nil
}

// CountAccounts implements [store.Source].
func (s *Store) CountAccounts(ctx context.Context) (n int, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.row(ctx, `SELECT count(*) FROM accounts`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count accounts: %w", err)
	}
	return n, nil
}

// Records implements [store.Source].
func (s *Store) Records(ctx context.Context, domain, after string, max int) (all []store.Record, err error) {
	err = s.view(ctx, func(ctx context.Context, h *handle) error {
		all = nil
		var ids []int64
		err := h.query(ctx, func(rows *sql.Rows) error {
			var id int64
			a, err := scanAccount(withID{rows, &id})
			ids, all = append(ids, id), append(all, store.Record{Account: a})
			return err
		}, `SELECT id, `+accountColumns+` FROM accounts WHERE domain = ? AND local > ? ORDER BY local LIMIT ?`,
			domain, after, atLeastZero(max))
		for i := range all {
			err = errors.Join(err, readRecord(ctx, h, ids[i], &all[i]))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read accounts of %s: %w", domain, err)
	}
	return all, nil
}

// withID scans an id before the rest of a row.
type withID struct {
	rows *sql.Rows
	id   *int64
}

func (w withID) Scan(dest ...any) error { return w.rows.Scan(append([]any{w.id}, dest...)...) }

// readRecord reads what an account owns.
func readRecord(ctx context.Context, h *handle, account int64, r *store.Record) error {
	var errs [6]error
	errs[0] = h.row(ctx, `SELECT coalesce(v.ver, `+base+`), coalesce(v.floor, `+base+`)
		FROM accounts a LEFT JOIN rosters v ON v.account = a.id WHERE a.id = ?`, account).Scan(&r.Roster.Ver, &r.Floor)
	r.Roster.Items, errs[1] = changedSince(ctx, h, account, 0)
	errs[2] = h.query(ctx, func(rows *sql.Rows) error {
		var addr string
		var x store.Removed
		if err := rows.Scan(&addr, &x.Ver); err != nil {
			return err
		}
		j, err := jid.Parse(addr)
		x.JID = j
		r.Removed = append(r.Removed, x)
		return err
	}, `SELECT jid, ver FROM roster_removed WHERE account = ? ORDER BY jid`, account)
	errs[3] = h.query(ctx, func(rows *sql.Rows) error {
		var m offline.Message
		var stamp int64
		err := rows.Scan(&m.ID, &stamp, &m.XML)
		m.Stamp = decodeTime(stamp)
		r.Messages = append(r.Messages, m)
		return err
	}, `SELECT id, stamp, xml FROM offline WHERE account = ? ORDER BY id`, account)
	errs[4] = h.query(ctx, func(rows *sql.Rows) error {
		var e private.Element
		err := rows.Scan(&e.Space, &e.Local, &e.XML)
		r.Private = append(r.Private, e)
		return err
	}, `SELECT space, local, xml FROM private WHERE account = ? ORDER BY space, local`, account)
	errs[5] = readCard(ctx, h, account, r)
	return errors.Join(errs[:]...)
}

func readCard(ctx context.Context, h *handle, account int64, r *store.Record) error {
	err := h.row(ctx, `SELECT xml FROM vcards WHERE account = ?`, account).Scan(&r.VCard)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var at int64
	err = h.row(ctx, `SELECT at, status FROM last_seen WHERE account = ?`, account).Scan(&at, &r.Status)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	r.Seen, r.LastSeen = err == nil, decodeTime(at)
	return err
}

// Restore implements [store.Target].
func (s *Store) Restore(ctx context.Context, records []store.Record) error {
	rows := make([][]any, len(records))
	for i, r := range records {
		row, err := accountRow(r.Account)
		if err != nil {
			return fmt.Errorf("restore account %s: %w", r.Account.JID, err)
		}
		rows[i] = row
	}
	return s.write(ctx, func(ctx context.Context, h *handle) error {
		for i := range records {
			if err := restore(ctx, h, rows[i], &records[i]); err != nil {
				return fmt.Errorf("restore account %s: %w", records[i].Account.JID, err)
			}
		}
		return nil
	})
}

func restore(ctx context.Context, h *handle, row []any, r *store.Record) error {
	bare := r.Account.JID
	if _, err := h.exec(ctx, `DELETE FROM accounts WHERE domain = ? AND local = ?`, bare.Domain(), bare.Local()); err != nil {
		return err
	}
	var last int64
	err := h.row(ctx, `SELECT seq FROM sqlite_sequence WHERE name = 'accounts'`).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	// Above the roster's versions, so that a successor's begin behind them.
	id := max(last, int64(r.Roster.Ver>>20)) + 1
	if _, err := h.exec(ctx, `INSERT INTO accounts (id, `+accountColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		append([]any{id}, row...)...); err != nil {
		return err
	}
	return errors.Join(restoreRoster(ctx, h, id, r), restoreOwned(ctx, h, id, r))
}

func restoreRoster(ctx context.Context, h *handle, account int64, r *store.Record) error {
	if _, err := h.exec(ctx, `INSERT INTO rosters (account, ver, floor) VALUES (?, ?, ?)`,
		account, int64(r.Roster.Ver), int64(r.Floor)); err != nil {
		return err
	}
	for _, it := range r.Roster.Items {
		groups, err := encodeList(it.Groups)
		if err == nil {
			err = putItem(ctx, h, account, int64(it.Ver), it, groups)
		}
		if err != nil {
			return err
		}
	}
	for _, x := range r.Removed {
		if _, err := h.exec(ctx, `INSERT INTO roster_removed (account, jid, ver) VALUES (?, ?, ?)`,
			account, x.JID.String(), int64(x.Ver)); err != nil {
			return err
		}
	}
	return nil
}

func restoreOwned(ctx context.Context, h *handle, account int64, r *store.Record) error {
	for _, m := range r.Messages {
		if _, err := h.exec(ctx, `INSERT INTO offline (account, stamp, xml) VALUES (?, ?, ?)`,
			account, encodeTime(m.Stamp), blob(m.XML)); err != nil {
			return err
		}
	}
	for _, e := range r.Private {
		if err := setPrivate(ctx, h, account, e); err != nil {
			return err
		}
	}
	if len(r.VCard) > 0 {
		if _, err := h.exec(ctx, `INSERT INTO vcards (account, xml) VALUES (?, ?)`, account, r.VCard); err != nil {
			return err
		}
	}
	if r.Seen {
		if _, err := h.exec(ctx, `INSERT INTO last_seen (account, at, status) VALUES (?, ?, ?)`,
			account, encodeTime(r.LastSeen), r.Status); err != nil {
			return err
		}
	}
	return nil
}

// Values implements [store.Source].
func (s *Store) Values(ctx context.Context) (all []store.Value, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		all = nil
		return h.query(ctx, func(rows *sql.Rows) error {
			var v store.Value
			err := rows.Scan(&v.Key, &v.Value)
			all = append(all, v)
			return err
		}, `SELECT key, value FROM meta ORDER BY key`)
	})
	if err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	return all, nil
}

// Sessions implements [store.Source].
func (s *Store) Sessions(ctx context.Context) (all []store.Snapshot, err error) {
	err = s.read(ctx, func(ctx context.Context, h *handle) error {
		all, err = readSessions(ctx, h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return all, nil
}

func readSessions(ctx context.Context, h *handle) (all []Snapshot, err error) {
	err = h.query(ctx, func(rows *sql.Rows) error {
		var x Snapshot
		err := rows.Scan(&x.SID, &x.Kind, &x.Data)
		all = append(all, x)
		return err
	}, `SELECT sid, kind, data FROM sessions ORDER BY rowid`)
	return all, err
}
