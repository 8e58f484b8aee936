package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ store.Target = (*Store)(nil)

// Domains implements [store.Source].
func (s *Store) Domains(ctx context.Context) ([]string, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("SMEMBERS", s.keys.domains())}})
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	all := texts(answer)
	slices.Sort(all)
	return all, nil
}

// CountAccounts implements [store.Source]; entries without an account count too.
func (s *Store) CountAccounts(ctx context.Context) (int, error) {
	domains, err := s.Domains(ctx)
	if err != nil || len(domains) == 0 {
		return 0, err
	}
	c := &call{}
	for _, d := range domains {
		c.cmds = append(c.cmds, plain("ZCARD", s.keys.users(d)))
	}
	answers, err := s.pipes.do(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("count accounts: %w", err)
	}
	n := 0
	for _, a := range answers {
		n += int(number(a))
	}
	return n, nil
}

// Records implements [store.Source].
func (s *Store) Records(ctx context.Context, domain, after string, max int) ([]store.Record, error) {
	list, err := s.list(ctx, domain, after, max)
	if err != nil {
		return nil, fmt.Errorf("read accounts of %s: %w", domain, err)
	}
	all := make([]store.Record, len(list))
	for i, a := range list {
		// One account at a time: it may own megabytes.
		if all[i], err = s.record(ctx, a); err != nil {
			return nil, fmt.Errorf("read account %s: %w", a.JID, err)
		}
	}
	return all, nil
}

func (s *Store) record(ctx context.Context, a stored) (store.Record, error) {
	r := store.Record{Account: a.Account}
	answers, err := s.pipes.do(ctx, &call{cmds: []command{
		plain("HGETALL", s.keys.roster(a.JID)),
		plain("ZRANGE", s.keys.removed(a.JID), 0, -1, "WITHSCORES"),
		plain("XRANGE", s.keys.offline(a.JID), "-", "+"),
		plain("HGETALL", s.keys.private(a.JID)),
		plain("GET", s.keys.vcard(a.JID)),
		plain("GET", s.keys.seen(a.JID)),
	}})
	if err != nil {
		return r, err
	}
	list, _ := answers[0].([]any)
	if r.Roster, r.Floor, err = decodeRoster(list); err != nil {
		return r, err
	}
	if len(list) == 0 {
		r.Roster.Ver, r.Floor = uint64(base(a.id)), uint64(base(a.id))
	}
	var errs [4]error
	r.Removed, errs[0] = decodeRemoved(texts(answers[1]))
	r.Messages, errs[1] = decodeMessages(answers[2])
	r.Private, errs[2] = decodePrivate(fields(answers[3]))
	r.VCard = bytes(answers[4])
	r.LastSeen, r.Status, r.Seen, errs[3] = decodeSeen(text(answers[5]))
	return r, errors.Join(errs[:]...)
}

// decodeRemoved reads contacts and versions in turn.
func decodeRemoved(list []string) (all []store.Removed, err error) {
	for i := 0; i+1 < len(list); i += 2 {
		j, err := jid.Parse(list[i])
		if err != nil {
			return nil, err
		}
		ver, err := strconv.ParseFloat(list[i+1], 64) // as scores are written
		if err != nil {
			return nil, err
		}
		all = append(all, store.Removed{JID: j, Ver: uint64(ver)})
	}
	slices.SortFunc(all, func(a, b store.Removed) int { return cmp.Compare(a.JID.String(), b.JID.String()) })
	return all, nil
}

func decodePrivate(names map[string]string) (all []private.Element, err error) {
	for name, xml := range names {
		length, rest, _ := strings.Cut(name, ":")
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(rest) {
			return nil, fmt.Errorf("private XML named %q", name)
		}
		all = append(all, private.Element{Space: rest[:n], Local: rest[n:], XML: []byte(xml)})
	}
	slices.SortFunc(all, func(a, b private.Element) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Local, b.Local))
	})
	return all, nil
}

