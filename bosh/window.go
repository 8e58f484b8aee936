package bosh

import (
	"slices"
	"time"

	"github.com/deskline/deskline/session"
)

// maxRID is the largest request id there can be (XEP-0124 §14.1).
const maxRID = 1 << 53

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

// answered is a response kept for repeats of its request.
type answered struct {
	rid      uint64
	key      string
	at       time.Time
	response []byte
	frames   []session.Frame // to rescue should the session end before the client has them
}

// Window orders the requests of one session and remembers its responses
// (XEP-0124 §9, §14, §15). It is a pure state machine: it holds no lock, reads
// no clock and does no I/O.
type Window struct {
	p        Params
	next     uint64     // the request to be processed next
	lost     []uint64   // requests before it that were given up and have not come
	slots    []slot     // unanswered, by rid
	cache    []answered // by rid, oldest first
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
	if !late && a.RID >= w.next+room && !w.forgotten(a, room) {
		return refuse("item-not-found", "rid beyond the window")
	}
	if uint64(len(w.slots)) >= room {
		return refuse("policy-violation", "too many simultaneous requests")
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

func refuse(condition, reason string) Verdict {
	return Verdict{Outcome: Refuse, Condition: condition, Reason: reason}
}

func (w *Window) find(rid uint64) int {
	return slices.IndexFunc(w.slots, func(s slot) bool { return s.arrival.RID == rid })
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
	return refuse("item-not-found", "the response is no longer kept")
}

// overactive polices empty requests (XEP-0124 §11, §12). A polling session may
// send one each polling interval. Others only have to stop short of spinning: a
// reload or a cut connection makes a client come back at once, and is forgiven.
func (w *Window) overactive(a Arrival, now time.Time) (Verdict, bool) {
	if !a.Empty || a.Pause || a.Terminate {
		w.lastEmpty, w.restless = time.Time{}, 0
		return Verdict{}, false
	}
	soon := !w.lastEmpty.IsZero() && now.Sub(w.lastEmpty) < w.p.Polling && w.answeredEmpty(w.emptyRID)
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
			return len(w.cache[i].response) <= len(emptyBody)
		}
	}
	return false
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
// the client has not confirmed (XEP-0124 §14.3).
func (w *Window) trim() {
	for i := range w.cache {
		if w.cache[i].rid <= w.acked {
			w.cache[i].frames = nil
		}
	}
	for len(w.cache) > w.p.Requests {
		if w.p.Acks && w.cache[0].rid > w.acked && len(w.cache) < maxUnacked {
			return
		}
		w.cache = slices.Delete(w.cache, 0, 1)
	}
}

// maxUnacked bounds the responses kept for a client that asked for
// acknowledgements and gives none.
const maxUnacked = 64

// Turn returns the request to be processed next, if it has come.
func (w *Window) Turn() (Arrival, bool) {
	for i := range w.slots {
		if s := &w.slots[i]; !s.held && s.arrival.RID <= w.next {
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
	if keyHash(a.Key) != w.key {
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
	w.cache = append(w.cache, answered{rid: s.arrival.RID, key: s.arrival.Key, at: now, response: response, frames: frames})
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
