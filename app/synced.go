package app

import (
	"bytes"
	"context"
	"fmt"

	"github.com/deskline/deskline/people"
)

// syncedKey is where the outcome of the last synchronisation is kept.
const syncedKey = "people.synced"

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
