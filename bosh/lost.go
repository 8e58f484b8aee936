package bosh

import (
	"slices"
	"time"
)

// A page that is loaded anew leaves requests behind that its browser never put
// on the wire, and goes on with the next rid. Nobody sends those again, and the
// session would wait for them for ever. So they are taken for lost when another
// request has waited for them that long. It is shorter for an empty one, since
// clients poll when they have nothing else on its way. Should a lost request
// come after all, it is processed then: late, but not refused.
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
	if !ok || now.Sub(s.came) < patience {
		return false
	}
	w.skip(s.arrival.RID)
	return true
}

// forgotten takes the missing request for lost if a proves that the client no
// longer waits for it: it would have more requests open than it may.
func (w *Window) forgotten(a Arrival, room uint64) bool {
	s, ok := w.overtaking()
	if !ok || a.RID <= s.arrival.RID || a.RID >= s.arrival.RID+room {
		return false
	}
	w.skip(s.arrival.RID)
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
