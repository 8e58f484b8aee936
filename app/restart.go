package app

import (
	"context"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
)

// restStore keeps sessions over a restart.
type restStore interface {
	SaveSessions(ctx context.Context, sessions []sessionRecord) error
	TakeSessions(ctx context.Context) ([]sessionRecord, error)
}

// sessionRecord is a session written down, as stores have it.
type sessionRecord = struct {
	SID  string
	Kind string
	Data []byte
}

// underWay bounds the wait for requests that are being carried out.
const underWay = 3 * time.Second

// rest writes the BOSH sessions of a node that stands alone into its store:
// their clients go on with them when it is back.
func (n *node) rest(ctx context.Context) error {
	store, ok := n.store.(restStore)
	if !ok {
		return nil
	}
	working, cancel := context.WithTimeout(ctx, underWay)
	defer cancel()
	var list []sessionRecord
	for sid, data := range n.bosh.WriteDown(working) {
		list = append(list, sessionRecord{SID: string(sid), Kind: "bosh", Data: data})
	}
	n.log.InfoContext(ctx, "sessions written down", "sessions", len(list))
	return store.SaveSessions(ctx, list)
}

// wake takes up the sessions that were written down at the last stop.
func (n *node) wake(ctx context.Context) error {
	store, ok := n.store.(restStore)
	if !ok || n.shared != nil || n.members != nil {
		return nil
	}
	list, err := store.TakeSessions(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	var back []jid.JID
	for _, r := range list {
		rec, err := bosh.ReadRecord(r.Data)
		if err == nil {
			err = n.bosh.TakeUp(rec, 0, func(c session.Conn, snap session.Snapshot) (bosh.Session, error) {
				s, err := n.sessions.Resume(ctx, c, snap)
				if err != nil {
					return nil, err
				}
				return s, nil
			})
		}
		if err != nil {
			n.log.WarnContext(ctx, "session not taken up", "err", err)
			continue
		}
		if rec.Session.Presence != nil && rec.Session.Priority >= 0 {
			back = append(back, rec.Session.JID)
		}
	}
	n.log.InfoContext(ctx, "sessions taken up", "sessions", n.bosh.Stats().Sessions)
	for _, full := range back {
		if err := n.offline.Deliver(ctx, full); err != nil {
			n.log.WarnContext(ctx, "kept messages", "jid", full.String(), "err", err)
		}
	}
	return nil
}
