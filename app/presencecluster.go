package app

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/cluster"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
)

// evidenceShare gives what this node knows of phones and calendars to the others, and
// takes what they know. What waits to be shared is at most one piece for each line of
// each user.
type evidenceShare struct {
	n    *node
	wake chan struct{} // something waits
	read chan struct{} // all is to be read again
	// heard is the lease under which all was read that others told. One that was halted or cut
	// off knows less than they do, and tells nobody by that.
	heard atomic.Int64
	// settled are the nodes that lived a while ago. One that has come since may not know yet what contacts were told:
	// who told them goes on for so long, so that some things are told twice and none by nobody.
	settled atomic.Pointer[map[router.NodeID]bool]
	alone   atomic.Int64 // since when the node is cut off, as far as somebody asked; 0 = it is not

	mu   sync.Mutex // guards all below
	next live.News
}

// maxBatch is how many notes are told at once: Redis cuts off who listens to more than
// it keeps for them.
const maxBatch = 500

// maxWords bounds what waits to be told while Redis is away; contacts get what is
// missing by the next change.
const maxWords = 10000

func newEvidenceShare(n *node) *evidenceShare {
	s := &evidenceShare{n: n, wake: make(chan struct{}, 1), read: make(chan struct{}, 1)}
	s.heard.Store(unheard)
	return s
}

// unheard is the lease of a node that has not read anything yet.
const unheard = -1

// handOver is how long who told contacts goes on after another node has come.
const handOver = 2 * time.Second

// Owns implements presence.Cluster.
func (s *evidenceShare) Owns(user jid.JID) bool {
	if !s.current() {
		return false
	}
	name := user.String()
	if s.prefers(name, nil) {
		return true
	}
	before := s.settled.Load()
	return before != nil && s.prefers(name, *before)
}

// current reports whether this node has held its lease since it read what others told.
func (s *evidenceShare) current() bool {
	since, held := s.n.shared.Held()
	return held && int64(since) == s.heard.Load()
}

// aloneFor is how long what is told a node that is cut off waits: as long as Redis takes to fail over, as a rule.
const aloneFor = 3 * time.Second

// await reports whether this node is current, for which it waits until it has been cut off for long.
func (s *evidenceShare) await(ctx context.Context) bool {
	for !s.current() {
		s.alone.CompareAndSwap(0, time.Now().UnixNano())
		if since := s.alone.Load(); since != 0 && time.Since(time.Unix(0, since)) >= aloneFor {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}

// tellsOthers waits a moment for what is told this node to reach the others, and reports whether it will.
func (n *node) tellsOthers(ctx context.Context) bool {
	return n.composing.share == nil || n.composing.share.await(ctx)
}

// prefers reports whether this node is, of the living ones and those in among, the one whose hash
// with a name is the highest, so that as few as possible change when nodes come and go. A
// nil list has them all.
func (s *evidenceShare) prefers(name string, among map[router.NodeID]bool) bool {
	view := s.n.members.View()
	var best uint64
	owner := view.Self
	for i := range view.Members {
		m := &view.Members[i]
		if m.State != cluster.Alive && m.State != cluster.Doubtful || among != nil && !among[m.ID] {
			continue
		}
		if sum := weigh(name, m.ID); sum >= best {
			best, owner = sum, m.ID
		}
	}
	return owner == view.Self
}

// weigh says how much a node is the one for a name.
func weigh(name string, node router.NodeID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name + "\x00" + string(node))) // never fails
	return mix(h.Sum64())
}

// living are the nodes of which one owns a user.
func (s *evidenceShare) living() map[router.NodeID]bool {
	all := map[router.NodeID]bool{}
	for _, m := range s.n.members.View().Members {
		if m.State == cluster.Alive || m.State == cluster.Doubtful {
			all[m.ID] = true
		}
	}
	return all
}

// forget takes those who do not live out of the settled ones: who comes back is new.
func (s *evidenceShare) forget(living map[router.NodeID]bool) {
	before := s.settled.Load()
	if before == nil {
		return
	}
	rest := maps.Clone(*before)
	maps.DeleteFunc(rest, func(id router.NodeID, _ bool) bool { return !living[id] })
	s.settled.Store(&rest)
}

// mix spreads a hash whose last bytes alone differ.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

func noteName(e *presence.Evidence) string {
	return e.User.String() + "\x00" + e.Source + "\x00" + e.Item
}

// Share implements presence.Cluster.
func (s *evidenceShare) Share(e presence.Evidence) {
	text, err := json.Marshal(e)
	if err != nil {
		return // it has no value that cannot be written
	}
	until := e.Expires
	if late := time.Now().Add(presence.LateFor); until.Before(late) && e.Seq >= presence.Timed {
		until = late // what was taken back is remembered for a while, too
	}
	s.set(noteName(&e), live.Note{Text: string(text), Version: e.Seq, Until: until})
}

// set has a note told to the others, and kept.
func (s *evidenceShare) set(name string, note live.Note) {
	s.mu.Lock()
	if s.next.Set == nil {
		s.next.Set = map[string]live.Note{}
	}
	s.next.Set[name] = note
	s.mu.Unlock()
	s.stir(s.wake)
}

