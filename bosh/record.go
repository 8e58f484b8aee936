package bosh

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/deskline/deskline/internal/pack"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// recordVersion is that of what appendRecord writes.
const recordVersion = 1

// AppendBinary writes the window down: all but the requests whose turn has not
// come, which their client sends again.
func (w *Window) AppendBinary(dst []byte) ([]byte, error) {
	for _, d := range []time.Duration{w.p.Wait, w.p.Polling, w.p.Inactivity, w.p.MaxPause} {
		dst = pack.Duration(dst, d)
	}
	dst = pack.Uint(pack.Uint(dst, uint64(w.p.Hold)), uint64(w.p.Requests)) //nolint:gosec // small counts
	dst = pack.Bool(dst, w.p.Acks)
	dst = pack.String(pack.Uint(pack.Uint(dst, w.next), w.acked), w.key)
	dst = pack.Uint(dst, uint64(len(w.lost)))
	for _, rid := range w.lost {
		dst = pack.Uint(dst, rid)
	}
	held := 0
	for i := range w.slots {
		if w.slots[i].held {
			held++
		}
	}
	dst = pack.Uint(dst, uint64(held)) //nolint:gosec // a count
	for i := range w.slots {
		if s := &w.slots[i]; s.held {
			dst = pack.Bool(pack.String(pack.Uint(dst, s.arrival.RID), s.arrival.Key), s.arrival.Empty)
		}
	}
	dst = pack.Uint(dst, uint64(len(w.cache)))
	for i := range w.cache {
		a := &w.cache[i]
		dst = pack.Time(pack.String(pack.Uint(dst, a.rid), a.key), a.at)
		dst = pack.Bool(dst, len(a.frames) > 0)
		dst = pack.Bytes(dst, a.response)
	}
	return dst, nil
}

// readWindow is the inverse of AppendBinary.
func readWindow(r *pack.Reader, now time.Time) *Window {
	w := &Window{}
	for _, d := range []*time.Duration{&w.p.Wait, &w.p.Polling, &w.p.Inactivity, &w.p.MaxPause} {
		*d = r.Duration()
	}
	w.p.Hold, w.p.Requests = int(min(r.Uint(), 1000)), int(min(r.Uint(), 1000)) //nolint:gosec // bounded
	w.p.Acks = r.Bool()
	w.next, w.acked, w.key = r.Uint(), r.Uint(), r.String()
	for range r.Count() {
		w.lost = append(w.lost, r.Uint())
	}
	for range r.Count() {
		a := Arrival{RID: r.Uint(), Key: r.String(), Empty: r.Bool()}
		w.slots = append(w.slots, slot{arrival: a, came: now, held: true})
	}
	for range r.Count() {
		a := answered{rid: r.Uint(), key: r.String(), at: r.Time()}
		worth := r.Bool()
		a.response = slices.Clone(r.Bytes())
		if worth {
			a.frames = framesOf(a.response)
		}
		w.cache = append(w.cache, a)
	}
	return w
}

// framesOf returns the stanzas that a response carries, to be rescued should
// the session end before the client has them.
func framesOf(response []byte) (frames []session.Frame) {
	n, err := stanza.ParseBody(slices.Clone(response), stanza.Limits{Bytes: len(response) + 1, StanzaBytes: len(response) + 1, Children: len(response)})
	if err != nil {
		return nil
	}
	for i := range n.Children {
		st, err := n.Children[i].Stanza()
		if err == nil && st.Kind == stanza.KindMessage && st.Type != "error" && st.Type != "headline" {
			frames = append(frames, session.Frame{Stanza: st})
		}
	}
	return frames
}

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
	own := 0
	for i := range c.queue {
		if c.queue[i].Number == 0 {
			own++
		}
	}
	dst = pack.Uint(dst, uint64(own)) //nolint:gosec // a count
	for i := range c.queue {
		if f := &c.queue[i]; f.Number == 0 {
			dst = pack.Bytes(pack.Bool(dst, f.Stanza != nil), f.Bytes)
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
		f := session.Frame{}
		worth := r.Bool()
		if f.Bytes = slices.Clone(r.Bytes()); worth {
			f.Stanza, _ = stanza.Decode(f.Bytes) // without it there is nothing to rescue
		}
		c.queue = append(c.queue, f)
		c.bytes += len(f.Bytes)
	}
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
	c.sess = sess
	c.account()
	h.table.add(sess.SID(), c)
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
func (c *conn) origin(rid uint64) context.Context {
	ctx := context.Background() // the client may hang up; what it sent is done all the same
	if c.h.cfg.Load().Ledger == nil {
		return ctx
	}
	return router.WithOrigin(ctx, c.sess.SID(), rid)
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
