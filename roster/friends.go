package roster

import (
	"context"
	"errors"
	"fmt"

	"github.com/deskline/deskline/xmpp/jid"
)

// Friend is a local user as the others list them.
type Friend struct {
	JID    jid.JID // bare
	Name   string
	Groups []string
}

// Befriend makes all people mutual contacts, with one write for each owner. It
// is for filling a new server: running sessions are not told.
func Befriend(ctx context.Context, store Store, people []Friend) error {
	items := make([]Item, len(people))
	for i, p := range people {
		items[i] = Item{JID: p.JID, Name: p.Name, Groups: p.Groups, Subscription: Both}
	}
	others := make([]Item, 0, len(people))
	for i, p := range people {
		others = append(append(others[:0], items[:i]...), items[i+1:]...)
		if len(others) == 0 {
			return nil
		}
		if err := putAll(ctx, store, p.JID, others); err != nil {
			return fmt.Errorf("befriend %s: %w", p.JID, err)
		}
	}
	return nil
}

func putAll(ctx context.Context, store Store, owner jid.JID, items []Item) error {
	for range maxTries {
		r, err := store.Roster(ctx, owner)
		if err != nil {
			return err
		}
		if _, err = store.Save(ctx, owner, r.Ver, items, nil); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return ErrConflict
}
