package ldap

import (
	"context"
	"errors"
	"fmt"
	"sync"

	goldap "github.com/go-ldap/ldap/v3"
)

// follower has a server tell of changes as they happen (RFC 4533 §3.4).
type follower struct {
	cancel context.CancelFunc
	out    chan *told
	done   sync.WaitGroup
}

// told is what a server tells: somebody is new, different or gone. Nothing is
// believed of it but whom it is about, who is read anew.
type told struct {
	ids []string
	err error // it tells no more
}

// most changes in a row that are read together.
const burst = 500

// maxBroken is how often a server may break off before it is not asked any more.
const maxBroken = 5

func (r *reader) news() <-chan *told {
	if r.sync == nil {
		return nil
	}
	return r.sync.out
}

// follow begins to listen to a server, from where the last read began.
func (r *reader) follow(ctx context.Context, s *server) {
	r.unfollow()
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, out: make(chan *told, burst)}
	r.sync = f
	cookie := r.nature.cookie
	f.done.Go(func() {
		err := f.listen(ctx, r.d, s, cookie)
		select {
		case f.out <- &told{err: errors.Join(err, errors.New("the server tells no more of changes"))}:
		case <-ctx.Done():
		}
	})
}

func (r *reader) unfollow() {
	if r.sync != nil {
		r.sync.cancel()
		r.sync.done.Wait()
		r.sync = nil
	}
}

func (f *follower) listen(ctx context.Context, d *Directory, s *server, cookie []byte) error {
	c, err := s.dial(ctx, true)
	if err != nil {
		return err
	}
	defer c.close()
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	req := request(d.cfg.Base, d.scope(), d.Settings().Filter, 0, nil)
	res := c.Syncrepl(ctx, req, 16, goldap.SyncRequestModeRefreshAndPersist, cookie, false)
	for res.Next() {
		list := subjects(res.Controls())
		if len(list) == 0 {
			continue
		}
		select {
		case f.out <- &told{ids: list}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := res.Err(); err != nil {
		return said(err)
	}
	return ctx.Err()
}

// subjects are those whom a message is about. Who is merely there is not looked at:
// everybody has just been listed.
func subjects(controls []goldap.Control) []string {
	var list []string
	for _, c := range controls {
		switch c := c.(type) {
		case *goldap.ControlSyncState:
			if c.State != goldap.SyncStatePresent {
				list = append(list, c.EntryUUID.String())
			}
		case *goldap.ControlSyncInfo:
			if c.SyncIdSet != nil && c.SyncIdSet.RefreshDeletes {
				for _, id := range c.SyncIdSet.SyncUUIDs {
					list = append(list, id.String())
				}
			}
		}
	}
	return list
}

// hear reads those of whom the server tells.
func (r *reader) hear(ctx context.Context, t *told) error {
	for t != nil {
		if t.err != nil {
			r.unfollow()
			if r.broken++; r.broken >= maxBroken {
				r.nature.changes = byStamp
			}
			return fmt.Errorf("follow changes: %w", t.err)
		}
		r.pending = append(r.pending, t.ids...)
		t = nil
		if len(r.pending) < burst {
			select {
			case t = <-r.sync.out:
			default:
			}
		}
	}
	c, err := r.d.open(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := r.refetch(ctx, c, r.pending); err != nil {
		return err
	}
	r.pending = nil
	return nil
}
