package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
)

// The bits of roster_items.flags.
const (
	flagSubscription = 3
	flagAsk          = 4
	flagPendingIn    = 8
	flagApproved     = 16
)

// base is the version of a roster never changed. Account numbers are not used
// twice, so a deleted account's versions lie before those of its successor, for
// whose history they are too old.
const base = `(a.id << 20)`

// Roster implements [roster.Store].
func (s *Store) Roster(ctx context.Context, owner jid.JID) (roster.Roster, error) {
	var r roster.Roster
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		// One statement, so that version and items belong together.
		return h.query(ctx, func(rows *sql.Rows) error {
			var it itemRow
			if err := it.scan(rows, &r.Ver); err != nil || it.addr == "" {
				return err
			}
			item, err := it.item()
			r.Items = append(r.Items, item)
			return err
		}, `SELECT coalesce(v.ver, `+base+`), coalesce(i.jid, ''), coalesce(i.ver, 0), coalesce(i.flags, 0),
			coalesce(i.name, ''), coalesce(i."groups", ''), i.request
			FROM accounts a LEFT JOIN rosters v ON v.account = a.id LEFT JOIN roster_items i ON i.account = a.id
			WHERE a.domain = ? AND a.local = ? ORDER BY i.jid`, owner.Domain(), owner.Local())
	})
	if err != nil {
		return roster.Roster{}, fmt.Errorf("roster of %s: %w", owner, err)
	}
	return r, nil
}

// Save implements [roster.Store].
func (s *Store) Save(ctx context.Context, owner jid.JID, ver uint64, put []roster.Item, del []jid.JID) (uint64, error) {
	groups := make([]string, len(put))
	for i, it := range put {
		g, err := encodeList(it.Groups)
		if err != nil {
			return 0, fmt.Errorf("save roster of %s: %w", owner, err)
		}
		groups[i] = g
	}
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		var now int64
		account, err := rosterState(ctx, h, owner, &now)
		if err != nil {
			return err
		}
		if uint64(now) != ver {
			return roster.ErrConflict
		}
		next := now + 1
		if err := removeItems(ctx, h, account, next, del); err != nil {
			return err
		}
		for i, it := range put {
			if err := putItem(ctx, h, account, next, it, groups[i]); err != nil {
				return err
			}
		}
		if _, err := h.exec(ctx, `INSERT INTO rosters (account, ver, floor) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET ver = excluded.ver`, account, next, now); err != nil {
			return err
		}
		if len(del) == 0 {
			return nil
		}
		return forget(ctx, h, account, s.cfg.Tombstones)
	})
	if err != nil {
		return 0, fmt.Errorf("save roster of %s: %w", owner, err)
	}
	return ver + 1, nil
}

// rosterState returns the account's number and its roster's version.
func rosterState(ctx context.Context, h *handle, owner jid.JID, ver *int64) (account int64, err error) {
	err = h.row(ctx, `SELECT a.id, coalesce(v.ver, `+base+`) FROM accounts a LEFT JOIN rosters v ON v.account = a.id
		WHERE a.domain = ? AND a.local = ?`, owner.Domain(), owner.Local()).Scan(&account, ver)
	if errors.Is(err, sql.ErrNoRows) {
		err = roster.ErrNotFound
	}
	return account, err
}

func removeItems(ctx context.Context, h *handle, account, ver int64, del []jid.JID) error {
	for _, j := range del {
		n, err := h.exec(ctx, `DELETE FROM roster_items WHERE account = ? AND jid = ?`, account, j.String())
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if _, err := h.exec(ctx, `INSERT INTO roster_removed (account, jid, ver) VALUES (?, ?, ?)`,
			account, j.String(), ver); err != nil {
			return err
		}
	}
	return nil
}

func putItem(ctx context.Context, h *handle, account, ver int64, it roster.Item, groups string) error {
	var request any
	if len(it.Request) > 0 {
		request = it.Request
	}
	if _, err := h.exec(ctx, `INSERT INTO roster_items (account, jid, ver, flags, name, "groups", request)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ver = excluded.ver, flags = excluded.flags,
		name = excluded.name, "groups" = excluded."groups", request = excluded.request`,
		account, it.JID.String(), ver, flags(it), it.Name, groups, request); err != nil {
		return err
	}
	_, err := h.exec(ctx, `DELETE FROM roster_removed WHERE account = ? AND jid = ?`, account, it.JID.String())
	return err
}

