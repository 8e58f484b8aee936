package bosh_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// written is a window written down.
func written(t *testing.T, w *bosh.Window) string {
	t.Helper()
	data, err := w.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(data)
}

// restored is a window that was written down and read back.
func restored(t *testing.T, w *bosh.Window) *bosh.Window {
	t.Helper()
	data, err := hex.DecodeString(written(t, w))
	if err != nil {
		t.Fatal(err)
	}
	again, err := bosh.ReadWindow(data, start)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// life is what happens to a window, drawn at random.
type life struct {
	rng  *rand.Rand
	now  time.Time
	top  uint64 // highest rid that came
	keys []string
}

// arrival draws a request, most often the next one.
func (l *life) arrival(p bosh.Params) bosh.Arrival {
	a := bosh.Arrival{RID: l.top + 1, Empty: l.rng.IntN(2) == 0}
	switch l.rng.IntN(6) {
	case 0:
		a.RID = l.top + uint64(l.rng.IntN(5)) - 2
	case 1:
		a.RID = l.top + 2
	}
	a.Pause, a.Terminate = l.rng.IntN(12) == 0, l.rng.IntN(20) == 0
	if p.Acks && l.rng.IntN(3) > 0 {
		a.Ack = a.RID - min(a.RID, uint64(1+l.rng.IntN(4)))
	}
	if i := int(a.RID) - 101; len(l.keys) > 0 && i >= 0 && i < len(l.keys) && l.rng.IntN(30) > 0 {
		a.Key = l.keys[i]
		if l.rng.IntN(20) == 0 {
			a.NewKey = bosh.KeyHash("another")
		}
	}
	return a
}

// event returns something that can be done to any window and tells what it did.
func (l *life) event(p bosh.Params) func(w *bosh.Window) string {
	l.now = l.now.Add(time.Duration(l.rng.IntN(4000)) * time.Millisecond)
	now := l.now
	switch l.rng.IntN(10) {
	case 0, 1, 2, 3:
		a := l.arrival(p)
		l.top = max(l.top, a.RID)
		return func(w *bosh.Window) string { return fmt.Sprintf("%+v", w.Accept(a, now)) }
	case 4, 5, 6:
		return func(w *bosh.Window) string {
			a, ok := w.Turn()
			if !ok {
				return "no turn"
			}
			unlocked := w.Unlock(a)
			w.Done(a.RID)
			return fmt.Sprintf("%+v %v", a, unlocked)
		}
	case 7, 8:
		frames := make([]session.Frame, l.rng.IntN(3))
		text, body := "", bosh.EmptyBody
		for i := range frames {
			st := &stanza.Stanza{Kind: stanza.KindMessage, ID: fmt.Sprint(l.rng.IntN(1000)), Kept: l.rng.IntN(2) == 0, Also: []string{"a", "b"}}
			frames[i] = session.Frame{Bytes: st.AppendXML(nil), Stanza: st}
			text += string(frames[i].Bytes)
		}
		if text != "" {
			body = []byte("<body " + ns + "><presence xmlns='jabber:client'/>" + text + "</body>")
		}
		return func(w *bosh.Window) string {
			rid, ok := w.Oldest()
			if !ok {
				return "nothing to answer"
			}
			attrs := w.AppendAttrs(nil, rid, now)
			w.Answer(body, frames, now)
			return fmt.Sprintf("%d%s", rid, attrs)
		}
	}
	rid := l.top - min(l.top, uint64(l.rng.IntN(3)))
	return func(w *bosh.Window) string {
		w.Got(rid)
		return fmt.Sprint(w.GiveUp(now))
	}
}

// look tells what can be asked of a window.
func look(w *bosh.Window) string {
	rid, ok := w.Oldest()
	next, turn := w.Turn()
	out := fmt.Sprint(rid, ok, next, turn, w.Over(), w.Unanswered(), w.Keyed(), w.Kept(), w.Params())
	for _, f := range w.Unconfirmed() {
		out += fmt.Sprint(" ", f.Stanza.ID, f.Stanza.Kept, f.Stanza.Also)
	}
	return out
}

// FuzzRestoreWindow writes a window down at any point of a random life, and
// proves that what is read back goes on the same, when what had come too early
// comes again.
func FuzzRestoreWindow(f *testing.F) {
	for seed := range uint64(24) {
		f.Add(seed, uint8(seed*37), uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, at, kind uint8) {
		p := params()
		p.Acks = kind&1 != 0
		p.Requests = 2 + int(kind>>1)%3
		p.Hold = p.Requests - 1
		if kind&32 != 0 {
			p.Wait = 0
		}
		l := &life{rng: rand.New(rand.NewPCG(seed, 2)), now: start, top: 100}
		first := bosh.Arrival{RID: 100}
		if kind&64 != 0 {
			l.keys = sequence("seed", 100)
			first.NewKey = bosh.KeyHash(l.keys[0])
		}
		w := bosh.NewWindow(p, first)
		w.Done(100)
		w.Answer([]byte("<body>created</body>"), nil, start)
		for range at {
			l.event(p)(w)
		}
		again := restored(t, w)
		w.Forget()
		for i := range 200 {
			if one, two := written(t, w), written(t, again); one != two || look(w) != look(again) {
				t.Fatalf("after %d events: %s %s\nread back: %s %s", i, one, look(w), two, look(again))
			}
			do := l.event(p)
			if one, two := do(w), do(again); one != two {
				t.Fatalf("event %d: %s\nread back: %s", i, one, two)
			}
		}
	})
}
