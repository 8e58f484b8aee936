package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
)

// ErrFenced says that the session belongs to another node by now, or that Redis
// no longer knows it.
var ErrFenced = errors.New("the session is not this node's any more")

// Enter makes a session that was bound on this node known to the cluster. From
// then on what is posted to it is kept until written down by Commit.
func (l *Shared) Enter(ctx context.Context, sid router.SID, full jid.JID, to session.Receiver) error {
	l.boxes.mu.Lock()
	l.boxes.m[sid] = &box{to: to, bare: full.Bare()}
	l.boxes.mu.Unlock()
	err := l.insist(ctx, func() error { return l.enter(ctx, sid, full) })
	if err != nil {
		return fmt.Errorf("enter session: %w", err)
	}
	return nil
}

func (l *Shared) enter(ctx context.Context, sid router.SID, full jid.JID) error {
	// The list of the node's sessions comes first: one too many does no harm.
	if err := l.cfg.Client.SAdd(ctx, l.ownedKey(l.Me()), string(sid)).Err(); err != nil {
		return err
	}
	key, line := l.sessionKeys(sid)[0], l.cfg.Client.Pipeline()
	line.HSet(ctx, key, "owner", l.Me().String(), "jid", full.String())
	line.PExpire(ctx, key, l.cfg.Keep)
	_, err := line.Exec(ctx)
	return err
}

// Commit writes a session's state down, with the number of the last mailbox
// frame that is in it. done is called once, soon: with nil, ErrFenced, or what
// keeps Redis from answering.
func (l *Shared) Commit(sid router.SID, state []byte, upto uint64, done func(error)) {
	a := act{
		script: commitScript, keys: l.sessionKeys(sid),
		args: []any{l.Me().String(), state, upto, l.keep(), l.states.Add(1)},
		done: func(c *goredis.Cmd) {
			n, err := c.Int64()
			if err == nil && n == 0 {
				err = ErrFenced
			}
			done(err)
		},
	}
	if l.later(sid, a) {
		return
	}
	if err := l.pipe.start(a); err != nil {
		done(err)
	}
}

// Drop forgets a session that ended.
func (l *Shared) Drop(ctx context.Context, sid router.SID) error {
	l.Leave(sid)
	_, err := l.surely(ctx, dropScript, l.sessionKeys(sid), l.Me().String())
	if err == nil {
		err = l.insist(ctx, func() error { return l.cfg.Client.SRem(ctx, l.ownedKey(l.Me()), string(sid)).Err() })
	}
	if err != nil {
		return fmt.Errorf("drop session: %w", err)
	}
	return nil
}

// Leave stops delivering to a session that another node has.
func (l *Shared) Leave(sid router.SID) {
	l.boxes.mu.Lock()
	defer l.boxes.mu.Unlock()
	delete(l.boxes.m, sid)
}

// OwnerOf returns who has a session; ok is false if nobody has.
func (l *Shared) OwnerOf(ctx context.Context, sid router.SID) (o Owner, ok bool, err error) {
	text, err := l.cfg.Client.HGet(ctx, l.sessionKeys(sid)[0], "owner").Result()
	if errors.Is(err, goredis.Nil) {
		return o, false, nil
	}
	if err == nil {
		o, err = ParseOwner(text)
	}
	if err != nil {
		return o, false, fmt.Errorf("owner of session: %w", err)
	}
	return o, true, nil
}

// Adopted is a session that was taken from another owner.
type Adopted struct {
	JID   jid.JID  // that it was bound to
	State []byte   // of its last Commit, empty if there was none
	First uint64   // number of the first of Box
	Box   [][]byte // frames accepted for it and not in State
}

