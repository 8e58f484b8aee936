package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// ledger is two people who see each other; the first watches the second.
func ledger(t *testing.T) *book {
	t.Helper()
	b := newBook(2, func(i int) []int { return []int{1 - i} }, bounds{100 * time.Millisecond, time.Second, 2 * time.Second, 500 * time.Millisecond})
	b.come(0)
	b.here(0)
	b.begin(1, online, 1, coming, "n1")
	b.accept(1, online, 1)
	b.hear(0, 1, show(available))
	time.Sleep(time.Minute) //nolint:forbidigo // the clock is the test's
	return b
}

func show(s state) shown { return shown{s, names[s].show, s.String()} }

func change(b *book, f fact, value uint8) {
	b.begin(1, f, value, callBegins, "n1")
	b.accept(1, f, value)
}

func wait(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // the clock is the test's

func TestBook(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                               string
		play                               func(b *book)
		stuck, wrong, overridden, repeated int
	}{
		{"all is well", func(b *book) {
			change(b, line, 1)
			b.hear(0, 1, show(onThePhone))
			wait(3 * time.Second)
			change(b, line, 0)
			b.hear(0, 1, show(available))
		}, 0, 0, 0, 0},
		{"never told", func(b *book) { change(b, line, 1) }, 1, 0, 0, 0},
		{"told of what is not", func(b *book) { b.hear(0, 1, show(onThePhone)) }, 1, 1, 0, 0},
		{"a flicker", func(b *book) {
			change(b, line, 1)
			b.hear(0, 1, show(onThePhone))
			wait(3 * time.Second)
			b.hear(0, 1, show(available))
			b.hear(0, 1, show(onThePhone))
		}, 0, 1, 0, 0},
		{"the other way round", func(b *book) {
			change(b, line, 1)
			wait(200 * time.Millisecond)
			change(b, line, 0)
			wait(200 * time.Millisecond)
			change(b, choice, choseAway)
			b.hear(0, 1, show(away))
			b.hear(0, 1, show(onThePhone))
			b.hear(0, 1, show(away))
		}, 0, 1, 0, 0},
		{"dnd overridden", func(b *book) {
			change(b, choice, choseDND)
			b.hear(0, 1, show(dnd))
			wait(3 * time.Second)
			change(b, line, 1)
			wait(3 * time.Second)
			b.hear(0, 1, show(onThePhone))
			b.hear(0, 1, show(dnd))
		}, 0, 1, 1, 0},
		{"twice", func(b *book) { b.hear(0, 1, show(available)) }, 0, 0, 0, 1},
		{"another show", func(b *book) { b.hear(0, 1, shown{available, "dnd", "x"}) }, 0, 1, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := ledger(t)
				tc.play(b)
				for range 100 {
					b.sweep()
					wait(100 * time.Millisecond)
				}
				r := b.row
				if r.Stuck != tc.stuck || r.Wrong != tc.wrong || r.Overridden != tc.overridden || r.Doubled != tc.repeated {
					t.Errorf("%d stuck, %d wrong, %d overridden, %d twice: %+v", r.Stuck, r.Wrong, r.Overridden, r.Doubled, b.told)
				}
				if rest := b.unrest(); rest != "" {
					t.Errorf("no rest: %s", rest)
				}
			})
		})
	}
}