// Restore implements [store.Target].
func (s *Store) Restore(ctx context.Context, records []store.Record) error {
	if len(records) == 0 {
		return nil
	}
	made := make([]newAccount, len(records))
	above := int64(0)
	for i, r := range records {
		f, err := accountFields(r.Account)
		if err != nil {
			return fmt.Errorf("restore account %s: %w", r.Account.JID, err)
		}
		made[i] = newAccount{jid: r.Account.JID, fields: f}
		above = max(above, int64(r.Roster.Ver>>20)+1)
	}
	before, err := s.entriesOf(ctx, made)
	if err == nil {
		err = s.identify(ctx, made, above)
	}
	if err == nil {
		err = s.enter(ctx, made, "")
	}
	if err != nil {
		return fmt.Errorf("restore %d accounts: %w", len(records), err)
	}
	c, size := &call{write: true}, 0
	for i, r := range records {
		cmd, n, err := s.restoration(made[i], r)
		if err != nil {
			return fmt.Errorf("restore account %s: %w", r.Account.JID, err)
		}
		c.cmds, size = append(c.cmds, cmd), size+n
		if size < restoreSize && i < len(records)-1 {
			continue
		}
		if _, err := s.pipes.do(ctx, c); err != nil {
			return fmt.Errorf("restore accounts up to %s: %w", r.Account.JID, err)
		}
		c, size = &call{write: true}, 0
	}
	s.takeOut(ctx, before)
	return nil
}

// restoreSize is how many bytes of accounts go in one pipeline, or a little more.
const restoreSize = 1 << 20

// entriesOf returns those of accounts that are there before they are replaced.
func (s *Store) entriesOf(ctx context.Context, made []newAccount) (before []newAccount, err error) {
	c := &call{}
	for _, m := range made {
		c.cmds = append(c.cmds, plain("HGET", s.keys.account(m.jid), "id"))
	}
	answers, err := s.pipes.do(ctx, c)
	if err != nil {
		return nil, err
	}
	for i, answer := range answers {
		if answer != nil {
			before = append(before, newAccount{jid: made[i].jid, id: number(answer)})
		}
	}
	return before, nil
}

// restoration is the script's call for one account, and about how large it is.
func (s *Store) restoration(m newAccount, r store.Record) (cmd command, size int, err error) {
	var args []any
	add := func(values ...any) {
		args = append(append(args, len(values)), values...)
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				size += len(b)
			}
		}
		size += 16 * len(values)
	}
	add(m.fields...)
	contacts := []any{"", fmt.Sprint(r.Roster.Ver, " ", r.Floor)}
	for _, it := range r.Roster.Items {
		item, err := encodeItem(it)
		if err != nil {
			return command{}, 0, err
		}
		contacts = append(contacts, it.JID.String(), item)
	}
	add(contacts...)
	var removed, messages, elements, vcard, seen []any
	for _, x := range r.Removed {
		removed = append(removed, x.JID.String(), x.Ver)
	}
	for _, x := range r.Messages {
		messages = append(messages, encodeTime(x.Stamp), x.XML)
	}
	for _, e := range r.Private {
		elements = append(elements, privateName(e.Space, e.Local), e.XML)
	}
	if len(r.VCard) > 0 {
		vcard = append(vcard, r.VCard)
	}
	if r.Seen {
		seen = append(seen, encodeSeen(r.LastSeen, r.Status))
	}
	for _, list := range [][]any{removed, messages, elements, vcard, seen} {
		add(list...)
	}
	return restoreScript.on(s.keys.all(m.jid), args...), size, nil
}

// Values implements [store.Source].
func (s *Store) Values(ctx context.Context) ([]store.Value, error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("HGETALL", s.keys.meta())}})
	if err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	var all []store.Value
	for key, value := range fields(answer) {
		all = append(all, store.Value{Key: key, Value: []byte(value)})
	}
	slices.SortFunc(all, func(a, b store.Value) int { return cmp.Compare(a.Key, b.Key) })
	return all, nil
}

// Sessions implements [store.Source].
func (s *Store) Sessions(ctx context.Context) ([]store.Snapshot, error) {
	answers, err := s.pipes.do(ctx, &call{cmds: []command{
		plain("LRANGE", s.keys.order(), 0, -1), plain("HGETALL", s.keys.sessions()),
	}})
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	data := fields(answers[1])
	var list []string
	for _, sid := range texts(answers[0]) {
		list = append(list, sid, data[sid])
	}
	return decodeSessions(list), nil
}
