package bosh

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/deskline/deskline/internal/pack"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// recordVersion is that of what appendRecord writes.
const recordVersion = 2

// appendRecord writes the session down; ok is false before it is bound. It is
// called with the lock held.
func (c *conn) appendRecord(dst []byte) (out []byte, ok bool) {
	dst = pack.Uint(dst, recordVersion)
	state, ok := c.sess.AppendState(make([]byte, 0, 128))
	if !ok {
		return dst, false
	}
	dst = pack.Bytes(dst, state)
	dst = pack.String(dst, c.info.Remote.String())
	dst = pack.String(pack.Bool(dst, c.info.Secure), c.info.UserAgent)
	dst = pack.Bool(pack.String(dst, c.content), c.legacy)
	dst = pack.Uint(pack.Uint(dst, uint64(c.ver.major)), uint64(c.ver.minor)) //nolint:gosec // not negative
	dst = pack.Duration(dst, c.paused)
	dst, _ = c.win.AppendBinary(dst) // never fails
	// What has a number is in the mailbox.
	dst = pack.Uint(dst, uint64(c.ownFrames())) //nolint:gosec // a count
	for i := range c.queue {
		if f := &c.queue[i]; f.Number == 0 {
			dst = pack.Bytes(appendRemarks(dst, f.Stanza), f.Bytes)
		}
	}
	return dst, true
}

// Record is a session that was written down.
type Record struct {
	Session session.Snapshot
	c       *conn
}

// ReadRecord reads what a Ledger was given.
func ReadRecord(data []byte) (*Record, error) {
	r := pack.NewReader(data)
	if v := r.Uint(); v != recordVersion {
		return nil, fmt.Errorf("session of version %d: %w", v, pack.ErrMalformed)
	}
	rec := &Record{c: &conn{}}
	if err := rec.Session.UnmarshalBinary(r.Bytes()); err != nil {
		return nil, err
	}
	now := time.Now()
	c := rec.c
	c.info = session.ConnInfo{Transport: "bosh", Moves: true}
	remote := r.String()
	c.info.Secure, c.info.UserAgent = r.Bool(), r.String()
	c.content, c.legacy = r.String(), r.Bool()
	c.ver = version{int(min(r.Uint(), 1000)), int(min(r.Uint(), 1000))} //nolint:gosec // bounded
	c.paused = r.Duration()
	c.win = readWindow(r, now)
	for range r.Count() {
		m := readRemarks(r)
		f := session.Frame{Bytes: slices.Clone(r.Bytes())}
		if m.worth {
			if st, err := stanza.Decode(f.Bytes); err == nil { // else there is nothing to rescue
				m.putOn(st)
				f.Stanza = st
			}
		}
		c.queue = append(c.queue, f)
	}
	c.load = session.LoadOf(c.queue)
	c.bytes = c.load.Bytes
	c.born, c.idle = now, now
	c.authed.Store(true)
	if r.Err() != nil {
		return nil, r.Err()
	}
	if a, err := netip.ParseAddrPort(remote); err == nil {
		c.info.Remote = a
	}
	return rec, nil
}

// TakeUp goes on with a session that was written down. upto is the number of
// the last mailbox frame that is in the record; resume makes the session itself.
func (h *Handler) TakeUp(rec *Record, upto uint64, resume func(session.Conn, session.Snapshot) (Session, error)) error {
	c := rec.c
	c.h, c.upto = h, upto
	h.queued.Add(int64(c.bytes))
	h.frames.Add(int64(len(c.queue)))
	sess, err := resume(c, rec.Session)
	if err != nil {
		c.empty()
		return err
	}
	c.mu.Lock()
	c.sess = sess
	over, lost := c.ended, c.orphans
	if !over {
		c.account()
		h.table.add(sess.SID(), c)
	}
	c.unlock()
	if over { // by another client, that wants the resource
		h.bury(c, lost)
	}
	return nil
}

// HandOver lets go of all sessions that are written down, for other nodes to
// take up, and refuses new ones. The rest is left for Shutdown.
func (h *Handler) HandOver() {
	h.stopping.Store(true)
	h.close()
	for _, c := range h.table.all() {
		c.mu.Lock()
		_, ok := c.sess.AppendState(nil)
		c.mu.Unlock()
		if ok {
			c.moved()
		}
	}
}

