package bosh

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// maxRID is the largest request id there can be (XEP-0124 §14.1).
const maxRID = 1<<53 - 1

// Params are what a session negotiated at its creation.
type Params struct {
	Wait       time.Duration
	Hold       int
	Requests   int
	Polling    time.Duration // 0: empty requests are not counted
	Inactivity time.Duration
	MaxPause   time.Duration
	Acks       bool // the client asked for acknowledgements
}

// polls reports whether the session never has a request held (XEP-0124 §12).
func (p *Params) polls() bool { return p.Hold == 0 || p.Wait == 0 }

// Arrival is a request as the window sees it.
type Arrival struct {
	RID       uint64
	Empty     bool // no payload
	Pause     bool
	Terminate bool
	Key       string
	NewKey    string
	Ack       uint64 // highest response the client has; 0 if it did not say
}

// Outcome says what becomes of an arrival.
type Outcome uint8

// The outcomes.
const (
	Fresh  Outcome = iota // to be processed once its turn comes
	Again                 // repeats a request that is not answered yet
	Replay                // repeats an answered one: send Response
	Stale                 // repeats one whose response is not kept: this copy alone gets Condition
	Refuse                // ends the session with Condition
)

// Verdict is the outcome of an arrival.
type Verdict struct {
	Outcome   Outcome
	Condition string
	Reason    string
	Response  []byte
}

// slot is a request that is not answered yet.
type slot struct {
	arrival Arrival
	came    time.Time
	held    bool // processed; waits for something to answer
}

// Window orders the requests of one session and remembers its responses
// (XEP-0124 §9, §14, §15). It is a pure state machine: it holds no lock, reads
// no clock and does no I/O.
type Window struct {
	p        Params
	next     uint64     // the request to be processed next
	lost     []uint64   // requests before it that were given up and have not come
	doubt    bool       // whether their client may send them still
	slots    []slot     // unanswered, by rid
	cache    []answered // by rid, oldest first
	kept     int        // bytes of the responses in cache
	acked    uint64     // all responses up to here arrived
	key      string     // hash the next key must have, "" without key sequence
	report   uint64     // response the client seems to miss, 0 for none
	reportAt time.Time

	lastEmpty time.Time // arrival of the last new request if that was empty
	emptyRID  uint64
	restless  int // empty requests in a row that came too soon
}

// NewWindow starts a session with the request that created it.
func NewWindow(p Params, first Arrival) *Window {
	w := &Window{p: p, next: first.RID, key: first.NewKey, acked: first.RID - 1}
	w.slots = append(w.slots, slot{arrival: first})
	return w
}

// Params returns what was negotiated.
func (w *Window) Params() Params { return w.p }

// Accept takes a request in.
func (w *Window) Accept(a Arrival, now time.Time) Verdict {
	if i := w.find(a.RID); i >= 0 {
		if w.slots[i].arrival.Key != a.Key {
			return refuse("item-not-found", "repeat with another key")
		}
		return Verdict{Outcome: Again}
	}
	late := slices.Contains(w.lost, a.RID)
	if a.RID < w.next && !late {
		return w.repeat(a)
	}
	room := uint64(w.p.Requests)
	if a.Pause || a.Terminate {
		room++ // XEP-0124 §11: one more for these
	}
	if !late && a.RID >= w.reach()+room && !w.forgotten(a, room) {
		return refuse("item-not-found", "rid beyond the window")
	}
	if uint64(len(w.slots)) >= room {
		return refuse("policy-violation", "too many simultaneous requests")
	}
	if !late && uint64(len(w.lost)+len(w.slots)) >= room {
		w.doubt = false // it would have more requests open than it may
	}
	if v, bad := w.overactive(a, now); bad {
		return v
	}
	i, _ := slices.BinarySearchFunc(w.slots, a.RID, func(s slot, rid uint64) int {
		if s.arrival.RID < rid {
			return -1
		}
		return 1
	})
	w.slots = slices.Insert(w.slots, i, slot{arrival: a, came: now})
	w.confirm(a, now)
	return Verdict{Outcome: Fresh}
}