// forget bounds the history: all but the last keep removals go, and the history
// then reaches back only to the newest version forgotten.
func forget(ctx context.Context, h *handle, account int64, keep int) error {
	var cut int64
	err := h.row(ctx, `SELECT ver FROM roster_removed WHERE account = ? ORDER BY ver DESC LIMIT 1 OFFSET ?`,
		account, keep).Scan(&cut)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := h.exec(ctx, `DELETE FROM roster_removed WHERE account = ? AND ver <= ?`, account, cut); err != nil {
		return err
	}
	_, err = h.exec(ctx, `UPDATE rosters SET floor = max(floor, ?) WHERE account = ?`, cut, account)
	return err
}

// Since implements [roster.Store].
func (s *Store) Since(ctx context.Context, owner jid.JID, ver uint64) (changed []roster.Item, removed []jid.JID, now uint64, ok bool, err error) {
	err = s.view(ctx, func(ctx context.Context, h *handle) error {
		var account int64
		var floor uint64
		err := h.row(ctx, `SELECT a.id, coalesce(v.ver, `+base+`), coalesce(v.floor, `+base+`)
			FROM accounts a LEFT JOIN rosters v ON v.account = a.id WHERE a.domain = ? AND a.local = ?`,
			owner.Domain(), owner.Local()).Scan(&account, &now, &floor)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil || ver < floor || ver > now {
			return err
		}
		ok = true
		if changed, err = changedSince(ctx, h, account, ver); err != nil {
			return err
		}
		removed, err = removedSince(ctx, h, account, ver)
		return err
	})
	if err != nil {
		return nil, nil, 0, false, fmt.Errorf("roster changes of %s: %w", owner, err)
	}
	return changed, removed, now, ok, nil
}

func changedSince(ctx context.Context, h *handle, account int64, ver uint64) (items []roster.Item, err error) {
	err = h.query(ctx, func(rows *sql.Rows) error {
		var it itemRow
		if err := it.scan(rows, new(uint64)); err != nil {
			return err
		}
		item, err := it.item()
		items = append(items, item)
		return err
	}, `SELECT 0, jid, ver, flags, name, "groups", request FROM roster_items WHERE account = ? AND ver > ? ORDER BY jid`,
		account, int64(ver))
	return items, err
}

func removedSince(ctx context.Context, h *handle, account int64, ver uint64) (gone []jid.JID, err error) {
	err = h.query(ctx, func(rows *sql.Rows) error {
		var addr string
		if err := rows.Scan(&addr); err != nil {
			return err
		}
		j, err := jid.Parse(addr)
		gone = append(gone, j)
		return err
	}, `SELECT jid FROM roster_removed WHERE account = ? AND ver > ? ORDER BY jid`, account, int64(ver))
	return gone, err
}

// itemRow is a contact as it is stored.
type itemRow struct {
	addr, name, groups string
	ver                uint64
	flags              int64
	request            []byte
}

func (r *itemRow) scan(rows *sql.Rows, rosterVer *uint64) error {
	return rows.Scan(rosterVer, &r.addr, &r.ver, &r.flags, &r.name, &r.groups, &r.request)
}

func (r *itemRow) item() (roster.Item, error) {
	j, err := jid.Parse(r.addr)
	if err != nil {
		return roster.Item{}, err
	}
	groups, err := decodeList(r.groups)
	return roster.Item{
		JID: j, Name: r.name, Groups: groups, Ver: r.ver, Request: r.request,
		Subscription: roster.Subscription(r.flags & flagSubscription),
		Ask:          r.flags&flagAsk != 0,
		PendingIn:    r.flags&flagPendingIn != 0,
		Approved:     r.flags&flagApproved != 0,
	}, err
}

func flags(it roster.Item) int64 {
	f := int64(it.Subscription & flagSubscription)
	if it.Ask {
		f |= flagAsk
	}
	if it.PendingIn {
		f |= flagPendingIn
	}
	if it.Approved {
		f |= flagApproved
	}
	return f
}
