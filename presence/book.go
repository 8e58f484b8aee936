package presence

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Why a book does not take evidence.
var (
	ErrStale = errors.New("something newer is known already")
	ErrFull  = errors.New("too many lines and calendars for one user")
)

// maxEvidence is how many lines and calendars one user has at most, maxPeriods how
// many periods one calendar.
const (
	maxEvidence = 64
	maxPeriods  = 512
)

// Book keeps what is known of one user: the latest of each source and item. The
// zero Book is empty. It is not for concurrent use.
type Book struct {
	all   []Evidence // by source and item
	ended []ending   // what was taken back a short time ago
}

// ending remembers what was taken back, so that news of before that come late, as by
// another node, do not bring it up again.
type ending struct {
	source, item string
	seq          uint64
	until        time.Time
}

// LateFor is how long news come late at most. Only numbers from Timed on, which are times in microseconds,
// count after the end: others may begin anew.
const (
	LateFor = time.Minute
	Timed   = 1e15
)

// Put takes evidence at the time it was received, and reports whether that changed
// anything. Evidence without a beginning began now, unless it goes on with what the
// same line has been doing.
func (b *Book) Put(e Evidence, now time.Time) (bool, error) {
	at, found := slices.BinarySearchFunc(b.all, e, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Item, b.Item))
	})
	if found && !b.all[at].Expires.After(now) {
		b.all = slices.Delete(b.all, at, at+1)
		found = false
	}
	if found && e.Seq < b.all[at].Seq || !found && b.over(e, now) {
		return false, ErrStale
	}
	if !e.Expires.After(now) {
		if found {
			b.all = slices.Delete(b.all, at, at+1)
			b.end(e, now)
		}
		return found, nil
	}
	if e.Since.IsZero() || e.Since.After(now) {
		e.Since = now
		if found && busy(b.all[at].Line) == busy(e.Line) {
			e.Since = b.all[at].Since
		}
	}
	if len(e.Periods) > maxPeriods {
		e.Periods = e.Periods[:maxPeriods]
	}
	if found {
		b.all[at] = e
		return true, nil
	}
	if b.drop(now); len(b.all) >= maxEvidence {
		return false, ErrFull
	}
	at, _ = slices.BinarySearchFunc(b.all, e, func(a, b Evidence) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Item, b.Item))
	})
	b.all = slices.Insert(b.all, at, e)
	return true, nil
}

func (b *Book) end(e Evidence, now time.Time) {
	if e.Seq < Timed {
		return
	}
	b.ended = append(b.ended, ending{e.Source, e.Item, e.Seq, now.Add(LateFor)})
	b.ended = b.ended[max(0, len(b.ended)-maxEvidence):]
}

// over reports whether evidence is older than what was taken back.
func (b *Book) over(e Evidence, now time.Time) bool {
	b.ended = slices.DeleteFunc(b.ended, func(o ending) bool { return !o.until.After(now) })
	return slices.ContainsFunc(b.ended, func(o ending) bool { return o.source == e.Source && o.item == e.Item && o.seq > e.Seq })
}

// Rest returns until when an empty book is to be kept for what it remembers, zero if it
// need not be.
func (b *Book) Rest(now time.Time) (until time.Time) {
	for _, o := range b.ended {
		if o.until.After(now) && o.until.After(until) {
			until = o.until
		}
	}
	return until
}

func busy(l Line) bool { return l == LineHeld || l == LineInCall }

// drop forgets what has expired.
func (b *Book) drop(now time.Time) {
	b.all = slices.DeleteFunc(b.all, func(e Evidence) bool { return !e.Expires.After(now) })
}

// Live returns what is known now, in the order of source and item. The list is the
// book's own.
func (b *Book) Live(now time.Time) []Evidence {
	b.drop(now)
	return b.all
}
