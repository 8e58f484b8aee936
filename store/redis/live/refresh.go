package live

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// refreshing keeps the sessions of this node from being forgotten, whatever
// they do, until ctx ends.
func (l *Shared) refreshing(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Keep / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := l.insist(ctx, func() error { return l.refresh(ctx) }); err != nil && ctx.Err() == nil {
				l.cfg.Log.WarnContext(ctx, "keep sessions", "err", err)
			}
		}
	}
}

// refresh begins the lifetimes of all keys of this node's sessions anew.
func (l *Shared) refresh(ctx context.Context) error {
	l.boxes.mu.RLock()
	sids, bares := make([]router.SID, 0, len(l.boxes.m)), make(map[jid.JID]struct{}, len(l.boxes.m))
	for sid, b := range l.boxes.m {
		sids = append(sids, sid)
		bares[b.bare] = struct{}{}
	}
	l.boxes.mu.RUnlock()
	// The list of the sessions outlives them, so that all are found.
	if err := l.cfg.Client.PExpire(ctx, l.ownedKey(l.Me()), 2*l.cfg.Keep).Err(); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	keys := make([]string, 0, 3*len(sids)+len(bares))
	for _, sid := range sids {
		keys = append(keys, l.sessionKeys(sid)...)
	}
	for bare := range bares {
		keys = append(keys, l.bindingsKey(bare))
	}
	for some := range slices.Chunk(keys, 500) {
		line := l.cfg.Client.Pipeline()
		for _, key := range some {
			line.PExpire(ctx, key, l.cfg.Keep)
		}
		if _, err := line.Exec(ctx); err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
	}
	return nil
}
