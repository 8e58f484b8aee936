package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/info"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

// Private implements [private.Store].
func (s *Store) Private(ctx context.Context, owner jid.JID, space, local string) ([]byte, error) {
	xml, err := s.value(ctx, `SELECT p.xml FROM private p JOIN accounts a ON a.id = p.account
		WHERE a.domain = ? AND a.local = ? AND p.space = ? AND p.local = ?`, owner.Domain(), owner.Local(), space, local)
	if err != nil {
		return nil, fmt.Errorf("private XML of %s: %w", owner, err)
	}
	return xml, nil
}

// SetPrivate implements [private.Store].
func (s *Store) SetPrivate(ctx context.Context, owner jid.JID, limit int, elements ...private.Element) error {
	err := s.writeOwned(ctx, owner, private.ErrNotFound, func(ctx context.Context, h *handle, account int64) error {
		const count = `SELECT count(*) FROM private WHERE account = ?`
		var before, after int
		if err := h.row(ctx, count, account).Scan(&before); err != nil {
			return err
		}
		for _, e := range elements {
			if err := setPrivate(ctx, h, account, e); err != nil {
				return err
			}
		}
		if err := h.row(ctx, count, account).Scan(&after); err != nil {
			return err
		}
		if after > limit && after > before {
			return private.ErrFull
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set private XML of %s: %w", owner, err)
	}
	return nil
}

func setPrivate(ctx context.Context, h *handle, account int64, e private.Element) error {
	if len(e.XML) == 0 {
		_, err := h.exec(ctx, `DELETE FROM private WHERE account = ? AND space = ? AND local = ?`, account, e.Space, e.Local)
		return err
	}
	_, err := h.exec(ctx, `INSERT INTO private (account, space, local, xml) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET xml = excluded.xml`, account, e.Space, e.Local, e.XML)
	return err
}

// VCard implements [vcard.Store].
func (s *Store) VCard(ctx context.Context, owner jid.JID) ([]byte, error) {
	xml, err := s.value(ctx, `SELECT v.xml FROM vcards v JOIN accounts a ON a.id = v.account
		WHERE a.domain = ? AND a.local = ?`, owner.Domain(), owner.Local())
	if err != nil {
		return nil, fmt.Errorf("vCard of %s: %w", owner, err)
	}
	return xml, nil
}

// SetVCard implements [vcard.Store].
func (s *Store) SetVCard(ctx context.Context, owner jid.JID, xml []byte) error {
	err := s.writeOwned(ctx, owner, vcard.ErrNotFound, func(ctx context.Context, h *handle, account int64) error {
		if len(xml) == 0 {
			_, err := h.exec(ctx, `DELETE FROM vcards WHERE account = ?`, account)
			return err
		}
		_, err := h.exec(ctx, `INSERT INTO vcards (account, xml) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET xml = excluded.xml`, account, xml)
		return err
	})
	if err != nil {
		return fmt.Errorf("set vCard of %s: %w", owner, err)
	}
	return nil
}

// LastSeen implements [info.Store].
func (s *Store) LastSeen(ctx context.Context, owner jid.JID) (time.Time, string, bool, error) {
	var at int64
	var status string
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.row(ctx, `SELECT l.at, l.status FROM last_seen l JOIN accounts a ON a.id = l.account
			WHERE a.domain = ? AND a.local = ?`, owner.Domain(), owner.Local()).Scan(&at, &status)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, "", false, nil
	}
	if err != nil {
		return time.Time{}, "", false, fmt.Errorf("last activity of %s: %w", owner, err)
	}
	return decodeTime(at), status, true, nil
}

// SetLastSeen implements [info.Store].
func (s *Store) SetLastSeen(ctx context.Context, owner jid.JID, t time.Time, status string) error {
	err := s.writeOwned(ctx, owner, info.ErrNotFound, func(ctx context.Context, h *handle, account int64) error {
		_, err := h.exec(ctx, `INSERT INTO last_seen (account, at, status) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET at = excluded.at, status = excluded.status`, account, encodeTime(t), status)
		return err
	})
	if err != nil {
		return fmt.Errorf("set last activity of %s: %w", owner, err)
	}
	return nil
}

// value reads one blob, nil if there is none.
func (s *Store) value(ctx context.Context, query string, args ...any) ([]byte, error) {
	var v []byte
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.row(ctx, query, args...).Scan(&v)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, err
}

// writeOwned writes something that belongs to an account; missing is the error
// if there is none.
func (s *Store) writeOwned(ctx context.Context, owner jid.JID, missing error, fn func(context.Context, *handle, int64) error) error {
	return s.write(ctx, func(ctx context.Context, h *handle) error {
		var account int64
		err := h.row(ctx, `SELECT id FROM accounts WHERE domain = ? AND local = ?`, owner.Domain(), owner.Local()).Scan(&account)
		if errors.Is(err, sql.ErrNoRows) {
			return missing
		}
		if err != nil {
			return err
		}
		return fn(ctx, h, account)
	})
}
