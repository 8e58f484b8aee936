package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

const (
	batchPrefix = "BATCH:"
	// batchLease is how long an import may be silent before it is taken for
	// dead.
	batchLease = time.Minute
)

// errPending is for an account that an import under way is making.
var errPending = errors.New("an import that has not ended holds the name, try again in a minute")

// CreateAccounts implements [auth.Store]; the package's comment tells how more
// than one become visible at once.
func (s *Store) CreateAccounts(ctx context.Context, accounts []auth.Account, progress func(done int)) error {
	if progress == nil {
		progress = func(int) {}
	}
	seen := make(map[jid.JID]bool, len(accounts))
	made := make([]newAccount, len(accounts))
	for i, a := range accounts {
		f, err := accountFields(a)
		if err == nil && seen[a.JID] {
			err = auth.ErrExists
		}
		if err != nil {
			return fmt.Errorf("create account %s: %w", a.JID, err)
		}
		seen[a.JID] = true
		made[i] = newAccount{jid: a.JID, fields: f}
	}
	if len(made) == 0 {
		return nil
	}
	if err := s.identify(ctx, made, 0); err != nil {
		return fmt.Errorf("create accounts: %w", err)
	}
	if len(made) > 1 {
		return s.createAll(ctx, made, progress)
	}
	err := s.enter(ctx, made, "")
	if err == nil {
		err = s.create(ctx, made, "")
	}
	if errors.Is(err, auth.ErrExists) {
		s.takeOut(ctx, made)
	}
	if err != nil {
		return err
	}
	progress(1)
	return nil
}

// newAccount is one on its way.
type newAccount struct {
	jid    jid.JID
	id     int64
	fields []any
}

// identify gives ids that are above a number and were never used.
func (s *Store) identify(ctx context.Context, made []newAccount, above int64) error {
	answer, err := s.pipes.one(ctx, &call{write: true, cmds: []command{
		idsScript.on([]string{s.keys.ids()}, len(made), above),
	}})
	if err != nil {
		return err
	}
	last := number(answer)
	for i := range made {
		made[i].id = last - int64(len(made)-1-i)
		made[i].fields = append([]any{"id", made[i].id, "mid", base(made[i].id)}, made[i].fields...)
	}
	return nil
}

// createAll makes several, in a batch that is committed at the end.
func (s *Store) createAll(ctx context.Context, made []newAccount, progress func(int)) error {
	token := rand.Text()
	err := s.prepareAll(ctx, token, made, progress)
	want := "committed"
	if err != nil {
		want = "failed"
	}
	// Whatever becomes of the caller now, the batch is decided.
	ctx = context.WithoutCancel(ctx)
	state, unknown := s.decide(ctx, token, want)
	if unknown != nil && err == nil {
		// Perhaps it is committed; if not it must never be.
		if state, unknown = s.decide(ctx, token, "failed"); unknown != nil {
			return fmt.Errorf("create accounts: %w", unknown)
		}
	}
	switch {
	case state == "committed":
		s.tidy(ctx, token, "keep", made)
		return nil
	case err == nil:
		err = fmt.Errorf("create accounts: %w: too long between two steps", ErrUnavailable)
	}
	if unknown == nil {
		s.tidy(ctx, token, "drop", made)
	}
	return err
}

// prepareAll writes the accounts and their entries, not visible yet.
func (s *Store) prepareAll(ctx context.Context, token string, made []newAccount, progress func(int)) error {
	condition := "NX"
	for i, step := range []func(context.Context, []newAccount, string) error{s.create, s.enter} {
		for done := 0; done < len(made); done += chunk {
			if err := s.lease(ctx, token, condition); err != nil {
				return fmt.Errorf("create accounts: %w", err)
			}
			condition = "XX"
			end := min(done+chunk, len(made))
			if err := step(ctx, made[done:end], token); err != nil {
				return err
			}
			progress((i*len(made) + end) / 2)
		}
	}
	return nil
}

// lease makes a batch or prolongs it; one whose time was up has failed.
func (s *Store) lease(ctx context.Context, token, condition string) error {
	answer, err := s.pipes.one(ctx, &call{write: true, once: condition == "NX", cmds: []command{
		plain("SET", s.keys.batch(token), "pending", condition, "PX", batchLease.Milliseconds()),
	}})
	if err == nil && answer == nil {
		err = fmt.Errorf("%w: too long between two steps", ErrUnavailable)
	}
	return err
}

func (s *Store) decide(ctx context.Context, token, state string) (string, error) {
	answer, err := s.pipes.one(ctx, &call{write: true, cmds: []command{commitScript.on([]string{s.keys.batch(token)}, state)}})
	return text(answer), err
}

