package redis

import (
	"context"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

// Key returns a key that is not an account's.
func (s *Store) Key(name string) string { return s.keys.prefix + name }

// AccountKeys returns the keys of an account.
func (s *Store) AccountKeys(owner jid.JID) []string { return s.keys.all(owner) }

// Prepare is an import that dies before it is committed, or after it was and
// before it is tidied up. It returns the key of its batch.
func (s *Store) Prepare(ctx context.Context, token string, commit bool, accounts ...auth.Account) (string, error) {
	made := make([]newAccount, len(accounts))
	for i, a := range accounts {
		f, err := accountFields(a)
		if err != nil {
			return "", err
		}
		made[i] = newAccount{jid: a.JID, fields: f}
	}
	if err := s.identify(ctx, made, 0); err != nil {
		return "", err
	}
	if err := s.prepareAll(ctx, token, made, func(int) {}); err != nil {
		return "", err
	}
	if commit {
		if _, err := s.decide(ctx, token, "committed"); err != nil {
			return "", err
		}
	}
	return s.keys.batch(token), nil
}

// Commit is the rest of an import prepared.
func (s *Store) Commit(ctx context.Context, token string) (string, error) {
	return s.decide(ctx, token, "committed")
}

// AppendCommand is what Append sends, for clients that batch otherwise.
func (s *Store) AppendCommand(owner jid.JID, limit int, xml []byte) []any {
	c := appendScript.on([]string{s.keys.account(owner), s.keys.offline(owner)}, limit, 0, xml)
	return c.build(context.Background(), false).Args()
}
