package session

import (
	"errors"

	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// Deliver implements router.Session.
func (s *Session) Deliver(st *stanza.Stanza, frame []byte) error {
	return s.DeliverNumbered(st, frame, 0)
}

// passEvery is after how many frames a mailbox is told that they were passed on.
const passEvery = 64

// DeliverNumbered implements Receiver.
func (s *Session) DeliverNumbered(st *stanza.Stanza, frame []byte, number uint64) error {
	if s.unasked(st) {
		return nil
	}
	f := Frame{Bytes: frame, Number: number}
	if worthSaving(st) {
		f.Stanza = st
	}
	if s.ended.Load() {
		return s.takeLate(f)
	}
	s.m.cfg.Metrics.Sent(st.Kind)
	err := s.send(f)
	if errors.Is(err, ErrEnded) || errors.Is(err, ErrBacklog) {
		return s.takeLate(f) // not before what the transport still has
	}
	if err == nil && number%passEvery == passEvery-1 && !s.conn.Info().Moves {
		s.m.cfg.Keeper.Passed(s.sid, number)
	}
	return err
}

// unasked reports whether st is a roster push to a session that has not asked
// for the roster (RFC 6121 §2.1.6), which other nodes cannot know.
func (s *Session) unasked(st *stanza.Stanza) bool {
	if st.Kind != stanza.KindIQ || st.Type != "set" || s.interest.Roster() {
		return false
	}
	p, ok := st.Payload()
	return ok && p.Name.Space == "jabber:iq:roster" && st.From == s.JID().Bare()
}

// worthSaving reports whether st matters after its receiver has gone.
func worthSaving(st *stanza.Stanza) bool {
	switch st.Kind {
	case stanza.KindMessage:
		return st.Type != "error" && st.Type != "headline"
	case stanza.KindIQ:
		return st.Type == "get" || st.Type == "set"
	}
	return false
}

func (s *Session) send(f Frame) error {
	err := s.conn.Write(f)
	if errors.Is(err, ErrBacklog) {
		s.End(stream.ResourceConstraint, "the client does not take what it is sent")
	}
	return err
}

// maxLate bounds what is taken for a session between the end of its transport
// and its own.
const maxLate = 1000

// takeLate takes a frame for a session whose transport is gone, to be rerouted
// after what the transport left.
func (s *Session) takeLate(f Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.late) >= maxLate {
		return ErrEnded
	}
	if f.Stanza != nil {
		s.late = append(s.late, f)
	}
	return nil
}

func (s *Session) closeLate() []Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := s.late
	s.late, s.closed = nil, true
	return late
}
