package app

import (
	"bytes"
	"context"
	"fmt"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// syncedKey is where the outcome of the last synchronisation is kept.
const syncedKey = "people.synced"

// syncing lets one at a time read or make a synchronisation.
func (n *node) syncing(ctx context.Context, act func() error) error {
	select {
	case n.syncTurn <- struct{}{}:
		defer func() { <-n.syncTurn }()
		return act()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readSynced learns whom the last synchronisation has let in, on whichever node it
// was run.
func (n *node) readSynced(ctx context.Context) error {
	data, err := n.store.Meta(ctx, syncedKey)
	if err != nil {
		return err
	}
	if bytes.Equal(data, n.synced) || len(data) == 0 {
		return nil
	}
	s, err := people.DecodeSynced(data)
	if err != nil {
		return fmt.Errorf("%s: %w", syncedKey, err)
	}
	n.synced = data
	n.groups.SetSynced(s)
	return nil
}

// sync lets all people and groups that the sources tell of into chat, and says
// what is new since it was done last. Doing it again does nothing.
func (n *node) sync(ctx context.Context, in admin.SyncRequest) (result admin.SyncResult, err error) {
	if err := n.readGroups(ctx); err != nil {
		return result, err
	}
	if err := n.readLocal(ctx); err != nil {
		return result, err
	}
	err = n.syncing(ctx, func() error {
		if err := n.readSynced(ctx); err != nil {
			n.log.WarnContext(ctx, "begin synchronisation anew", "err", err)
		}
		next, r := n.groups.Sync()
		result = admin.SyncResult{
			Added: texts(r.Added), Changed: texts(r.Changed), Gone: r.Gone, Groups: r.Groups, People: r.People, DryRun: in.DryRun,
		}
		if result.Groups == nil {
			result.Groups = []string{}
		}
		if in.DryRun || r.Empty() {
			return nil
		}
		data := next.Encode()
		if err := n.store.SetMeta(ctx, syncedKey, data); err != nil {
			return err
		}
		n.synced = data
		n.groups.SetSynced(next)
		return nil
	})
	return result, err
}

func texts(list []jid.JID) []string {
	all := make([]string, len(list))
	for i, j := range list {
		all[i] = j.String()
	}
	return all
}
