package bosh

import (
	"context"
	"time"

	"github.com/deskline/deskline/router"
)

// Cede lets go of a session for another node to take up, without its client
// noticing: what is being carried out is finished, requests that wait are
// answered, and that is written down. Requests that come meanwhile, and from then
// on, are [Elsewhere]'s. It returns false, and the session stays, if it is not
// bound or that was not done when ctx ended.
func (h *Handler) Cede(ctx context.Context, sid router.SID) bool {
	c, ok := h.table.get(sid)
	if !ok || h.cfg.Load().Ledger == nil || !c.leaving.CompareAndSwap(false, true) {
		return false
	}
	if c.cede(ctx) {
		return true
	}
	c.leaving.Store(false)
	return false
}

// cedeAgain is how long a session that is at work is left alone.
const cedeAgain = time.Millisecond

func (c *conn) cede(ctx context.Context) bool {
	tick := time.NewTicker(cedeAgain)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.mu.Lock()
		if c.ended {
			c.unlock()
			return false
		}
		if !c.busy && c.writing == nil {
			c.dismiss(time.Now())
			if c.settled == nil {
				return c.sendOff(ctx)
			}
		}
		c.unlock() // what was settled is written down, and then goes
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return false
}

// dismiss answers the requests that wait. It is called with the lock held.
func (c *conn) dismiss(now time.Time) {
	for {
		rid, ok := c.win.Oldest()
		if !ok {
			return
		}
		w := c.waiter(rid)
		if w == nil || w.gone() {
			return // its client comes again, and so do those after it
		}
		c.answer(w, now)
	}
}

// sendOff writes the session down as it is left. It is called with the lock held
// and lets go of it. From here on the session is not this node's, whatever
// becomes of that: all that was answered is written down already.
func (c *conn) sendOff(ctx context.Context) bool {
	state, ok := c.appendRecord(make([]byte, 0, 512))
	if !ok {
		c.unlock()
		return false
	}
	upto := c.upto
	own := c.ownFrames()
	c.move()
	c.unlock()
	err := c.h.insist(ctx, c.sess.SID(), state, upto)
	if err != nil && own > 0 {
		c.h.cfg.Load().Log.WarnContext(ctx, "session not written down as it was left", "sid", c.sess.SID().Ref(), "lost", own, "err", err)
	}
	return true
}

// ownFrames counts the frames that wait and are in no mailbox.
func (c *conn) ownFrames() (count int) {
	for i := range c.queue {
		if c.queue[i].Number == 0 {
			count++
		}
	}
	return count
}

// insist writes a session down, again and again until ctx ends.
func (h *Handler) insist(ctx context.Context, sid router.SID, state []byte, upto uint64) error {
	ledger := h.cfg.Load().Ledger
	for {
		wrote := make(chan error, 1)
		ledger.Commit(sid, state, upto, func(err error) { wrote <- err })
		err := <-wrote
		if err == nil || ledger.Fenced(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(writeAgain):
		}
	}
}
