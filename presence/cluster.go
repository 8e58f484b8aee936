package presence

import (
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// Cluster is the other nodes. All know the same evidence, so that each can tell who
// comes or asks of anybody; one of them, the user's owner, tells contacts of what changes.
type Cluster interface {
	// Owns reports whether this node is the owner of a user.
	Owns(user jid.JID) bool
	// Share tells the other nodes of evidence, ShareChoice of a user's choice, and Told what contacts were told of a
	// resource when the resource itself said something. They never wait.
	Share(e Evidence)
	ShareChoice(user jid.JID, c Choice)
	Told(w Word)
}

// owns reports whether this node does what one of them has to do for a user.
func (s *Service) owns(user jid.JID) bool { return s.cfg.Cluster == nil || s.cfg.Cluster.Owns(user) }

// Word is what contacts were told of a resource.
type Word struct {
	Full  jid.JID `json:"full"`
	Show  string  `json:"show,omitempty"`
	Label Name    `json:"label,omitempty"`
	Text  string  `json:"text,omitempty"`
	Gone  bool    `json:"gone,omitempty"`

	At time.Time `json:"at"` // before they were told
}

// Adopt takes evidence that another node shares.
func (s *Service) Adopt(e Evidence) {
	if e.User.Local() != "" && e.User.IsBare() && s.cfg.Router.Local(e.User) {
		_ = s.composer.put(e, time.Now()) // what is newer here is shared, too
	}
}

// AdoptWord takes what another node has told contacts.
func (s *Service) AdoptWord(w Word) {
	s.composer.with(w.Full.Bare(), false, func(sh *shard, e *entry) {
		e.touched++
		e.hears(w.At)
		e.heard(sh, w.Full, key{w.Show, w.Label, w.Text}, w.Gone)
	})
}

// OwnersChanged looks at everybody again after nodes have come or gone.
func (s *Service) OwnersChanged() { s.SetSettings(*s.composer.settings.Load()) }

// Reclaimed looks at everybody again after this node was halted or cut off: another may have told contacts
// in its place what is not known here.
func (s *Service) Reclaimed() {
	now := time.Now()
	for i := range s.composer.shards {
		sh := &s.composer.shards[i]
		sh.mu.Lock()
		for _, e := range sh.entries {
			if e.foreign, e.changed = true, now; e.sent == nil {
				e.sent = make(map[jid.JID]key)
			}
			sh.plan(e, now)
		}
		sh.mu.Unlock()
	}
}

// recent is how long before it was taken for dead a node may have told contacts nothing
// any more.
const recent = time.Minute

// inherit notes whether this node is a user's owner. If it became that, contacts are told
// again, once, of what the owner before may not have told: what is not as the resource says, or
// has changed since a short time. It is called with the lock held.
func (s *Service) inherit(e *entry, list []router.Binding, now time.Time) {
	was := e.foreign
	e.foreign = !s.owns(e.user)
	if e.foreign || !was || e.changed.IsZero() {
		return
	}
	for i := range list {
		if !list[i].Available() {
			continue
		}
		raw := (*told)(nil).key(list[i].Presence)
		if e.told.key(list[i].Presence) != raw || now.Sub(e.changed) < recent {
			e.sent[list[i].Full] = key{label: unsure}
		}
	}
}