// WriteDown lets go of all bound sessions and returns them written down, by id,
// for TakeUp after a restart. Requests under way are carried out first, but not
// waited for after ctx ended. The rest is left for Shutdown.
func (h *Handler) WriteDown(ctx context.Context) map[router.SID][]byte {
	h.stopping.Store(true)
	h.close()
	records := make(map[router.SID][]byte)
	for _, c := range h.table.all() {
		if record, ok := c.writeDown(ctx); ok {
			records[c.sess.SID()] = record
		}
	}
	return records
}

func (c *conn) writeDown(ctx context.Context) (record []byte, ok bool) {
	for {
		c.mu.Lock()
		if c.busy && !c.ended && ctx.Err() == nil {
			c.mu.Unlock()
			time.Sleep(time.Millisecond) // a worker is at it
			continue
		}
		if !c.ended && !c.busy {
			if record, ok = c.appendRecord(nil); ok {
				c.move()
			}
		}
		c.unlock()
		return record, ok
	}
}

// Moved lets go of a session that another node has taken up.
func (h *Handler) Moved(sid router.SID) {
	if c, ok := h.table.get(sid); ok {
		c.moved()
	}
}

// Holds reports whether a session is here.
func (h *Handler) Holds(sid router.SID) bool {
	_, ok := h.table.get(sid)
	return ok
}

func (h *Handler) buried(sid router.SID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.graves.m[sid]
	return ok
}

// origin marks what a request causes, for nodes that may carry it out again.
// One that was taken for lost comes after later ones, so it is not held against
// those.
func (c *conn) origin(rid uint64, late bool) context.Context {
	ctx := context.Background() // the client may hang up; what it sent is done all the same
	if c.h.cfg.Load().Ledger == nil {
		return ctx
	}
	sid := c.sess.SID()
	if late {
		sid += router.SID("~" + strconv.FormatUint(rid, 10))
	}
	return router.WithOrigin(ctx, sid, rid)
}

// commit writes the session down before the responses settled go, and reports
// whether they wait for that. It is called with the lock held and lets go of it
// if so.
func (c *conn) commit() bool {
	ledger := c.h.cfg.Load().Ledger
	if ledger == nil || c.ended {
		return false
	}
	if c.writing != nil {
		c.mu.Unlock()
		return true // they go with the next
	}
	state, ok := c.appendRecord(make([]byte, 0, 512))
	if !ok {
		return false
	}
	c.writing, c.settled = c.settled, nil
	upto := c.upto
	c.mu.Unlock()
	ledger.Commit(c.sess.SID(), state, upto, c.written)
	return true
}

// unwritten puts what was being written back to what is settled.
func (c *conn) unwritten() {
	last := &c.writing
	for *last != nil {
		last = &(*last).next
	}
	*last = c.settled
	c.settled, c.writing = c.writing, nil
}

// writeAgain is how long a state that could not be written down waits; the
// requests stay held.
const writeAgain = 250 * time.Millisecond

// written goes on when the state is written down, or is not.
func (c *conn) written(err error) {
	if err != nil && c.h.cfg.Load().Ledger.Fenced(err) {
		c.moved()
		return
	}
	if err != nil {
		time.AfterFunc(writeAgain, func() {
			c.mu.Lock()
			c.unwritten()
			c.unlock()
		})
		return
	}
	c.mu.Lock()
	w := c.writing
	c.writing = nil
	c.unlock()
	c.respond(w)
}

// moved lets a session go that another node has taken up. Its requests are cut
// off, so that their client sends them there.
func (c *conn) moved() {
	c.mu.Lock()
	defer c.unlock()
	if !c.ended {
		c.move()
	}
}

// move is moved with the lock held.
func (c *conn) move() {
	c.ended, c.elsewhere = true, true
	c.unwritten()
	for w := c.settled; w != nil; w = w.next {
		w.answer = response{}
	}
	for _, w := range c.waiters {
		w.reply(response{})
	}
	c.letGo()
	c.h.table.remove(c.sess.SID())
	c.sess.Freeze()
	c.h.cfg.Load().Log.Info("session goes on at another node", "sid", c.sess.SID().Ref(), "jid", c.sess.JID().String())
}
