package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

// progressStep is how many accounts lie between two reports of progress.
const progressStep = 250

// keys is auth.Keys as it is stored; the names must stay.
type keys struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored"`
	ServerKey  []byte `json:"server"`
}

const accountColumns = `domain, local, keys, name, email, "groups", disabled, created, changed`

// Account implements [auth.Store].
func (s *Store) Account(ctx context.Context, bare jid.JID) (auth.Account, error) {
	var a auth.Account
	err := s.read(ctx, func(ctx context.Context, h *handle) (err error) {
		a, err = scanAccount(h.row(ctx, `SELECT `+accountColumns+` FROM accounts WHERE domain = ? AND local = ?`,
			bare.Domain(), bare.Local()))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = auth.ErrNotFound
	}
	if err != nil {
		return auth.Account{}, fmt.Errorf("account %s: %w", bare, err)
	}
	return a, nil
}

// CreateAccounts implements [auth.Store].
func (s *Store) CreateAccounts(ctx context.Context, accounts []auth.Account, progress func(done int)) error {
	rows := make([][]any, len(accounts))
	for i, a := range accounts {
		r, err := accountRow(a)
		if err != nil {
			return fmt.Errorf("create account %s: %w", a.JID, err)
		}
		rows[i] = r
	}
	step := make(chan int, 1) // the latest count not reported yet
	insert := func(ctx context.Context, h *handle) error { return insertAccounts(ctx, h, accounts, rows, step) }
	if progress == nil {
		return s.write(ctx, insert)
	}
	o, err := s.writes.enqueue(ctx, insert)
	if err != nil {
		return err
	}
	for {
		select {
		case n := <-step:
			progress(n)
			continue
		case <-o.done:
		case <-ctx.Done():
		case <-s.writes.stopped:
		}
		if err := s.writes.wait(ctx, o); err != nil {
			return err
		}
		progress(len(accounts))
		return nil
	}
}

// insertAccounts leaves the number done in step now and then, if there is room.
func insertAccounts(ctx context.Context, h *handle, accounts []auth.Account, rows [][]any, step chan<- int) error {
	for i, r := range rows {
		n, err := h.exec(ctx, `INSERT INTO accounts (`+accountColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, r...)
		if err == nil && n == 0 {
			err = auth.ErrExists
		}
		if err != nil {
			return fmt.Errorf("create account %s: %w", accounts[i].JID, err)
		}
		if done := i + 1; done%progressStep == 0 {
			select {
			case step <- done:
			default: // the caller is slow; it gets the next one
			}
		}
	}
	return nil
}

// UpdateAccount implements [auth.Store].
func (s *Store) UpdateAccount(ctx context.Context, a auth.Account) error {
	r, err := accountRow(a)
	if err != nil {
		return fmt.Errorf("update account %s: %w", a.JID, err)
	}
	return s.changeAccount(ctx, "update", a.JID, `UPDATE accounts SET keys = ?3, name = ?4, email = ?5, "groups" = ?6,
		disabled = ?7, changed = ?8 WHERE domain = ?1 AND local = ?2`, append(r[:7], r[8])...)
}

// DeleteAccount implements [auth.Store].
func (s *Store) DeleteAccount(ctx context.Context, bare jid.JID) error {
	return s.changeAccount(ctx, "delete", bare, `DELETE FROM accounts WHERE domain = ? AND local = ?`,
		bare.Domain(), bare.Local())
}

func (s *Store) changeAccount(ctx context.Context, act string, bare jid.JID, query string, args ...any) error {
	err := s.write(ctx, func(ctx context.Context, h *handle) error {
		n, err := h.exec(ctx, query, args...)
		if err == nil && n == 0 {
			err = auth.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s account %s: %w", act, bare, err)
	}
	return nil
}

// ListAccounts implements [auth.Store].
func (s *Store) ListAccounts(ctx context.Context, domain, after string, max int) ([]auth.Account, error) {
	var all []auth.Account
	err := s.read(ctx, func(ctx context.Context, h *handle) error {
		return h.query(ctx, func(rows *sql.Rows) error {
			a, err := scanAccount(rows)
			all = append(all, a)
			return err
		}, `SELECT `+accountColumns+` FROM accounts WHERE domain = ? AND local > ? ORDER BY local LIMIT ?`,
			domain, after, atLeastZero(max))
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts of %s: %w", domain, err)
	}
	return all, nil
}

// accountRow returns the values of accountColumns.
func accountRow(a auth.Account) ([]any, error) {
	if a.JID.Local() == "" || !a.JID.IsBare() {
		return nil, errors.New("not a bare address of a user")
	}
	k := make(map[string]keys, len(a.Keys))
	for mech, v := range a.Keys {
		k[mech] = keys(v)
	}
	encoded, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	groups, err := encodeList(a.Groups)
	if err != nil {
		return nil, err
	}
	return []any{
		a.JID.Domain(), a.JID.Local(), string(encoded), a.Name, a.Email, groups, a.Disabled,
		encodeTime(a.Created), encodeTime(a.Changed),
	}, nil
}

func scanAccount(r interface{ Scan(...any) error }) (auth.Account, error) {
	var (
		a                     auth.Account
		domain, local, groups string
		encoded               []byte
		created, changed      int64
		k                     map[string]keys
	)
	err := r.Scan(&domain, &local, &encoded, &a.Name, &a.Email, &groups, &a.Disabled, &created, &changed)
	if err != nil {
		return a, err
	}
	if a.JID, err = jid.New(local, domain, ""); err != nil {
		return a, err
	}
	if err := json.Unmarshal(encoded, &k); err != nil {
		return a, fmt.Errorf("decode keys: %w", err)
	}
	if len(k) > 0 {
		a.Keys = make(map[string]auth.Keys, len(k))
		for mech, v := range k {
			a.Keys[mech] = auth.Keys(v)
		}
	}
	a.Groups, err = decodeList(groups)
	a.Created, a.Changed = decodeTime(created), decodeTime(changed)
	return a, err
}

// encodeList returns a JSON array, or nothing for none.
func encodeList(l []string) (string, error) {
	if len(l) == 0 {
		return "", nil
	}
	b, err := json.Marshal(l)
	return string(b), err
}

func decodeList(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if !strings.Contains(s, `\`) && strings.HasPrefix(s, `["`) && strings.HasSuffix(s, `"]`) {
		// Nothing is escaped, so quotes stand between elements only. Rosters
		// have a list for each contact, and decoding JSON would be dearest there.
		return strings.Split(s[2:len(s)-2], `","`), nil
	}
	var l []string
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return nil, fmt.Errorf("decode list: %w", err)
	}
	return l, nil
}

// encodeTime keeps microseconds; the zero time survives.
func encodeTime(t time.Time) int64 { return t.UnixMicro() }

func decodeTime(us int64) time.Time { return time.UnixMicro(us).UTC() }

// atLeastZero keeps a negative limit from meaning "all" to SQLite.
func atLeastZero(n int) int { return max(n, 0) }
