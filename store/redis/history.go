package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

var _ presence.Histories = (*Store)(nil)

// SaveChanges implements [presence.Histories].
func (s *Store) SaveChanges(ctx context.Context, changes []presence.Change, max int) error {
	args := map[jid.JID][]any{}
	var users []jid.JID
	for _, c := range changes {
		if args[c.User] == nil {
			args[c.User], users = []any{max}, append(users, c.User)
		}
		args[c.User] = append(args[c.User], encodeTime(c.At), string(c.State), c.Why)
	}
	if len(users) == 0 {
		return nil
	}
	cmds := make([]command, len(users))
	for i, u := range users {
		cmds[i] = changesScript.on([]string{s.keys.account(u), s.keys.history(u)}, args[u]...)
	}
	answers, err := s.pipes.do(ctx, &call{write: true, cmds: cmds})
	for i, answer := range answers {
		if strings.HasPrefix(text(answer), batchPrefix) { // one of an import
			_, e := s.owned(ctx, users[i], errNobody, &call{cmds: cmds[i : i+1]})
			if !errors.Is(e, errNobody) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("save history: %w", err)
	}
	return nil
}

var errNobody = errors.New("there is no such account")

// Changes implements [presence.Histories].
func (s *Store) Changes(ctx context.Context, user jid.JID, from, until time.Time, max int) ([]presence.Change, error) {
	key, begin := s.keys.history(user), encodeTime(from)
	cmds := []command{plain("ZREVRANGEBYSCORE", key, fmt.Sprintf("(%d", begin), "-inf", "LIMIT", 0, 1)}
	if max > 0 {
		cmds = append(cmds, plain("ZRANGEBYSCORE", key, begin, fmt.Sprintf("(%d", encodeTime(until)), "LIMIT", 0, max))
	}
	answers, err := s.pipes.do(ctx, &call{cmds: cmds})
	var all []presence.Change
	for _, answer := range answers {
		for _, member := range texts(answer) {
			c, e := decodeChange(user, member)
			all, err = append(all, c), errors.Join(err, e)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", user, err)
	}
	return all, nil
}

func decodeChange(user jid.JID, member string) (presence.Change, error) {
	at, rest, _ := strings.Cut(member, " ")
	state, why, ok := strings.Cut(rest, " ")
	if !ok {
		return presence.Change{}, errors.New("a change of another form")
	}
	when, err := decodeTime(at)
	return presence.Change{User: user, At: when, State: presence.Name(state), Why: why}, err
}

// SweepChanges implements [presence.Histories]. It goes through the accounts a few at a time.
func (s *Store) SweepChanges(ctx context.Context, before time.Time, last bool) error {
	domains, err := s.Domains(ctx)
	for _, d := range domains {
		err = errors.Join(err, s.sweepDomain(ctx, d, before, last))
	}
	if err != nil {
		return fmt.Errorf("remove old history: %w", err)
	}
	return nil
}

func (s *Store) sweepDomain(ctx context.Context, domain string, before time.Time, last bool) error {
	for from := "-"; ; {
		answer, err := s.pipes.one(ctx, &call{cmds: []command{
			plain("ZRANGEBYLEX", s.keys.users(domain), from, "+", "LIMIT", 0, chunk),
		}})
		if err != nil {
			return err
		}
		entries := texts(answer)
		c := &call{write: true}
		for _, entry := range entries {
			local, _, _ := strings.Cut(entry, "\x00")
			user, err := jid.New(local, domain, "")
			if err != nil {
				return err
			}
			c.cmds = append(c.cmds, sweepScript.on([]string{s.keys.history(user)}, encodeTime(before), last))
		}
		if len(c.cmds) > 0 {
			if _, err := s.pipes.do(ctx, c); err != nil {
				return err
			}
		}
		if len(entries) < chunk {
			return nil
		}
		from = "(" + entries[len(entries)-1]
	}
}
