package bosh

import (
	"slices"
	"time"

	"github.com/deskline/deskline/session"
)

// answered is a response kept for repeats of its request.
type answered struct {
	rid      uint64
	key      string
	pause    bool
	at       time.Time
	response []byte
	frames   []session.Frame // to rescue should the session end before the client has them
}

// repeat answers a request that was answered before (XEP-0124 §14.3).
func (w *Window) repeat(a Arrival) Verdict {
	for i := range w.cache {
		if w.cache[i].rid == a.RID && w.cache[i].response != nil {
			if w.cache[i].key != a.Key {
				return refuse("item-not-found", "repeat with another key")
			}
			return Verdict{Outcome: Replay, Response: w.cache[i].response}
		}
	}
	if a.RID == 0 {
		return refuse("item-not-found", "rid 0")
	}
	// The client has gone on since. A copy may come late, and after it was sent
	// again elsewhere: from a node that was halted, or a network that was cut.
	return Verdict{Outcome: Stale, Condition: "item-not-found", Reason: "the response is no longer kept"}
}

// confirm drops what the client has got, as its acknowledgement and the size
// of the window prove, and notes a response that it misses (XEP-0124 §9.2).
func (w *Window) confirm(a Arrival, now time.Time) {
	w.report = 0
	answered := w.slots[0].arrival.RID - 1
	switch requests := uint64(w.p.Requests); {
	case w.p.Acks && a.Ack > 0:
		w.acked = max(w.acked, min(a.Ack, answered))
	case w.p.Acks:
		w.acked = max(w.acked, min(a.RID-1, answered)) // nothing is missing
	case a.RID > requests:
		// It waits for at most that many responses, in the order of their rids.
		w.acked = max(w.acked, min(a.RID-requests, answered))
	}
	for i := range w.cache {
		// A client that misses a response repeats its request before it sends
		// new ones; only one on its way at the same moment says nothing.
		if c := &w.cache[i]; a.Ack == 0 && (a.Terminate || now.Sub(c.at) > inFlight) {
			c.frames = nil
		}
	}
	if w.p.Acks && a.Ack > 0 {
		for i := range w.cache {
			if w.cache[i].rid == a.Ack+1 {
				w.report, w.reportAt = a.Ack+1, w.cache[i].at
			}
		}
	}
	w.trim()
}

// inFlight is how long a response and a request may pass one another.
const inFlight = time.Second

// Got notes that the client has received the response to rid, as its next
// request on the same connection proves.
func (w *Window) Got(rid uint64) {
	for i := range w.cache {
		if w.cache[i].rid == rid {
			w.cache[i].frames = nil
		}
	}
}

// trim keeps the last Requests responses, and with acknowledgements all that
// the client has not confirmed. Those to pauses, of which there may be one more
// than the client may make of others, do not count (XEP-0124 §14.3).
func (w *Window) trim() {
	count := 0
	for i := range w.cache {
		c := &w.cache[i]
		if c.rid <= w.acked {
			c.frames = nil
		}
		if !c.pause {
			count++
		}
	}
	for count > w.p.Requests || len(w.cache) > maxUnacked {
		if w.p.Acks && w.cache[0].rid > w.acked && len(w.cache) <= maxUnacked {
			return
		}
		if !w.cache[0].pause {
			count--
		}
		w.kept -= w.cache[0].size()
		w.cache = slices.Delete(w.cache, 0, 1)
	}
}

// maxUnacked bounds the responses kept for a client that asked for
// acknowledgements and gives none, or that does nothing but pause.
const maxUnacked = 64

// size is what the response takes of the memory.
func (a *answered) size() int {
	if len(a.response) <= len(emptyBody) {
		return 0 // shared
	}
	return len(a.response)
}

// Kept returns the bytes of the responses kept for repeats.
func (w *Window) Kept() int { return w.kept }

// AppendAttrs appends the acknowledgement and report attributes of the response
// to rid (XEP-0124 §9).
func (w *Window) AppendAttrs(dst []byte, rid uint64, now time.Time) []byte {
	if !w.p.Acks {
		return dst
	}
	if got := w.next - 1; got != rid {
		dst = appendNumber(dst, " ack='", got)
	}
	if w.report != 0 {
		dst = appendNumber(dst, " report='", w.report)
		dst = appendNumber(dst, " time='", uint64(max(0, now.Sub(w.reportAt).Milliseconds())))
		w.report = 0
	}
	return dst
}

// Answer notes the response to the oldest request.
func (w *Window) Answer(response []byte, frames []session.Frame, now time.Time) {
	s := w.slots[0]
	w.slots = slices.Delete(w.slots, 0, 1)
	a := answered{rid: s.arrival.RID, key: s.arrival.Key, pause: s.arrival.Pause, at: now, response: response, frames: frames}
	w.cache = append(w.cache, a)
	w.kept += a.size()
	w.trim()
}

// Unconfirmed returns the frames that were sent and that nothing proves to have
// arrived, oldest first.
func (w *Window) Unconfirmed() []session.Frame {
	var all []session.Frame
	for i := range w.cache {
		all = append(all, w.cache[i].frames...)
	}
	return all
}
