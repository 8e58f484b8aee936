package session

import (
	"context"
	"fmt"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Snapshot is a bound session written down. What waits for the client is the
// door's to write down.
type Snapshot struct {
	SID      router.SID
	JID      jid.JID
	Domain   jid.JID
	Lang     string
	Roster   bool      // interested in roster pushes
	Directed []jid.JID // receivers of directed presence
	Presence []byte    // last presence broadcast, encoded; nil while unavailable
	Priority int8
	Since    time.Time
}

// Snapshot writes a bound session down; ok is false for one that is not bound.
func (s *Session) Snapshot(ctx context.Context) (snap Snapshot, ok bool, err error) {
	full, gen, ok := s.release()
	if !ok || s.ended.Load() {
		return Snapshot{}, false, nil
	}
	snap = Snapshot{SID: s.sid, JID: full, Domain: s.domain, Lang: s.lang, Roster: s.interest.Roster(), Directed: s.interest.Directed()}
	list, err := s.m.cfg.Router.Registry().Lookup(ctx, full.Bare())
	if err != nil {
		return Snapshot{}, false, fmt.Errorf("write down %s: %w", full, err)
	}
	for _, b := range list {
		if b.Full == full && b.Gen == gen {
			snap.Priority, snap.Since = b.Priority, b.Since
			if b.Presence != nil {
				snap.Presence = b.Presence.AppendXML(nil)
			}
		}
	}
	return snap, true, nil
}

// Resume takes up a session that was written down, under the same id and
// without telling anybody: to its contacts it never went away.
func (m *Manager) Resume(ctx context.Context, conn Conn, snap Snapshot) (*Session, error) {
	s := &Session{m: m, conn: conn, sid: snap.SID, domain: snap.Domain, lang: snap.Lang, phase: bound, jid: snap.JID}
	s.heard.Store(time.Now().Unix())
	s.interest.SetRoster(snap.Roster)
	for _, j := range snap.Directed {
		s.interest.AddDirected(j)
	}
	b := router.Binding{Full: snap.JID, SID: snap.SID, Node: m.cfg.Node, Priority: snap.Priority, Since: snap.Since}
	if snap.Presence != nil {
		st, err := stanza.Decode(snap.Presence)
		if err != nil {
			return nil, fmt.Errorf("resume %s: %w", snap.JID, err)
		}
		b.Presence = st
	}
	if err := s.register(ctx, b); err != nil {
		return nil, fmt.Errorf("resume %s: %w", snap.JID, err)
	}
	m.enter(s)
	return s, nil
}

// Freeze ends a session on this node because it goes on elsewhere: it leaves
// the tables, and nobody is told.
func (s *Session) Freeze() {
	if s.ended.CompareAndSwap(false, true) {
		s.m.leave(s)
		s.m.cfg.Router.Table().Remove(s)
	}
}
