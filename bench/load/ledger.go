package load

import (
	"bytes"
	"strconv"
	"time"
)

// Ledger is what became of the messages sent.
type Ledger struct {
	Sent       int `json:"sent"`
	Delivered  int `json:"delivered"` // distinct messages
	Lost       int `json:"lost"`
	Doubled    int `json:"doubled"`
	OutOfOrder int `json:"out_of_order"`
	Strange    int `json:"strange"` // unreadable, unknown, or at the wrong session
}

// Clean reports that each message arrived once and in order.
func (l Ledger) Clean() bool {
	return l.Lost == 0 && l.Doubled == 0 && l.OutOfOrder == 0 && l.Strange == 0
}

// Add sums two ledgers.
func (l Ledger) Add(o Ledger) Ledger {
	return Ledger{
		l.Sent + o.Sent, l.Delivered + o.Delivered, l.Lost + o.Lost,
		l.Doubled + o.Doubled, l.OutOfOrder + o.OutOfOrder, l.Strange + o.Strange,
	}
}

// Stream is the row of messages from one session to another. It is not safe for
// concurrent use.
type Stream struct {
	ID      int
	sentAt  []time.Time // by place; when the message was due
	arrived []bool
	next    int // place after the furthest one that arrived
}

// Verdict is what one arrival means.
type Verdict uint8

// The verdicts. Strange is a message that was never sent, or not here.
const (
	InOrder Verdict = iota
	OutOfOrder
	Doubled
	Strange
)

// Send books one message and returns its place.
func (s *Stream) Send(due time.Time) int {
	s.sentAt = append(s.sentAt, due)
	s.arrived = append(s.arrived, false)
	return len(s.sentAt) - 1
}

// Arrive books one arrival. A gap is no fault yet: what should fill it is out
// of order when it comes and lost when it does not.
func (s *Stream) Arrive(place int) Verdict {
	switch {
	case place < 0 || place >= len(s.sentAt):
		return Strange
	case s.arrived[place]:
		return Doubled
	}
	s.arrived[place] = true
	if place < s.next {
		return OutOfOrder
	}
	s.next = place + 1
	return InOrder
}

// Sent is how many messages were booked.
func (s *Stream) Sent() int { return len(s.sentAt) }

// Next is the place after the furthest message that arrived.
func (s *Stream) Next() int { return s.next }

// Lost is how many messages have not arrived (yet).
func (s *Stream) Lost() int {
	n := 0
	for _, ok := range s.arrived {
		if !ok {
			n++
		}
	}
	return n
}

// Count books a verdict.
func (l *Ledger) Count(v Verdict) {
	switch v {
	case Doubled:
		l.Doubled++
		return
	case Strange:
		l.Strange++
		return
	case OutOfOrder:
		l.OutOfOrder++
	}
	l.Delivered++
}

// AppendMark appends the mark that a message's text begins with: '#', stream,
// ':', place, '#'.
func AppendMark(dst []byte, id, place int) []byte {
	dst = strconv.AppendInt(append(dst, '#'), int64(id), 10)
	dst = strconv.AppendInt(append(dst, ':'), int64(place), 10)
	return append(dst, '#')
}

var markStart = []byte(">#")

// ParseMark finds the mark in an encoded message.
func ParseMark(msg []byte) (id, place int, ok bool) {
	i := bytes.Index(msg, markStart)
	if i < 0 {
		return 0, 0, false
	}
	id, rest, ok := digits(msg[i+2:], ':')
	if !ok {
		return 0, 0, false
	}
	place, _, ok = digits(rest, '#')
	return id, place, ok
}

func digits(b []byte, end byte) (n int, rest []byte, ok bool) {
	for i, c := range b {
		switch {
		case c == end:
			return n, b[i+1:], i > 0
		case c < '0' || c > '9' || i > 9:
			return 0, nil, false
		}
		n = n*10 + int(c-'0')
	}
	return 0, nil, false
}