// reach is the lowest rid that has not come.
func (w *Window) reach() uint64 {
	rid := w.next
	for i := range w.slots {
		if w.slots[i].arrival.RID == rid {
			rid++
		}
	}
	return rid
}

func refuse(condition, reason string) Verdict {
	return Verdict{Outcome: Refuse, Condition: condition, Reason: reason}
}

func (w *Window) find(rid uint64) int {
	return slices.IndexFunc(w.slots, func(s slot) bool { return s.arrival.RID == rid })
}

// overactive polices empty requests (XEP-0124 §11, §12). A polling session may
// send one each polling interval. Others only have to stop short of spinning: a
// reload or a cut connection makes a client come back at once, and is forgiven.
func (w *Window) overactive(a Arrival, now time.Time) (Verdict, bool) {
	if !a.Empty || a.Pause || a.Terminate {
		w.lastEmpty, w.restless = time.Time{}, 0
		return Verdict{}, false
	}
	least := w.p.Polling
	if !w.p.polls() {
		least = min(least, w.p.Wait) // who asked not to be held for longer
	}
	// A fifth off for what the network makes of a client's interval.
	soon := !w.lastEmpty.IsZero() && now.Sub(w.lastEmpty) < least*4/5 &&
		(w.answeredEmpty(w.emptyRID) || !w.p.polls() && w.find(w.emptyRID) >= 0)
	w.lastEmpty, w.emptyRID = now, a.RID
	if !soon {
		w.restless = 0
		return Verdict{}, false
	}
	w.restless++
	if w.p.polls() || w.restless > 20 {
		return refuse("policy-violation", "empty requests too often"), true
	}
	return Verdict{}, false
}

func (w *Window) answeredEmpty(rid uint64) bool {
	for i := range w.cache {
		if w.cache[i].rid == rid {
			return !bytes.HasSuffix(w.cache[i].response, []byte(bodyEnd))
		}
	}
	return false
}

// Turn returns the request to be processed next, if it has come.
func (w *Window) Turn() (Arrival, bool) {
	for i := range w.slots {
		if s := &w.slots[i]; !s.held && (s.arrival.RID < w.next || s.arrival.RID == w.next && !w.hesitates(s)) {
			return s.arrival, true
		}
	}
	return Arrival{}, false
}

// Keyed reports whether requests have to show keys.
func (w *Window) Keyed() bool { return w.key != "" }

// Unlock checks the key of the request whose turn it is (XEP-0124 §15).
func (w *Window) Unlock(a Arrival) bool {
	if w.key == "" {
		return true
	}
	if !strings.EqualFold(keyHash(a.Key), w.key) {
		return false
	}
	w.key = a.Key
	if a.NewKey != "" {
		w.key = a.NewKey
	}
	return true
}

// Done notes that the request whose turn it was is processed.
func (w *Window) Done(rid uint64) {
	if i := w.find(rid); i >= 0 {
		w.slots[i].held = true
	}
	if rid == w.next {
		w.next++
		return
	}
	w.lost = slices.DeleteFunc(w.lost, func(r uint64) bool { return r == rid })
	w.doubt = w.doubt && len(w.lost) > 0
}

// Oldest returns the processed request that is to be answered first.
func (w *Window) Oldest() (rid uint64, ok bool) {
	if len(w.slots) > 0 && w.slots[0].held {
		return w.slots[0].arrival.RID, true
	}
	return 0, false
}

// Over reports whether more requests are held than was agreed, so that the
// oldest has to be answered now; so it has when the client misses a response.
func (w *Window) Over() bool {
	if len(w.slots) == 0 || !w.slots[0].held {
		return false
	}
	return len(w.slots) > w.p.Hold || w.p.Wait == 0 || w.report != 0
}

// Unanswered counts the requests without an answer.
func (w *Window) Unanswered() int { return len(w.slots) }
