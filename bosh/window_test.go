package bosh_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
)

var start = time.Unix(1_000_000, 0)

func params() bosh.Params {
	return bosh.Params{Wait: time.Minute, Hold: 1, Requests: 2, Polling: 5 * time.Second, Inactivity: time.Minute, MaxPause: 2 * time.Minute}
}

// opened returns a window whose creating request, rid, is answered.
func opened(p bosh.Params, rid uint64) *bosh.Window {
	w := bosh.NewWindow(p, bosh.Arrival{RID: rid})
	w.Done(rid)
	w.Answer([]byte("created"), nil, start)
	return w
}

// process carries out all turns and returns their rids.
func process(w *bosh.Window) (done []uint64) {
	for {
		a, ok := w.Turn()
		if !ok {
			return done
		}
		done = append(done, a.RID)
		w.Done(a.RID)
	}
}

func TestWindowOrder(t *testing.T) {
	w := opened(params(), 10)
	if v := w.Accept(bosh.Arrival{RID: 12}, start); v.Outcome != bosh.Fresh {
		t.Fatalf("overtaking request: %+v", v)
	}
	if done := process(w); len(done) != 0 {
		t.Fatalf("processed %v before their turn", done)
	}
	if v := w.Accept(bosh.Arrival{RID: 11}, start); v.Outcome != bosh.Fresh {
		t.Fatalf("overtaken request: %+v", v)
	}
	if done := process(w); !slices.Equal(done, []uint64{11, 12}) {
		t.Fatalf("processed %v", done)
	}
	if rid, ok := w.Oldest(); !ok || rid != 11 || !w.Over() {
		t.Fatalf("the overtaken request is to be answered at once, not %d", rid)
	}
	w.Answer([]byte("eleven"), nil, start)
	if w.Over() {
		t.Fatal("the newest request is to be held")
	}
}

func TestWindowRefusals(t *testing.T) {
	for _, tc := range []struct {
		name      string
		before    []uint64
		a         bosh.Arrival
		condition string
	}{
		{"far beyond the window", nil, bosh.Arrival{RID: 13}, "item-not-found"},
		{"one beyond is for terminate", nil, bosh.Arrival{RID: 13, Terminate: true}, ""},
		{"far below", nil, bosh.Arrival{RID: 3}, "item-not-found"},
		{"zero", nil, bosh.Arrival{RID: 0}, "item-not-found"},
		{"largest", nil, bosh.Arrival{RID: 1 << 53}, "item-not-found"},
		{"too many", []uint64{11, 12}, bosh.Arrival{RID: 13}, "policy-violation"},
		{"too many but a pause", []uint64{11, 12}, bosh.Arrival{RID: 13, Pause: true}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := opened(params(), 10)
			for _, rid := range tc.before {
				w.Accept(bosh.Arrival{RID: rid}, start)
				process(w)
			}
			v := w.Accept(tc.a, start)
			if v.Condition != tc.condition {
				t.Fatalf("got %+v, want %q", v, tc.condition)
			}
		})
	}
}

func TestWindowReplay(t *testing.T) {
	w := opened(params(), 10)
	w.Accept(bosh.Arrival{RID: 11, Key: "k"}, start)
	process(w)
	if v := w.Accept(bosh.Arrival{RID: 11, Key: "k"}, start); v.Outcome != bosh.Again {
		t.Fatalf("repeat of a held request: %+v", v)
	}
	w.Answer([]byte("eleven"), nil, start)
	if v := w.Accept(bosh.Arrival{RID: 11, Key: "k"}, start); v.Outcome != bosh.Replay || string(v.Response) != "eleven" {
		t.Fatalf("repeat of an answered request: %+v", v)
	}
	if v := w.Accept(bosh.Arrival{RID: 11, Key: "other"}, start); v.Condition != "item-not-found" {
		t.Fatalf("repeat with another key: %+v", v)
	}
	if v := w.Accept(bosh.Arrival{RID: 10}, start); v.Outcome != bosh.Replay {
		t.Fatalf("the last two responses are kept: %+v", v)
	}
}

func TestWindowKeys(t *testing.T) {
	// A sequence from the seed "s": each key is the hash of the one used after it.
	keys := []string{"s"}
	for range 3 {
		keys = append(keys, bosh.KeyHash(keys[len(keys)-1]))
	}
	w := bosh.NewWindow(params(), bosh.Arrival{RID: 1, NewKey: keys[3]})
	w.Done(1)
	w.Answer(nil, nil, start)
	for i, tc := range []struct {
		key string
		ok  bool
	}{{keys[2], true}, {keys[1], true}, {"forged", false}, {keys[0], true}, {"", false}} {
		if got := w.Unlock(bosh.Arrival{Key: tc.key}); got != tc.ok {
			t.Fatalf("step %d: unlocked %v, want %v", i, got, tc.ok)
		}
	}
}

func TestWindowPolling(t *testing.T) {
	p := params()
	p.Hold, p.Wait = 0, 0
	w := opened(p, 1)
	poll := func(rid uint64, at time.Duration) bosh.Verdict {
		v := w.Accept(bosh.Arrival{RID: rid, Empty: true}, start.Add(at))
		if v.Outcome == bosh.Fresh {
			process(w)
			if !w.Over() {
				t.Fatal("a polling session never has a request held")
			}
			w.Answer(nil, nil, start.Add(at))
		}
		return v
	}
	poll(2, 0)
	if v := poll(3, 6*time.Second); v.Outcome != bosh.Fresh {
		t.Fatalf("slow enough: %+v", v)
	}
	if v := poll(4, 7*time.Second); v.Condition != "policy-violation" {
		t.Fatalf("too soon: %+v", v)
	}
}

func TestWindowAcks(t *testing.T) {
	p := params()
	p.Acks = true
	w := opened(p, 1)
	for rid := uint64(2); rid <= 6; rid++ {
		if v := w.Accept(bosh.Arrival{RID: rid, Ack: 1}, start); v.Outcome != bosh.Fresh {
			t.Fatalf("%d: %+v", rid, v)
		}
		process(w)
		got := string(w.AppendAttrs(nil, rid, start.Add(time.Second)))
		if rid > 2 && got != " report='2' time='1000'" {
			t.Fatalf("response to %d reports %q", rid, got)
		}
		w.Answer([]byte{byte(rid)}, nil, start)
	}
}

// FuzzWindow delivers requests in random order with repeats and losses of
// the first copy, and proves that each is processed once and in order.
func FuzzWindow(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, seed uint64, requests uint8) {
		p := params()
		p.Requests = 2 + int(requests%4)
		p.Hold = p.Requests - 1
		rng := rand.New(rand.NewPCG(seed, 1))
		w := opened(p, 100)
		next, sent := uint64(101), []uint64{}
		var done []uint64
		for range 300 {
			for len(sent) < p.Requests {
				sent, next = append(sent, next), next+1
			}
			rid := sent[rng.IntN(len(sent))]
			v := w.Accept(bosh.Arrival{RID: rid}, start)
			if v.Outcome == bosh.Refuse {
				t.Fatalf("request %d refused: %+v", rid, v)
			}
			done = append(done, process(w)...)
			for w.Over() || rng.IntN(3) == 0 {
				oldest, ok := w.Oldest()
				if !ok {
					break
				}
				w.Answer([]byte("x"), nil, start)
				sent = slices.DeleteFunc(sent, func(r uint64) bool { return r == oldest })
			}
		}
		for i, rid := range done {
			if rid != 101+uint64(i) {
				t.Fatalf("processed %v", done)
			}
		}
	})
}
