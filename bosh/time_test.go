package bosh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/bosh"
)

// bubble runs a test in which time passes by itself.
func bubble(t *testing.T, name string, cfg bosh.Config, unknown bool, test func(t *testing.T, b *bench)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			b := newDoor(t, cfg)
			b.unknown.Store(unknown)
			done := make(chan error, 1)
			go func() { done <- b.h.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				b.stop()
				pass(time.Minute) // for those who wait for work
			}()
			test(t, b)
		})
	})
}

// pass lets time pass; that is how a bubble's clock goes.
func pass(d time.Duration) { <-time.After(d) }

func TestHeldInTime(t *testing.T) {
	bubble(t, "nothing to say", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f, began := b.create("wait='20' hold='1'"), time.Now()
		want(t, "response", b.mustPost(f.body(101, "", "")), nothing)
		if d := time.Since(began); d != 20*time.Second {
			t.Fatalf("answered after %v", d)
		}
	})
	bubble(t, "a short wait is no spinning", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f := b.create("wait='1' hold='1'")
		for rid := 101; rid < 161; rid++ {
			want(t, "response", b.mustPost(f.body(rid, "", "")), nothing)
		}
	})
	bubble(t, "something to say", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f, began := b.create(""), time.Now()
		held := b.later(t.Context(), f.body(101, "", ""))
		pass(7 * time.Second)
		f.write(t, "<x/>")
		wantIn(t, "response", <-held, "<x/>")
		if d := time.Since(began); d != 7*time.Second {
			t.Fatalf("answered after %v", d)
		}
	})
	bubble(t, "a repeat waits no longer than the first copy", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f := b.create("")
		first := b.later(t.Context(), f.body(101, "", ""))
		pass(10 * time.Second)
		began := time.Now()
		second := b.later(t.Context(), f.body(101, "", ""))
		want(t, "first copy", <-first, nothing)
		want(t, "second copy", <-second, nothing)
		if d := time.Since(began); d != 20*time.Second {
			t.Fatalf("answered after %v", d)
		}
	})
}

// XEP-0124 §10.
func TestInactivity(t *testing.T) {
	cfg := bosh.Config{Inactivity: 30 * time.Second, MaxPause: 2 * time.Minute}
	for _, tc := range []struct {
		name, attrs string        // of the last request before the silence
		alive, dead time.Duration // since its answer
		reason      string
	}{
		{"nothing said", "", 29 * time.Second, 32 * time.Second, "inactivity"},
		{"pause", "pause='100'", 99 * time.Second, 102 * time.Second, "did not come back from a pause"},
		{"pause shorter than usual", "pause='10'", 9 * time.Second, 12 * time.Second, "did not come back from a pause"},
		{"pause as long as usual", "pause='30'", 29 * time.Second, 32 * time.Second, "did not come back from a pause"},
		{"pause longer than allowed", "pause='100000'", 119 * time.Second, 122 * time.Second, "did not come back from a pause"},
		{"pause of nothing", "pause='0'", 29 * time.Second, 32 * time.Second, "inactivity"},
	} {
		request := func(b *bench, f *fake) string {
			if tc.attrs == "" {
				return b.mustPost(f.body(101, "", echo("a")))
			}
			return b.mustPost(f.body(101, tc.attrs, ""))
		}
		bubble(t, tc.name+", back in time", cfg, false, func(t *testing.T, b *bench) {
			f := b.create("")
			request(b, f)
			pass(tc.alive)
			wantIn(t, "response", b.mustPost(f.body(102, "", echo("b"))), "<message id='b'/>")
			// From then on the usual period counts.
			pass(29 * time.Second)
			wantIn(t, "response", b.mustPost(f.body(103, "", echo("c"))), "<message id='c'/>")
			pass(32 * time.Second)
			want(t, "log", <-f.ended, "inactivity")
		})
		bubble(t, tc.name+", back too late", cfg, false, func(t *testing.T, b *bench) {
			f := b.create("")
			request(b, f)
			pass(tc.dead)
			want(t, "log", <-f.ended, tc.reason)
			// As if the session did not exist, but with the reason.
			wantIn(t, "response", b.mustPost(f.body(102, "", echo("b"))), "type='terminate' condition='item-not-found'", tc.reason)
		})
	}
	bubble(t, "not while a request is held", cfg, false, func(t *testing.T, b *bench) {
		f := b.create("wait='50' hold='1'")
		want(t, "response", b.mustPost(f.body(101, "", "")), nothing)
		wantIn(t, "response", b.mustPost(f.body(102, "", echo("a"))), "<message id='a'/>")
	})
	bubble(t, "a held request whose client has gone does not count", cfg, false, func(t *testing.T, b *bench) {
		f := b.create("wait='50' hold='1'")
		ctx, cancel := context.WithCancel(t.Context())
		gone := b.later(ctx, f.body(101, "", ""))
		pass(10 * time.Second)
		cancel()
		<-gone
		pass(32 * time.Second)
		want(t, "log", <-f.ended, "inactivity")
	})
	bubble(t, "a repeat is a sign of life", cfg, false, func(t *testing.T, b *bench) {
		f := b.create("")
		for range 3 {
			wantIn(t, "response", b.mustPost(f.body(101, "", echo("a"))), "<message id='a'/>")
			pass(25 * time.Second)
		}
	})
}