// create writes accounts; with a token they are not visible yet.
func (s *Store) create(ctx context.Context, made []newAccount, token string) error {
	for tries := 0; len(made) > 0; tries++ {
		c := &call{write: true, once: token == ""}
		for _, m := range made {
			c.cmds = append(c.cmds, createScript.on([]string{s.keys.account(m.jid)}, append([]any{token}, m.fields...)...))
		}
		answers, err := s.pipes.do(ctx, c)
		if err != nil {
			return fmt.Errorf("create account %s: %w", made[0].jid, err)
		}
		var again []newAccount
		for i, answer := range answers {
			retry, err := s.created(ctx, made[i].jid, text(answer))
			if err == nil && retry && tries == 3 {
				err = auth.ErrExists // again and again by others
			}
			if err != nil {
				return fmt.Errorf("create account %s: %w", made[i].jid, err)
			}
			if retry {
				again = append(again, made[i])
			}
		}
		made = again
	}
	return nil
}

// created looks at the answer to a creation. One that found the account of an
// import that failed is to be tried again.
func (s *Store) created(ctx context.Context, owner jid.JID, status string) (again bool, err error) {
	token, batch := strings.CutPrefix(status, batchPrefix)
	switch {
	case status == "OK":
		return false, nil
	case !batch:
		return false, auth.ErrExists
	}
	state, err := s.settle(ctx, owner, token)
	switch {
	case err != nil:
		return false, err
	case state == "committed":
		return false, auth.ErrExists
	case state == "pending":
		return false, fmt.Errorf("%w: %w", auth.ErrExists, errPending)
	}
	return true, nil
}

// enter puts accounts into the lists of their domains.
func (s *Store) enter(ctx context.Context, made []newAccount, _ string) error {
	c := &call{write: true}
	for _, m := range made {
		c.cmds = append(c.cmds, plain("ZADD", s.keys.users(m.jid.Domain()), 0, m.member()))
	}
	for _, d := range domainsOf(made) {
		c.cmds = append(c.cmds, plain("SADD", s.keys.domains(), d))
	}
	_, err := s.pipes.do(ctx, c)
	return err
}

func (m newAccount) member() string { return member(m.jid.Local(), text(m.id)) }

func domainsOf(made []newAccount) (all []string) {
	seen := map[string]bool{}
	for _, m := range made {
		if d := m.jid.Domain(); !seen[d] {
			seen[d] = true
			all = append(all, d)
		}
	}
	return all
}

// takeOut removes the entries of accounts that are not made after all. One left
// behind does no harm.
func (s *Store) takeOut(ctx context.Context, made []newAccount) {
	c := &call{write: true}
	for _, m := range made {
		c.cmds = append(c.cmds, plain("ZREM", s.keys.users(m.jid.Domain()), m.member()))
	}
	if _, err := s.pipes.do(context.WithoutCancel(ctx), c); err != nil {
		s.cfg.Log.Warn("entries of accounts not made stay in the list", "count", len(made), "err", err)
	}
}

// tidy ends what a decided batch has left: the tokens of its accounts are taken
// off ("keep"), or the accounts away ("drop"). What cannot be done now is done by
// the next who come upon it.
func (s *Store) tidy(ctx context.Context, token, what string, made []newAccount) {
	for done := 0; done < len(made); done += chunk {
		next := made[done:min(done+chunk, len(made))]
		if err := s.settleAll(ctx, token, what, next); err != nil {
			s.cfg.Log.Warn("accounts of an import are tidied up later", "count", len(made), "err", err)
			return
		}
		if what == "drop" {
			s.takeOut(ctx, next)
		}
	}
	if _, err := s.pipes.one(ctx, &call{write: true, cmds: []command{plain("DEL", s.keys.batch(token))}}); err != nil {
		s.cfg.Log.Warn("mark of an import stays", "err", err)
	}
}

func (s *Store) settleAll(ctx context.Context, token, what string, made []newAccount) error {
	c := &call{write: true}
	for _, m := range made {
		c.cmds = append(c.cmds, settleScript.on([]string{s.keys.account(m.jid)}, token, what))
	}
	_, err := s.pipes.do(ctx, c)
	return err
}

// settle looks up what became of the batch of an account that bears its token:
// pending, committed, or failed. Once that is for good it takes the token, or
// the account, away.
func (s *Store) settle(ctx context.Context, owner jid.JID, token string) (state string, err error) {
	answer, err := s.pipes.one(ctx, &call{cmds: []command{plain("GET", s.keys.batch(token))}})
	if err != nil {
		return "", err
	}
	one := []newAccount{{jid: owner}}
	switch state = text(answer); state {
	case "pending":
		return state, nil
	case "committed":
		return state, s.settleAll(ctx, token, "keep", one)
	default:
		return "failed", s.settleAll(ctx, token, "drop", one)
	}
}

// there is settle for those who only want to know whether the account exists.
func (s *Store) there(ctx context.Context, owner jid.JID, token string) (bool, error) {
	state, err := s.settle(ctx, owner, token)
	return state == "committed", err
}
