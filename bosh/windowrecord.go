package bosh

import (
	"slices"
	"time"

	"github.com/deskline/deskline/internal/pack"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

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
	dst = pack.Bool(dst, w.doubt)
	held := 0
	for i := range w.slots {
		if w.slots[i].held {
			held++
		}
	}
	dst = pack.Uint(dst, uint64(held)) //nolint:gosec // a count
	for i := range w.slots {
		if s := &w.slots[i]; s.held {
			dst = pack.String(pack.Uint(dst, s.arrival.RID), s.arrival.Key)
			dst = pack.Bool(pack.Bool(dst, s.arrival.Empty), s.arrival.Pause)
		}
	}
	dst = pack.Uint(dst, uint64(len(w.cache)))
	for i := range w.cache {
		a := &w.cache[i]
		dst = pack.Bool(pack.String(pack.Uint(dst, a.rid), a.key), a.pause)
		dst = pack.Bytes(pack.Time(dst, a.at), a.response)
		dst = appendFrames(dst, a.frames)
	}
	dst = pack.Time(pack.Uint(dst, w.report), w.reportAt)
	dst = pack.Uint(pack.Time(dst, w.lastEmpty), w.emptyRID)
	return pack.Uint(dst, uint64(w.restless)), nil //nolint:gosec // a count
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
	w.doubt = r.Bool()
	for range r.Count() {
		a := Arrival{RID: r.Uint(), Key: r.String(), Empty: r.Bool(), Pause: r.Bool()}
		w.slots = append(w.slots, slot{arrival: a, came: now, held: true})
	}
	for range r.Count() {
		a := answered{rid: r.Uint(), key: r.String(), pause: r.Bool(), at: r.Time()}
		a.response = slices.Clone(r.Bytes())
		a.frames = readFrames(r, a.response)
		w.cache = append(w.cache, a)
		w.kept += a.size()
	}
	w.report, w.reportAt = r.Uint(), r.Time()
	w.lastEmpty, w.emptyRID, w.restless = r.Time(), r.Uint(), int(min(r.Uint(), 1000)) //nolint:gosec // bounded
	return w
}

// appendFrames writes down what is to be rescued of a response should the
// session end before the client has it. The stanzas are in the response.
func appendFrames(dst []byte, frames []session.Frame) []byte {
	messages := 0
	for i := range frames {
		if isMessage(frames[i].Stanza) {
			messages++
		}
	}
	dst = pack.Uint(dst, uint64(messages)) //nolint:gosec // a count
	for i := range frames {
		if st := frames[i].Stanza; isMessage(st) {
			dst = appendRemarks(dst, st)
		}
	}
	return dst
}

// readFrames is the inverse of appendFrames.
func readFrames(r *pack.Reader, response []byte) (frames []session.Frame) {
	remarks := make([]remarks, 0, 4)
	for range r.Count() {
		remarks = append(remarks, readRemarks(r))
	}
	if len(remarks) == 0 {
		return nil
	}
	size := len(response) + 1
	n, err := stanza.ParseBody(slices.Clone(response), stanza.Limits{Bytes: size, StanzaBytes: size, Depth: 1000, Attrs: 1000, Children: size})
	if err != nil {
		return nil
	}
	for i := range n.Children {
		if st, err := n.Children[i].Stanza(); err == nil && isMessage(st) && len(remarks) > 0 {
			remarks[0].putOn(st)
			remarks = remarks[1:]
			frames = append(frames, session.Frame{Stanza: st})
		}
	}
	return frames
}

// isMessage reports whether a stanza is a message that goes on if its receiver
// does not get it.
func isMessage(st *stanza.Stanza) bool {
	return st != nil && st.Kind == stanza.KindMessage && st.Type != "error" && st.Type != "headline"
}

// remarks are what is known of a stanza and not encoded in it.
type remarks struct {
	worth, kept bool // worth saving
	arrived     time.Time
	also        []string
}

func appendRemarks(dst []byte, st *stanza.Stanza) []byte {
	if st == nil {
		return pack.Bool(dst, false)
	}
	dst = pack.Time(pack.Bool(pack.Bool(dst, true), st.Kept), st.Arrived)
	dst = pack.Uint(dst, uint64(len(st.Also)))
	for _, sid := range st.Also {
		dst = pack.String(dst, sid)
	}
	return dst
}

func readRemarks(r *pack.Reader) (m remarks) {
	if m.worth = r.Bool(); !m.worth {
		return m
	}
	m.kept, m.arrived = r.Bool(), r.Time()
	for range r.Count() {
		m.also = append(m.also, r.String())
	}
	return m
}

func (m *remarks) putOn(st *stanza.Stanza) { st.Kept, st.Arrived, st.Also = m.kept, m.arrived, m.also }