// XEP-0124 §10: a pause is answered at once, with all that is held, and with
// nothing in it; what there is to say comes when the client is back.
func TestPause(t *testing.T) {
	for _, attrs := range []string{"pause='60'", "pause='0'", "pause='900'"} {
		bubble(t, attrs, bosh.Config{MaxPause: 90 * time.Second}, false, func(t *testing.T, b *bench) {
			f := b.create("")
			held := b.later(t.Context(), f.body(101, "", ""))
			synctest.Wait()
			want(t, "pause", b.mustPost(f.body(102, attrs, echo("a"))), nothing)
			want(t, "held", <-held, nothing)
			f.write(t, "<x/>")
			pass(20 * time.Second)
			want(t, "repeat of the pause", b.mustPost(f.body(102, attrs, echo("a"))), nothing)
			want(t, "back", b.mustPost(f.body(103, "", "")), "<body "+ns+"><message id='a'/><x/></body>")
			want(t, "received", f.got(), "a")
		})
	}
}

// XEP-0124 §12: clients that have no connection to spare ask from time to time.
func TestPolling(t *testing.T) {
	type poll struct {
		after   time.Duration
		payload string
		write   string
		want    string
	}
	empty := func(after time.Duration) poll { return poll{after: after, want: nothing} }
	const tooSoon = "condition='policy-violation'"
	for _, tc := range []struct {
		name  string
		polls []poll
	}{
		{"as agreed", []poll{empty(5 * time.Second), empty(5 * time.Second), empty(5 * time.Second)}},
		{"as agreed, by an uneven network", []poll{empty(5 * time.Second), empty(4100 * time.Millisecond), empty(5900 * time.Millisecond)}},
		{"the first at once", []poll{empty(0), empty(5 * time.Second)}},
		{"too soon", []poll{empty(5 * time.Second), {after: 2 * time.Second, want: tooSoon}}},
		{"soon after a payload", []poll{{payload: echo("a"), want: "<message id='a'/>"}, empty(0), empty(5 * time.Second)}},
		{"soon after a response with a payload", []poll{{write: "<x/>", want: "<x/>"}, {write: "<y/>", want: "<y/>"}, empty(0)}},
		{"payloads as often as there are", []poll{{payload: note("a"), want: nothing}, {payload: note("b"), want: nothing}, {payload: note("c"), want: nothing}}},
	} {
		for _, mode := range []string{"wait='0' hold='1'", "wait='30' hold='0'", "wait='0' hold='0' ack='1'"} {
			bubble(t, tc.name+" "+mode, bosh.Config{}, false, func(t *testing.T, b *bench) {
				f, rid := b.create(mode), 101
				for _, p := range tc.polls {
					pass(p.after)
					if p.write != "" {
						f.write(t, p.write)
					}
					began := time.Now()
					wantIn(t, "poll", b.mustPost(f.body(rid, "", p.payload)), p.want)
					if time.Since(began) != 0 {
						t.Fatal("a poll is never held")
					}
					rid++
				}
			})
		}
	}
	bubble(t, "longer inactivity", bosh.Config{Inactivity: 20 * time.Second, Polling: 15 * time.Second}, false, func(t *testing.T, b *bench) {
		f := b.create("wait='0' hold='0'")
		b.mustPost(f.body(101, "", ""))
		pass(49 * time.Second)
		want(t, "response", b.mustPost(f.body(102, "", "")), nothing)
		pass(52 * time.Second)
		want(t, "log", <-f.ended, "inactivity")
	})
}

// XEP-0124 §11: others only have to stop short of spinning; a reload makes a
// client come back at once.
func TestSpinning(t *testing.T) {
	bubble(t, "a few", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f := b.create("")
		for rid := range 10 {
			b.later(t.Context(), f.body(101+rid, "", ""))
			synctest.Wait()
		}
		wantIn(t, "response", b.mustPost(f.body(111, "", echo("a"))), "<body "+ns)
	})
	bubble(t, "endless", bosh.Config{}, false, func(t *testing.T, b *bench) {
		f := b.create("")
		for rid := range 30 {
			b.later(t.Context(), f.body(101+rid, "", ""))
			synctest.Wait()
		}
		want(t, "log", <-f.ended, "policy-violation: empty requests too often")
	})
}

// Who opens a session and does not log in is not waited for.
func TestUnauthenticated(t *testing.T) {
	cfg := bosh.Config{Unauthenticated: 10 * time.Second}
	bubble(t, "never", cfg, true, func(t *testing.T, b *bench) {
		f := b.create("")
		held := b.mustPost(f.body(101, "", ""))
		wantIn(t, "held request", held, "condition='remote-stream-error'", "<connection-timeout", "not authenticated in time")
		want(t, "log", <-f.ended, "connection-timeout: not authenticated in time")
	})
	bubble(t, "in time", cfg, true, func(t *testing.T, b *bench) {
		f := b.create("")
		b.mustPost(f.body(101, "", echo("a")+"<auth type='login'/>"))
		pass(20 * time.Second)
		wantIn(t, "response", b.mustPost(f.body(102, "", echo("b"))), "<message id='b'/>")
	})
}