// choiceNote is a choice as nodes tell it.
type choiceNote struct {
	Chooser jid.JID         `json:"chooser"`
	Choice  presence.Choice `json:"choice"`
	At      time.Time       `json:"at"` // when the node that tells took it up
}

// ShareChoice implements presence.Cluster.
func (s *evidenceShare) ShareChoice(user jid.JID, c presence.Choice) {
	text, err := json.Marshal(choiceNote{user, c, time.Now()})
	if err != nil {
		return
	}
	since := uint64(max(c.Since.UnixMicro(), 0)) //nolint:gosec // not negative
	s.set(user.String()+"\x00choice", live.Note{Text: string(text), Version: since, Until: time.Now().Add(presence.LateFor)})
}

// Told implements presence.Cluster.
func (s *evidenceShare) Told(w presence.Word) {
	text, err := json.Marshal(w)
	if err != nil {
		return
	}
	s.mu.Lock()
	if len(s.next.Said) < maxWords {
		s.next.Said = append(s.next.Said, string(text))
	}
	s.mu.Unlock()
	s.stir(s.wake)
}

func (s *evidenceShare) stir(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hear takes what another node tells.
func (s *evidenceShare) hear(n live.News) {
	for _, note := range n.Set {
		s.adopt(note.Text)
	}
	for _, text := range n.Said {
		var w presence.Word
		if json.Unmarshal([]byte(text), &w) == nil && !w.Full.IsZero() {
			s.n.presence.AdoptWord(w)
		}
	}
}

// adopt reports whether a note is still of use.
func (s *evidenceShare) adopt(text string) bool {
	var note struct {
		presence.Evidence
		choiceNote
	}
	if json.Unmarshal([]byte(text), &note) != nil {
		return false
	}
	if user := note.Chooser; !user.IsZero() {
		s.n.presence.AdoptChoice(user, note.Choice, note.At)
		return note.Choice.State != "" && (note.Choice.Until.IsZero() || note.Choice.Until.After(time.Now()))
	}
	e := note.Evidence
	s.n.presence.Adopt(e)
	return e.Expires.After(time.Now())
}

// run shares what waits, and reads all after an outage, until ctx ends. It also looks
// for nodes that come and go.
func (s *evidenceShare) run(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	living, changed, settled := s.living(), time.Now(), false
	var retry <-chan time.Time
	s.stir(s.read)
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, held := s.n.shared.Held(); held && !s.current() && retry == nil {
				s.stir(s.read)
			} else if s.current() {
				s.alone.Store(0)
			}
			if now := s.living(); !maps.Equal(now, living) {
				living, changed, settled = now, time.Now(), false
				s.forget(now)
				s.n.presence.OwnersChanged()
			} else if !settled && time.Since(changed) >= handOver {
				settled = true
				s.settled.Store(&now)
				s.n.presence.OwnersChanged()
			}
			continue
		case <-s.wake:
			err = s.send(ctx)
		case <-s.read:
			err = s.readAll(ctx)
		case <-retry:
			s.stir(s.read)
			err = s.send(ctx)
		}
		if retry = nil; err != nil && ctx.Err() == nil {
			s.n.log.WarnContext(ctx, "share evidence", "err", err)
			retry = time.After(time.Second)
		}
	}
}

// batch takes some of what waits, and has the rest sent next.
func (s *evidenceShare) batch() live.News {
	s.mu.Lock()
	defer s.mu.Unlock()
	var news live.News
	if len(s.next.Set) <= maxBatch && len(s.next.Said) <= maxBatch {
		news, s.next = s.next, live.News{}
		return news
	}
	n := min(len(s.next.Said), maxBatch)
	news.Said, s.next.Said = s.next.Said[:n:n], s.next.Said[n:]
	news.Set = make(map[string]live.Note, min(len(s.next.Set), maxBatch))
	for name, note := range s.next.Set {
		if len(news.Set) == maxBatch {
			break
		}
		news.Set[name] = note
		delete(s.next.Set, name)
	}
	s.stir(s.wake)
	return news
}

func (s *evidenceShare) send(ctx context.Context) error {
	news := s.batch()
	if len(news.Set)+len(news.Said) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := s.n.shared.Announce(ctx, news)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.Set == nil {
		s.next.Set = map[string]live.Note{}
	}
	for name, note := range news.Set {
		if _, newer := s.next.Set[name]; !newer {
			s.next.Set[name] = note
		}
	}
	s.next.Said = append(news.Said, s.next.Said[:min(len(s.next.Said), maxWords)]...)
	return err
}

// readAll takes the notes there are, and drops those that have had their time.
func (s *evidenceShare) readAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	since, held := s.n.shared.Held()
	notes, err := s.n.shared.Notes(ctx)
	if err != nil {
		return err
	}
	var news live.News
	for name, text := range notes {
		if !s.adopt(text) && strings.Contains(name, "\x00") {
			if news.Drop == nil {
				news.Drop = map[string]string{}
			}
			news.Drop[name] = text
		}
	}
	if held {
		switch before := s.heard.Swap(int64(since)); before {
		case int64(since):
		case unheard:
			s.n.presence.OwnersChanged()
		default:
			s.n.presence.Reclaimed()
		}
	}
	if len(news.Drop) == 0 {
		return nil
	}
	return s.n.shared.Announce(ctx, news)
}
