package bosh

import (
	"slices"
	"time"
)

// A page that is loaded anew leaves requests behind that its browser never put
// on the wire, and goes on with the next rid. Nobody sends those again, and the
// session would wait for them for ever. So they are taken for lost when another
// request has waited for them that long. It is shorter for an empty one, which
// may be answered before those that are missing without harm; what a client has to
// say waits longer, or until it shows by another request that it has given them up.
// For a lost request may come after all, from a node that was halted or through
// a network that was cut, and then its stanzas are to be before those of later ones.
// When it comes it is processed, and gets an empty response if a later one
// had its response: there is nothing older to say.
const (
	lostToPoll  = 2 * time.Second
	lostToOther = 5 * time.Second
)

// overtaking returns the oldest request that waits for one that has not come.
func (w *Window) overtaking() (slot, bool) {
	if w.p.Acks || w.key != "" {
		return slot{}, false // the next answer would confirm, or the next key presume, what is lost
	}
	i := slices.IndexFunc(w.slots, func(s slot) bool { return !s.held })
	if i < 0 || w.slots[i].arrival.RID == w.next {
		return slot{}, false
	}
	return w.slots[i], true
}

// GiveUp takes the missing request for lost if others have waited for it long
// enough, and reports whether it did.
func (w *Window) GiveUp(now time.Time) bool {
	s, ok := w.overtaking()
	patience := lostToOther
	if s.arrival.Empty {
		patience = lostToPoll
	}
	switch {
	case ok && now.Sub(s.came) >= patience:
		w.skip(s.arrival.RID)
		w.doubt = s.arrival.Empty
		return true
	case !ok && slices.ContainsFunc(w.slots, func(s slot) bool {
		return !s.held && s.arrival.RID == w.next && w.hesitates(&s) && now.Sub(s.came) >= lostToOther
	}):
		w.doubt = false
		return true
	}
	return false
}

// hesitates reports whether a request whose turn it is waits for a lost one.
func (w *Window) hesitates(s *slot) bool { return w.doubt && !s.arrival.Empty }

// Passed reports whether a later request than the oldest was answered before it.
func (w *Window) Passed() bool {
	return len(w.slots) > 0 && slices.ContainsFunc(w.cache, func(a answered) bool { return a.rid > w.slots[0].arrival.RID })
}

// forgotten takes the missing request for lost if a proves that the client no
// longer waits for it: it would have more requests open than it may.
func (w *Window) forgotten(a Arrival, room uint64) bool {
	s, ok := w.overtaking()
	if !ok || a.RID <= s.arrival.RID || a.RID >= s.arrival.RID+room {
		return false
	}
	w.skip(s.arrival.RID)
	w.doubt = false
	return true
}

// maxLost bounds the lost requests that may still come.
const maxLost = 4

// skip goes on with a request though those before it are missing.
func (w *Window) skip(to uint64) {
	for ; w.next < to; w.next++ {
		w.lost = append(w.lost, w.next)
	}
	w.lost = w.lost[max(0, len(w.lost)-maxLost):]
}

// giveUp goes on without a request that is lost.
func (c *conn) giveUp(now time.Time) {
	c.mu.Lock()
	defer c.unlock()
	if !c.ended && !c.busy && c.win.GiveUp(now) {
		c.step(now)
	}
}