// Adopt makes a session of another owner this node's; ok is false if it was not
// that owner's (any more). What is posted from now on comes to the receiver
// given to Attach.
func (l *Shared) Adopt(ctx context.Context, sid router.SID, from Owner) (a Adopted, ok bool, err error) {
	if err := l.cfg.Client.SAdd(ctx, l.ownedKey(l.Me()), string(sid)).Err(); err != nil {
		return a, false, fmt.Errorf("adopt session: %w", err)
	}
	keys := l.sessionKeys(sid)
	got, err := adoptScript.Run(ctx, l.cfg.Client, keys[:2], from.String(), l.Me().String()).StringSlice()
	if errors.Is(err, goredis.Nil) {
		return a, false, nil
	}
	if err != nil {
		return a, false, fmt.Errorf("adopt session: %w", err)
	}
	var last uint64
	if len(got) < 3 {
		return a, false, errors.New("adopt session: strange answer")
	}
	if _, err := fmt.Sscan(got[1], &last); err != nil {
		return a, false, fmt.Errorf("adopt session: %w", err)
	}
	if a.JID, err = jid.Parse(got[2]); err != nil {
		return a, false, fmt.Errorf("adopt session: %w", err)
	}
	a.State = []byte(got[0])
	for _, f := range got[3:] {
		a.Box = append(a.Box, []byte(f))
	}
	a.First = last - uint64(len(a.Box)) + 1
	if from == l.Me() {
		return a, true, nil
	}
	if err := l.cfg.Client.SRem(ctx, l.ownedKey(from), string(sid)).Err(); err != nil {
		l.cfg.Log.WarnContext(ctx, "list of sessions", "err", err)
	}
	return a, true, nil
}

// Attach begins to deliver to an adopted session, with what its mailbox holds.
func (l *Shared) Attach(ctx context.Context, sid router.SID, a Adopted, to session.Receiver) {
	b := &box{to: to, bare: a.JID.Bare(), last: a.First - 1}
	l.boxes.mu.Lock()
	l.boxes.m[sid] = b
	l.boxes.mu.Unlock()
	for i, f := range a.Box {
		b.put(a.First+uint64(i), letter{frame: f}) //nolint:gosec // i counts up
	}
	l.catchUp(ctx, sid, b) // what came since
}

// Passed says up to which number a session that is not written down has passed
// frames on.
func (l *Shared) Passed(sid router.SID, number uint64) {
	l.Commit(sid, nil, number, func(error) {}) // another time does as well
}

// Lost returns those sessions that are not this node's.
func (l *Shared) Lost(ctx context.Context, sids []router.SID) (lost []router.SID, err error) {
	for some := range slices.Chunk(sids, 500) {
		line := l.cfg.Client.Pipeline()
		owners := make([]*goredis.StringCmd, len(some))
		for i, sid := range some {
			owners[i] = line.HGet(ctx, l.sessionKeys(sid)[0], "owner")
		}
		_, _ = line.Exec(ctx) // each has its own error
		for i, o := range owners {
			if err := o.Err(); err != nil && !errors.Is(err, goredis.Nil) {
				return nil, fmt.Errorf("owners of sessions: %w", err)
			}
			if o.Val() != l.Me().String() {
				lost = append(lost, some[i])
			}
		}
	}
	return lost, nil
}

// Strike removes a session from an owner's list that does not exist any more.
func (l *Shared) Strike(ctx context.Context, sid router.SID, o Owner) error {
	if err := l.cfg.Client.SRem(ctx, l.ownedKey(o), string(sid)).Err(); err != nil {
		return fmt.Errorf("list of sessions: %w", err)
	}
	return nil
}

// SessionsOf lists the sessions of an owner.
func (l *Shared) SessionsOf(ctx context.Context, o Owner) ([]router.SID, error) {
	all, err := l.cfg.Client.SMembers(ctx, l.ownedKey(o)).Result()
	if err != nil {
		return nil, fmt.Errorf("sessions of %s: %w", o, err)
	}
	sids := make([]router.SID, len(all))
	for i, s := range all {
		sids[i] = router.SID(s)
	}
	return sids, nil
}

func parseBare(s string) (jid.JID, error) {
	j, err := jid.Parse(s)
	if err != nil {
		return jid.JID{}, fmt.Errorf("bare JID: %w", err)
	}
	return j, nil
}

// pauseBriefly waits before a connection is tried again; false when ctx ended.
func pauseBriefly(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}
