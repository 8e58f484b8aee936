package roster

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// What changed of the automatic contacts is told by each node to its own sessions.
// Changes are gathered for a moment; then the owners take turns, a few contacts
// each, so that a group of a thousand that appears at once neither fills anybody's
// queue nor keeps the node from its work.
const (
	gatherTime = 100 * time.Millisecond
	turnItems  = 50   // contacts an owner is told of in one turn
	tickItems  = 1000 // contacts all owners are told of in a tick; then others have time
	tickTime   = 200 * time.Millisecond
)

// Stir says that the automatic contacts may be others. It does not wait.
func (s *Service) Stir() {
	select {
	case s.stirred <- struct{}{}:
	default:
	}
}

// Run tells the sessions of this node which automatic contacts came, went or
// changed, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	told := s.picture()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.stirred:
		}
		if pause(ctx, gatherTime) != nil {
			return nil
		}
		now := s.picture()
		if told == nil || now == nil || told == now {
			told = now
			continue
		}
		if err := s.tellAll(ctx, told, now); err != nil && ctx.Err() == nil {
			s.cfg.Log.WarnContext(ctx, "tell of automatic contacts", "err", err)
		}
		told = now
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// turn is an owner who has yet to be told.
type turn struct {
	owner jid.JID
	done  int // contacts told of
}

// tellAll tells every owner with a session here of what differs between two
// pictures. Nothing is kept of the differences: each turn goes through them again.
func (s *Service) tellAll(ctx context.Context, before, now Picture) error {
	var turns []turn
	seen := make(map[jid.JID]bool)
	for _, sess := range s.cfg.Router.Table().All() {
		owner := sess.JID().Bare()
		if !seen[owner] && before.Version(owner) != now.Version(owner) {
			turns = append(turns, turn{owner: owner})
		}
		seen[owner] = true
	}
	var errs []error
	for budget := tickItems; len(turns) > 0; {
		t := turns[0]
		turns = turns[1:]
		n, err := s.tellSome(ctx, before, now, &t)
		if err != nil && len(errs) < 10 {
			errs = append(errs, err)
		}
		if budget -= n; n == turnItems && err == nil {
			turns = append(turns, t)
		}
		if budget <= 0 || len(turns) == 1 && n == turnItems {
			if err := pause(ctx, tickTime); err != nil {
				return err
			}
			budget = tickItems
		}
	}
	return errors.Join(errs...)
}

// news is what is to be told of a contact.
type news uint8

const (
	left news = iota
	came
	altered
)

// differences goes through what differs for an owner.
func differences(before, now Picture, owner jid.JID) iter.Seq2[jid.JID, news] {
	return func(yield func(jid.JID, news) bool) {
		if old := before.Contacts(owner); old != nil {
			for c := range old {
				if !now.Has(owner, c) && !yield(c, left) {
					return
				}
			}
		}
		all := now.Contacts(owner)
		if all == nil {
			return
		}
		for c := range all {
			name, groups, ok := before.Item(owner, c)
			if !ok {
				if !yield(c, came) {
					return
				}
				continue
			}
			if name2, groups2, _ := now.Item(owner, c); (name != name2 || !slices.Equal(groups, groups2)) && !yield(c, altered) {
				return
			}
		}
	}
}

// tellSome tells an owner's sessions here of the next contacts, and returns how
// many these are.
func (s *Service) tellSome(ctx context.Context, before, now Picture, t *turn) (int, error) {
	bindings, err := s.cfg.Router.Registry().Lookup(ctx, t.owner)
	if err != nil {
		return 0, err
	}
	here := make([]router.Binding, 0, len(bindings))
	for i := range bindings {
		if _, ok := s.cfg.Router.Table().BySID(bindings[i].SID); ok {
			here = append(here, bindings[i])
		}
	}
	if len(here) == 0 {
		return 0, nil
	}
	r, snap, err := s.load(ctx, t.owner)
	if err != nil {
		return 0, err
	}
	a := announcement{s: s, now: now, owner: t.owner, roster: &r, snap: snap, version: version(now, t.owner, r.Ver), here: here}
	n, at := 0, 0
	for c, what := range differences(before, now, t.owner) {
		if at++; at <= t.done {
			continue
		}
		if n++; n > turnItems {
			n = turnItems
			break
		}
		a.add(c, what)
	}
	t.done += n
	err = s.cfg.Router.Send(ctx, a.letters)
	if p := s.cfg.Presence; p != nil && len(a.came)+len(a.left) > 0 {
		err = errors.Join(err, p.Introduce(ctx, here, a.came, a.left))
	}
	return n, err
}

// announcement gathers what an owner's sessions are told in one turn.
type announcement struct {
	s          *Service
	now        Picture
	owner      jid.JID
	roster     *Roster
	snap       *snapshot
	version    string
	here       []router.Binding
	letters    []router.Letter
	came, left []jid.JID // whose presence is new or gone
}

func (a *announcement) add(contact jid.JID, what news) {
	it := Item{JID: contact}
	byHand := false
	if i := find(a.roster.Items, contact); i >= 0 && !a.roster.Items[i].hidden() {
		it, byHand = a.roster.Items[i], true
	}
	seen := contains(a.snap.subscriptions, contact) // whatever the groups are
	inner := appendQuery(nil, a.version)
	switch {
	case what != left:
		inner = shown(a.now, a.owner, &it).appendXML(inner)
		if what == came && !seen {
			a.came = append(a.came, contact)
		}
	case byHand:
		inner = it.appendXML(inner)
	default:
		inner = appendRemoval(inner, contact)
	}
	if what == left && !seen {
		a.left = append(a.left, contact)
	}
	inner = append(inner, `</query>`...)
	for i := range a.here {
		sess, ok := a.s.cfg.Router.Table().BySID(a.here[i].SID)
		if !ok || !sess.Interest().Roster() {
			continue
		}
		push := stanza.New(stanza.KindIQ, "set", inner)
		push.From, push.To, push.ID = a.owner, a.here[i].Full, a.s.pushID()
		a.letters = append(a.letters, router.Letter{To: a.here[i].SID, Stanza: push, Frame: push.AppendXML(nil)})
	}
}
