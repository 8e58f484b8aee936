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
	err := s.eachUsers(ctx, func(users []jid.JID) error {
		c := &call{write: true}
		for _, u := range users {
			c.cmds = append(c.cmds, sweepScript.on([]string{s.keys.history(u)}, encodeTime(before), last))
		}
		_, err := s.pipes.do(ctx, c)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove old history: %w", err)
	}
	return nil
}

// LastChanges implements [presence.Histories].
func (s *Store) LastChanges(ctx context.Context, visit func([]presence.Change) error) error {
	err := s.eachUsers(ctx, func(users []jid.JID) error {
		c := &call{}
		for _, u := range users {
			c.cmds = append(c.cmds, plain("ZREVRANGE", s.keys.history(u), 0, 0))
		}
		answers, err := s.pipes.do(ctx, c)
		if err != nil {
			return err
		}
		var some []presence.Change
		for i, answer := range answers {
			for _, member := range texts(answer) {
				change, err := decodeChange(users[i], member)
				if err != nil {
					return err
				}
				some = append(some, change)
			}
		}
		if len(some) == 0 {
			return nil
		}
		return visit(some)
	})
	if err != nil {
		return fmt.Errorf("last of history: %w", err)
	}
	return nil
}

// eachUsers goes through those with an account, some at a time.
func (s *Store) eachUsers(ctx context.Context, visit func([]jid.JID) error) error {
	domains, err := s.Domains(ctx)
	if err != nil {
		return err
	}
	for _, domain := range domains {
		for from, more := "-", true; more; {
			answer, err := s.pipes.one(ctx, &call{cmds: []command{
				plain("ZRANGEBYLEX", s.keys.users(domain), from, "+", "LIMIT", 0, chunk),
			}})
			if err != nil {
				return err
			}
			entries := texts(answer)
			users := make([]jid.JID, len(entries))
			for i, entry := range entries {
				local, _, _ := strings.Cut(entry, "\x00")
				if users[i], err = jid.New(local, domain, ""); err != nil {
					return err
				}
				from = "(" + entry
			}
			if more = len(entries) == chunk; len(users) == 0 {
				break
			}
			if err := visit(users); err != nil {
				return err
			}
		}
	}
	return nil
}
