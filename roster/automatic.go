package roster

import (
	"context"
	"iter"
	"slices"
	"strconv"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Automatic knows contacts that nobody has put into a roster: people who belong
// together by their groups. They see each other's presence, both ways.
type Automatic interface {
	// Picture returns who they are at this moment. It does not wait.
	Picture() Picture
}

// Picture is who the automatic contacts of everybody are. It never changes, and
// its methods do not wait.
type Picture interface {
	// Contacts goes through an owner's, each once; nil if there can be none.
	Contacts(owner jid.JID) iter.Seq[jid.JID]
	// Has reports whether contact is one of owner's, and so the other way round.
	Has(owner, contact jid.JID) bool
	// Item returns a contact's name and the groups that make it one.
	Item(owner, contact jid.JID) (name string, groups []string, ok bool)
	// Version changes with all that Contacts and Item say of an owner; 0 = nothing.
	Version(owner jid.JID) uint64
}

// picture returns the automatic contacts of this moment, nil if there are none.
func (s *Service) picture() Picture {
	if s.cfg.Automatic == nil {
		return nil
	}
	return s.cfg.Automatic.Picture()
}

// automatic reports whether two are contacts of each other by their groups.
func (s *Service) automatic(owner, contact jid.JID) bool {
	p := s.picture()
	return p != nil && p.Has(owner, contact)
}

// beside returns an owner's automatic contacts that are not in a sorted list; nil
// if there can be none.
func (s *Service) beside(owner jid.JID, own []jid.JID) iter.Seq[jid.JID] {
	p := s.picture()
	if p == nil {
		return nil
	}
	all := p.Contacts(owner.Bare())
	if all == nil || len(own) == 0 {
		return all
	}
	return func(yield func(jid.JID) bool) {
		for c := range all {
			if !contains(own, c) && !yield(c) {
				return
			}
		}
	}
}

// version is the roster's as clients are told it: the number of the store and,
// with automatic contacts, a sum of these that is the same on every node.
func version(p Picture, owner jid.JID, ver uint64) string {
	text := strconv.FormatUint(ver, 10)
	if p == nil {
		return text
	}
	if sum := p.Version(owner); sum != 0 {
		text += "-" + strconv.FormatUint(sum, 16)
	}
	return text
}

// shown returns an item as clients see it, with what is automatic about it. The
// name that the owner gave stands before that of the directory, and the owner's
// groups beside the automatic ones.
func shown(p Picture, owner jid.JID, it *Item) *Item {
	if p == nil {
		return it
	}
	name, groups, ok := p.Item(owner, it.JID)
	if !ok {
		return it
	}
	merged := Item{JID: it.JID, Name: it.Name, Groups: slices.Clone(it.Groups), Subscription: Both}
	if merged.Name == "" {
		merged.Name = name
	}
	for _, g := range groups {
		if !slices.Contains(merged.Groups, g) {
			merged.Groups = append(merged.Groups, g)
		}
	}
	return &merged
}

// appendItems appends a whole roster.
func appendItems(dst []byte, p Picture, owner jid.JID, r *Roster) []byte {
	var all iter.Seq[jid.JID]
	if p != nil {
		all = p.Contacts(owner)
	}
	if all == nil {
		for i := range r.Items {
			if !r.Items[i].hidden() {
				dst = r.Items[i].appendXML(dst)
			}
		}
		return dst
	}
	both := make(map[jid.JID]struct{})
	for i := range r.Items {
		it := &r.Items[i]
		switch {
		case p.Has(owner, it.JID):
			both[it.JID] = struct{}{}
			dst = shown(p, owner, it).appendXML(dst)
		case !it.hidden():
			dst = it.appendXML(dst)
		}
	}
	for c := range all {
		if _, ok := both[c]; !ok {
			dst = shown(p, owner, &Item{JID: c}).appendXML(dst)
		}
	}
	return dst
}

// byHand takes out of a client's item what is automatic about it, and reports
// whether anything is left.
func byHand(p Picture, owner jid.JID, it *Item) bool {
	if p == nil {
		return true
	}
	name, groups, ok := p.Item(owner, it.JID)
	if !ok {
		return true
	}
	if it.Name == name {
		it.Name = ""
	}
	it.Groups = slices.DeleteFunc(it.Groups, func(g string) bool { return slices.Contains(groups, g) })
	return it.Name != "" || len(it.Groups) > 0
}

// errAutomatic refuses to end what groups make.
func errAutomatic() *stanza.Error {
	return &stanza.Error{Type: stanza.Cancel, Condition: "not-allowed", Text: "this contact comes from a group of yours and stays as long as you are both in it"}
}

// subscribeAutomatic answers a subscription stanza about an automatic contact, if
// no hand-made part is concerned by it. A request is granted already; nobody is
// asked.
func (s *Service) subscribeAutomatic(ctx context.Context, st *stanza.Stanza, a Action) (done bool, err error) {
	owner, contact := st.From.Bare(), st.To.Bare()
	if !s.automatic(owner, contact) {
		return false, nil
	}
	switch a {
	case Subscribe:
		s.deliver(ctx, notice(contact, owner, Subscribed), Subscribed)
		return true, nil
	case Subscribed:
		return false, nil // a request that is pending still
	}
	snap, err := s.snapshot(ctx, owner)
	if err != nil {
		return false, err
	}
	if a == Unsubscribe && contains(snap.subscriptions, contact) || a == Unsubscribed && contains(snap.subscribers, contact) {
		return false, nil
	}
	return true, s.cfg.Router.Refuse(ctx, st, errAutomatic())
}
