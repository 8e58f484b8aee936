package main

import (
	"strings"
	"testing"
	"time"
)

func TestBookTellsViolations(t *testing.T) {
	t.Parallel()
	const second = 2 // stream 0 of this book is number 4
	for _, tc := range []struct {
		name  string
		happy bool
		does  func(b *book, one, two string)
	}{
		{"in order", true, func(b *book, one, two string) { b.arrive(1, 0, []byte(one)); b.arrive(1, 0, []byte(two)) }},
		{"of another scenario", true, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(">#0:0#"))
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
		}},
		{"overtaken by a client that does not put responses in order", true, func(b *book, one, two string) {
			b.arrive(1, 8, []byte(two))
			b.arrive(1, 7, []byte(one))
		}},
		{"refused", true, func(b *book, one, two string) { b.arrive(0, 0, []byte(one)); b.arrive(1, 0, []byte(two)) }},
		{"lost", false, func(b *book, one, _ string) { b.arrive(1, 0, []byte(one)) }},
		{"doubled", false, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
		}},
		{"out of order", false, func(b *book, one, two string) { b.arrive(1, 0, []byte(two)); b.arrive(1, 0, []byte(one)) }},
		{"out of order by its requests", false, func(b *book, one, two string) {
			b.arrive(1, 7, []byte(two))
			b.arrive(1, 8, []byte(one))
		}},
		{"strange", false, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
			b.arrive(1, 0, []byte(">Hello"))
		}},
		{"ended", false, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
			b.fail(1, "item-not-found")
		}},
		{"seen to leave", false, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
			b.away(0, b.full(1))
		}},
		{"too long a pause", false, func(b *book, one, two string) {
			b.arrive(1, 0, []byte(one))
			b.arrive(1, 0, []byte(two))
			b.row.Pauses = []time.Duration{2 * time.Second}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBook(second, "x", 2, 0, time.Second)
			one, two := b.send(0), b.send(0)
			tc.does(b, ">"+one, ">"+two)
			b.close(nil)
			if b.row.Clean() != tc.happy {
				t.Errorf("clean %v: %+v", b.row.Clean(), b.row)
			}
			var out strings.Builder
			printRows(&out, []row{b.row})
			if !strings.Contains(out.String(), "| x | 0 | 2 | 2 |") {
				t.Error(out.String())
			}
		})
	}
}
