package sip

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/deskline/deskline/presence"
)

// Requests of one connection are handled beside each other, so that one may overtake
// another, as may one of which a datagram was lost. Those of a list depend on each
// other, and come close together.
const (
	turnWait = 4 * time.Second // since one was let in: a lost datagram was sent three times more, RFC 3261 §17.1.2.2
	turnHeld = 2 * MaxList     // bytes of those that wait
)

// listed is what a subscription to a list has beyond that to a line. All is guarded by
// subscriber.mu.
type listed struct {
	roll    *Roll
	body    []byte                   // the list itself, nil: the server knows it
	trouble string                   // why nothing is told, "" = it is, or nothing is known yet
	held    int                      // bytes of what waits for its turn
	waiting map[uint32]chan struct{} // by CSeq, of which one is sent to when its turn has come
	moved   time.Time                // when a NOTIFY was let in
}

// ListStatus is how a subscription to a list is doing.
type ListStatus struct {
	Members int
	Trouble string // why the server tells nothing of it, "" = it does
}

// recipients writes lines as application/resource-lists+xml (RFC 4826).
func recipients(uris []string) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list>`)
	for _, uri := range uris {
		b.WriteString(`<entry uri="`)
		_ = xml.EscapeText(&b, []byte(uri)) // a buffer takes all
		b.WriteString(`"/>`)
	}
	b.WriteString(`</list></resource-lists>`)
	return b.Bytes()
}

// bring puts the list into the request that begins a dialog, RFC 5367 §3 and 4. The
// server keeps it for those that renew the subscription.
func (l *listed) bring(req *sip.Request) {
	req.AppendHeader(sip.NewHeader("Require", "recipient-list-subscribe"))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/resource-lists+xml"))
	req.AppendHeader(sip.NewHeader("Content-Disposition", "recipient-list"))
	req.SetBody(l.body)
}

// enter locks and returns the watch of a NOTIFY, nil if it is gone. One of a list
// waits a moment for those that were sent before it.
func (s *subscriber) enter(req *sip.Request, n notice) *watch {
	s.mu.Lock()
	w, seq := s.find(req), req.CSeq().SeqNo
	if w == nil || w.list == nil || w.turn(seq, n) || w.list.held+n.size > turnHeld || w.list.waiting[seq] != nil {
		return w
	}
	l, wake := w.list, make(chan struct{}, 1)
	l.waiting[seq] = wake
	l.held += n.size
	defer func() { delete(l.waiting, seq); l.held -= n.size }() // it is locked again
	for {
		timer := time.NewTimer(turnWait)
		s.mu.Unlock()
		late := false
		select {
		case <-wake:
		case <-timer.C:
			late = true
		}
		timer.Stop()
		s.mu.Lock()
		if !late || time.Since(l.moved) >= turnWait && l.first() == seq {
			return s.find(req)
		}
	}
}

// first is the lowest of what waits: should the one before it never come, it is next.
func (l *listed) first() uint32 {
	least := uint32(math.MaxUint32)
	for seq := range l.waiting {
		least = min(least, seq)
	}
	return least
}

// turn reports whether a NOTIFY of a list is the next. The first may have any number,
// but tells all.
func (w *watch) turn(seq uint32, n notice) bool {
	if w.remoteSeq == 0 {
		return n.list == nil || n.list.Full
	}
	return seq <= w.remoteSeq+1
}

func (w *watch) advance(seq uint32) {
	w.remoteSeq = seq
	if w.list == nil {
		return
	}
	w.list.moved = time.Now()
	if next := w.list.waiting[seq+1]; next != nil {
		select {
		case next <- struct{}{}:
		default: // it has been told
		}
	}
}

// listed takes what a NOTIFY says of a list.
func (s *subscriber) listed(w *watch, n notice, now time.Time) (code int, reason string) {
	switch {
	case n.empty && n.listing: // nothing is known yet
		return 200, "OK"
	case n.list == nil: // RFC 4662 §4.3 wants Require: eventlist of an empty one, too
		s.warn(w, "the server does not know lists (RFC 4662), or this is none: it tells of a line, which is not used")
		return 200, "OK"
	case n.err != nil:
		s.warn(w, n.err.Error())
		return 200, "OK"
	}
	w.list.trouble = ""
	say, done := s.sayer(w, now)
	err := w.list.roll.Apply(*n.list, say, now)
	done()
	switch {
	case errors.Is(err, ErrGap): // a refresh brings the full state, RFC 4662 §4.5
		s.again(w)
	case errors.Is(err, ErrTooLarge):
		s.warn(w, fmt.Sprintf("more than %d members, or dialogs of one: %v", MaxMembers, err))
	case err != nil:
		return s.malformed(w, err)
	}
	for _, one := range w.list.roll.Ended() {
		s.source.log.Log(context.Background(), w.target.refusal(), "SIP server tells nothing of a member of a list",
			"server", w.target.server.String(), "event", w.target.event, "list", w.line, "line", one.Line, "reason", one.Reason)
	}
	return 200, "OK"
}

// sayer puts what is said of members onto the board, which is locked until done.
func (s *subscriber) sayer(w *watch, now time.Time) (say Say, done func()) {
	s.source.mu.Lock()
	return func(line, origin string, state presence.Line) {
		s.source.board.put(line, origin, state, w.until, now)
	}, s.source.mu.Unlock
}

// unlist takes back what was said of a list, of which nothing will be told.
func (s *subscriber) unlist(w *watch, why string, now time.Time) {
	s.warn(w, why)
	say, done := s.sayer(w, now)
	defer done()
	w.list.roll.Clear(say)
}

// warn notes what is wrong with a list, and logs it once.
func (s *subscriber) warn(w *watch, why string) {
	if w.list.trouble == why {
		return
	}
	w.list.trouble = why
	s.source.log.Warn("trouble with a list of a SIP server", "server", w.target.server.String(), "event", w.target.event, "list", w.line, "err", why)
}

// settle forgets members that lists have lost.
func (t *target) settle(now time.Time) {
	s := t.sub
	s.mu.Lock()
	for _, w := range t.lists {
		say, done := s.sayer(w, now)
		w.list.roll.Settle(say, now)
		done()
	}
	s.mu.Unlock()
	if len(t.lists) > 0 {
		s.source.ring()
	}
}

// lists returns how the lists are doing, by server, event and list.
func (s *subscriber) lists() map[string]ListStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]ListStatus{}
	for _, t := range s.targets {
		for _, w := range t.lists {
			all[t.server.String()+" "+t.event+" "+w.line] = ListStatus{w.list.roll.Members(), w.list.trouble}
		}
	}
	return all
}
