package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/deskline/deskline/internal/pack"
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
	Until    time.Time // it has to end, the zero time for never
}

// Sessions that end at a time have the second version, so that nodes that know
// nothing of that take up all others.
const (
	snapshotVersion = 1
	limitedVersion  = 2
)

// AppendBinary implements encoding.BinaryAppender.
func (s *Snapshot) AppendBinary(dst []byte) ([]byte, error) {
	version := uint64(snapshotVersion)
	if !s.Until.IsZero() {
		version = limitedVersion
	}
	dst = pack.Uint(dst, version)
	for _, text := range []string{string(s.SID), s.JID.String(), s.Domain.String(), s.Lang} {
		dst = pack.String(dst, text)
	}
	dst = pack.Bool(dst, s.Roster)
	dst = pack.Uint(dst, uint64(len(s.Directed)))
	for _, j := range s.Directed {
		dst = pack.String(dst, j.String())
	}
	dst = append(pack.Bytes(dst, s.Presence), byte(s.Priority))
	dst = pack.Time(dst, s.Since)
	if version == limitedVersion {
		dst = pack.Time(dst, s.Until)
	}
	return dst, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (s *Snapshot) UnmarshalBinary(data []byte) error {
	r := pack.NewReader(data)
	version := r.Uint()
	if version != snapshotVersion && version != limitedVersion {
		return fmt.Errorf("session of version %d: %w", version, pack.ErrMalformed)
	}
	s.SID = router.SID(r.String())
	s.JID, s.Domain = readJID(r), readJID(r)
	s.Lang, s.Roster = r.String(), r.Bool()
	for range r.Count() {
		s.Directed = append(s.Directed, readJID(r))
	}
	s.Presence = slices.Clone(r.Bytes())
	s.Priority = int8(r.Uint8()) //nolint:gosec // it was one
	s.Since = r.Time()
	if version == limitedVersion {
		s.Until = r.Time()
	}
	if r.Err() == nil && (s.SID == "" || s.JID.Resource() == "" || s.Domain.IsZero()) {
		return pack.ErrMalformed
	}
	return r.Err()
}

// readJID returns the zero JID for what is none.
func readJID(r *pack.Reader) jid.JID {
	j, err := jid.Parse(r.String())
	if err != nil {
		return jid.JID{}
	}
	return j
}

// Snapshot writes a bound session down; ok is false for one that is not bound.
func (s *Session) Snapshot(ctx context.Context) (snap Snapshot, ok bool, err error) {
	snap, gen, ok := s.sketch()
	if !ok {
		return Snapshot{}, false, nil
	}
	list, err := s.m.cfg.Router.Registry().Lookup(ctx, snap.JID.Bare())
	if err != nil {
		return Snapshot{}, false, fmt.Errorf("write down %s: %w", snap.JID, err)
	}
	for _, b := range list {
		if b.Full == snap.JID && b.Gen == gen {
			snap.Priority, snap.Since = b.Priority, b.Since
			if b.Presence != nil {
				snap.Presence = b.Presence.AppendXML(nil)
			}
		}
	}
	return snap, true, nil
}

// sketch is the snapshot but for what the registry has.
func (s *Session) sketch() (snap Snapshot, gen uint64, ok bool) {
	full, gen, ok := s.release()
	if !ok || s.ended.Load() {
		return snap, 0, false
	}
	snap = Snapshot{SID: s.sid, JID: full, Domain: s.domain, Lang: s.lang, Roster: s.interest.Roster(), Directed: s.interest.Directed()}
	if until := s.until.Load(); until != 0 {
		snap.Until = time.Unix(until, 0)
	}
	return snap, gen, true
}

// AppendState appends what is needed to take the session up elsewhere, but for
// its binding if nodes share a registry; ok is false before it is bound.
func (s *Session) AppendState(dst []byte) (out []byte, ok bool) {
	snap, _, ok := s.sketch()
	if ok && s.m.cfg.Keeper == nil { // nobody shares the registry: it goes with the session
		var err error
		snap, ok, err = s.Snapshot(context.Background())
		ok = ok && err == nil
	}
	if !ok {
		return dst, false
	}
	dst, _ = snap.AppendBinary(dst) // never fails
	return dst, true
}

// Resume takes up a session that was written down, under the same id and
// without telling anybody: to its contacts it never went away. A binding that
// the registry still has is kept.
func (m *Manager) Resume(ctx context.Context, conn Conn, snap Snapshot) (*Session, error) {
	s := &Session{m: m, conn: conn, sid: snap.SID, domain: snap.Domain, lang: snap.Lang, phase: bound, jid: snap.JID}
	s.heard.Store(time.Now().Unix())
	if !snap.Until.IsZero() {
		s.until.Store(snap.Until.Unix())
	}
	s.interest.SetRoster(snap.Roster)
	for _, j := range snap.Directed {
		s.interest.AddDirected(j)
	}
	if err := m.rebind(ctx, s, &snap); err != nil {
		return nil, fmt.Errorf("resume %s: %w", snap.JID, err)
	}
	m.enter(s)
	return s, nil
}

func (m *Manager) rebind(ctx context.Context, s *Session, snap *Snapshot) error {
	reg := m.cfg.Router.Registry()
	list, err := reg.Lookup(ctx, snap.JID.Bare())
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Full != snap.JID {
			continue
		}
		if b.SID != snap.SID {
			return ErrReplaced
		}
		b.Node = m.cfg.Node
		if err := reg.Update(ctx, b); err != nil {
			return err
		}
		s.gen = b.Gen
		m.cfg.Router.Table().Add(s)
		return nil
	}
	b := router.Binding{Full: snap.JID, SID: snap.SID, Node: m.cfg.Node, Priority: snap.Priority, Since: snap.Since}
	if snap.Presence != nil {
		if b.Presence, err = stanza.Decode(snap.Presence); err != nil {
			return err
		}
	}
	return s.register(ctx, b)
}

// ErrReplaced says that another session has taken the resource meanwhile.
var ErrReplaced = errors.New("another session has the resource")

// Freeze ends a session on this node because it goes on elsewhere: it leaves
// the tables, and nobody is told.
func (s *Session) Freeze() {
	s.mu.Lock()
	first := s.ended.CompareAndSwap(false, true)
	if first {
		s.late, s.closed = nil, true // what comes now is in the mailbox, or finds another way
	}
	s.mu.Unlock()
	if first {
		s.m.leave(s)
		s.m.cfg.Router.Table().Remove(s)
		if k := s.m.cfg.Keeper; k != nil {
			k.Leave(s.sid)
		}
	}
}
