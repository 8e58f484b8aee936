package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

// scramKeys is auth.Keys as it is stored; the names must stay.
type scramKeys struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored"`
	ServerKey  []byte `json:"server"`
}

// Account implements [auth.Store].
func (s *Store) Account(ctx context.Context, bare jid.JID) (auth.Account, error) {
	a, err := s.account(ctx, bare)
	if err != nil {
		return auth.Account{}, fmt.Errorf("account %s: %w", bare, err)
	}
	return a.Account, nil
}

func (s *Store) account(ctx context.Context, bare jid.JID) (stored, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("HGETALL", s.keys.account(bare))}})
	if err != nil {
		return stored{}, err
	}
	a, err := decodeAccount(bare, answer)
	if err == nil && a.batch != "" {
		var there bool
		if there, err = s.there(ctx, bare, a.batch); err == nil && !there {
			err = auth.ErrNotFound
		}
	}
	return a, err
}

// UpdateAccount implements [auth.Store].
func (s *Store) UpdateAccount(ctx context.Context, a auth.Account) error {
	fields, err := accountFields(a)
	if err == nil {
		fields = fields[:len(fields)-2] // created stays
		_, err = s.owned(ctx, a.JID, auth.ErrNotFound, &call{cmds: []command{
			updateScript.on([]string{s.keys.account(a.JID)}, fields...),
		}})
	}
	if err != nil {
		return fmt.Errorf("update account %s: %w", a.JID, err)
	}
	return nil
}

// DeleteAccount implements [auth.Store].
func (s *Store) DeleteAccount(ctx context.Context, bare jid.JID) error {
	answer, err := s.owned(ctx, bare, auth.ErrNotFound, &call{once: true, cmds: []command{
		deleteScript.on(s.keys.all(bare)),
	}})
	if err != nil {
		return fmt.Errorf("delete account %s: %w", bare, err)
	}
	id := number(strings.TrimPrefix(text(answer), "OK:"))
	s.takeOut(ctx, []newAccount{{jid: bare, id: id}})
	return nil
}

// ListAccounts implements [auth.Store].
func (s *Store) ListAccounts(ctx context.Context, domain, after string, max int) ([]auth.Account, error) {
	list, err := s.list(ctx, domain, after, max)
	if err != nil {
		return nil, fmt.Errorf("list accounts of %s: %w", domain, err)
	}
	all := make([]auth.Account, len(list))
	for i, a := range list {
		all[i] = a.Account
	}
	return all, nil
}

// chunk is how many accounts are read or written in one go.
const chunk = 200

func (s *Store) list(ctx context.Context, domain, after string, max int) (all []stored, err error) {
	from := behind(after)
	for len(all) < max {
		n := min(chunk, max-len(all))
		answer, err := s.pipes.one(ctx, &call{cmds: []command{
			plain("ZRANGEBYLEX", s.keys.users(domain), from, "+", "LIMIT", 0, n),
		}})
		if err != nil {
			return nil, err
		}
		entries := texts(answer)
		if all, err = s.entered(ctx, domain, entries, all); err != nil {
			return nil, err
		}
		if len(entries) < n {
			break
		}
		from = "(" + entries[len(entries)-1]
	}
	return all, nil
}

// entered appends the accounts of entries; one without an account is left out,
// see the package's comment.
func (s *Store) entered(ctx context.Context, domain string, entries []string, all []stored) ([]stored, error) {
	if len(entries) == 0 {
		return all, nil
	}
	owners, ids := make([]jid.JID, len(entries)), make([]string, len(entries))
	read := &call{}
	for i, entry := range entries {
		local, id, _ := strings.Cut(entry, "\x00")
		j, err := jid.New(local, domain, "")
		if err != nil {
			return nil, err
		}
		owners[i], ids[i] = j, id
		read.cmds = append(read.cmds, plain("HGETALL", s.keys.account(j)))
	}
	answers, err := s.pipes.do(ctx, read)
	if err != nil {
		return nil, err
	}
	for i, answer := range answers {
		a, err := decodeAccount(owners[i], answer)
		if errors.Is(err, auth.ErrNotFound) || err == nil && strconv.FormatInt(a.id, 10) != ids[i] {
			continue
		}
		there := true
		if err == nil && a.batch != "" {
			there, err = s.there(ctx, owners[i], a.batch)
		}
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, a)
		}
	}
	return all, nil
}

// owned runs a script about an account; missing is the error if there is none.
func (s *Store) owned(ctx context.Context, owner jid.JID, missing error, c *call) (any, error) {
	const tries = 3 // the account may be deleted and imported again meanwhile
	for range tries {
		answer, err := s.pipes.one(ctx, &call{cmds: c.cmds, once: c.once, write: true})
		if err != nil {
			return nil, err
		}
		status, _ := answer.(string)
		token, batch := strings.CutPrefix(status, batchPrefix)
		if !batch {
			if status == "NONE" {
				return nil, missing
			}
			return answer, nil
		}
		if there, err := s.there(ctx, owner, token); err != nil || !there {
			return nil, errors.Join(err, missing)
		}
	}
	return nil, missing
}

// stored is an account and what the store itself knows of it.
type stored struct {
	auth.Account
	id    int64
	batch string
}

// accountFields are the fields of an account and their values, created last.
func accountFields(a auth.Account) ([]any, error) {
	if a.JID.Local() == "" || !a.JID.IsBare() {
		return nil, errors.New("not a bare address of a user")
	}
	k := make(map[string]scramKeys, len(a.Keys))
	for mech, v := range a.Keys {
		k[mech] = scramKeys(v)
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
		"keys", encoded, "name", a.Name, "email", a.Email, "groups", groups, "disabled", a.Disabled,
		"changed", encodeTime(a.Changed), "created", encodeTime(a.Created),
	}, nil
}

// decodeAccount reads the answer to HGETALL, ErrNotFound for an empty one.
func decodeAccount(bare jid.JID, answer any) (stored, error) {
	f := fields(answer)
	if len(f) == 0 {
		return stored{}, auth.ErrNotFound
	}
	a := stored{Account: auth.Account{
		JID: bare, Name: f["name"], Email: f["email"], Disabled: f["disabled"] == "1",
	}, batch: f["batch"]}
	var k map[string]scramKeys
	if err := json.Unmarshal([]byte(f["keys"]), &k); err != nil {
		return a, fmt.Errorf("decode keys: %w", err)
	}
	if len(k) > 0 {
		a.Keys = make(map[string]auth.Keys, len(k))
		for mech, v := range k {
			a.Keys[mech] = auth.Keys(v)
		}
	}
	var err [4]error
	a.Groups, err[0] = decodeList(f["groups"])
	a.Created, err[1] = decodeTime(f["created"])
	a.Changed, err[2] = decodeTime(f["changed"])
	a.id, err[3] = strconv.ParseInt(f["id"], 10, 64)
	return a, errors.Join(err[:]...)
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
	var l []string
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return nil, fmt.Errorf("decode list: %w", err)
	}
	return l, nil
}

// encodeTime keeps microseconds; the zero time survives.
func encodeTime(t time.Time) int64 { return t.UnixMicro() }

func decodeTime(s string) (time.Time, error) {
	us, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("decode time: %w", err)
	}
	return time.UnixMicro(us).UTC(), nil
}
