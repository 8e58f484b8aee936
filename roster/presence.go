package roster

import (
	"context"
	"errors"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// HandleSubscription takes a subscription stanza of a local sender through both
// rosters (RFC 6121 §3). What the sender can be told is sent as a stanza error;
// what is returned is for the log.
func (s *Service) HandleSubscription(ctx context.Context, st *stanza.Stanza) error {
	a, ok := ParseAction(st.Type)
	if !ok || st.Kind != stanza.KindPresence || st.To.IsZero() {
		return s.cfg.Router.Refuse(ctx, st, stanza.ErrBadRequest(""))
	}
	out := st.Clone()
	out.From, out.To = st.From.Bare(), st.To.Bare() // RFC 6121 §3.1.2
	if out.From == out.To {
		return s.cfg.Router.Refuse(ctx, st, stanza.ErrNotAllowed())
	}
	unreachable := s.unreachable(out.From, out.To)
	if unreachable != nil && a == Subscribe {
		return s.cfg.Router.Refuse(ctx, st, unreachable)
	}
	done, err := s.subscribeAutomatic(ctx, st, a)
	if !done && err == nil {
		err = s.outbound(ctx, out, a, unreachable)
	}
	if err == nil {
		return nil
	}
	var e *stanza.Error
	if errors.As(err, &e) {
		return s.cfg.Router.Refuse(ctx, st, e)
	}
	return errors.Join(err, s.cfg.Router.Refuse(ctx, st, stanza.ErrInternal()))
}

// unreachable returns why a contact can have no account here, nil if it can.
func (s *Service) unreachable(owner, contact jid.JID) *stanza.Error {
	if !s.cfg.Router.Reaches(owner, contact) {
		return stanza.NewError(stanza.Cancel, "remote-server-not-found", "")
	}
	if contact.Local() == "" {
		return stanza.ErrServiceUnavailable()
	}
	return nil
}

// outbound applies the sender's side and hands the stanza to the contact's. An
// unreachable contact's item changes too, so that it can be cleared up.
func (s *Service) outbound(ctx context.Context, st *stanza.Stanza, a Action, unreachable *stanza.Error) error {
	t := transition{s: s, owner: st.From, contact: st.To, dir: Outbound, action: a}
	if err := s.update(ctx, t.owner, t.edit, func(ver uint64) { t.push(ctx, ver) }); err != nil {
		return err
	}
	if !t.step.Forward {
		return nil
	}
	if unreachable != nil {
		return unreachable
	}
	return errors.Join(s.inbound(ctx, st, a), t.share(ctx))
}

// inbound applies the contact's side of a stanza with bare addresses, of which
// st.To is local.
func (s *Service) inbound(ctx context.Context, st *stanza.Stanza, a Action) error {
	exists, err := s.cfg.Accounts.Exists(ctx, st.To)
	if err != nil || !exists {
		return err // an unknown account says nothing, RFC 6121 §8.5.1
	}
	t := transition{s: s, owner: st.To, contact: st.From, dir: Inbound, action: a, request: st}
	err = s.update(ctx, t.owner, t.edit, func(ver uint64) {
		if t.step.Forward && !s.automatic(st.To, st.From) { // nothing changes for clients then
			s.deliver(ctx, st, a)
		}
		t.push(ctx, ver)
	})
	if errors.Is(err, ErrNotFound) {
		return nil // deleted this very moment
	}
	if err != nil {
		return err
	}
	if t.step.Reply {
		err = s.inbound(ctx, notice(t.owner, t.contact, Subscribed), Subscribed)
	}
	return errors.Join(err, t.share(ctx))
}

// deliver gives a subscription stanza to the contact's resources: a request to
// those available (the others get it when they become so), the rest also to
// those that only asked for the roster (RFC 6121 §3.1.3, §3.1.6).
func (s *Service) deliver(ctx context.Context, st *stanza.Stanza, a Action) {
	bindings, err := s.cfg.Router.Registry().Lookup(ctx, st.To)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "deliver subscription", "jid", st.To, "err", err)
		return
	}
	for i := range bindings {
		if bindings[i].Available() || (a != Subscribe && s.interested(bindings[i].Full)) {
			s.send(ctx, bindings[i].Full, st)
		}
	}
}

// transition is one application of the state machine to one roster.
type transition struct {
	s              *Service
	owner, contact jid.JID
	dir            Direction
	action         Action
	request        *stanza.Stanza // inbound

	from State
	step Step
	item Item
	show bool // push the item
}

// edit implements [edit].
func (t *transition) edit(r *Roster) (change, error) {
	i := find(r.Items, t.contact)
	known := i >= 0
	t.item = Item{JID: t.contact}
	if known {
		t.item = r.Items[i]
	}
	wasHidden := t.item.hidden()
	wasApproved := t.item.Approved
	t.from = StateOf(&t.item)
	t.step = Advance(t.from, wasApproved, t.dir, t.action)
	t.show = false
	if t.step.Next == t.from && t.step.Approved == wasApproved {
		return change{}, nil
	}
	t.item.set(t.step.Next, t.step.Approved)
	if t.dir == Inbound && t.item.PendingIn && !t.from.PendingIn() {
		if countRequests(r) >= maxRequests {
			t.step = Step{Next: t.from, Approved: wasApproved}
			return change{}, nil
		}
		t.item.Request = encodeRequest(t.request)
		if known {
			t.item.list()
		}
	}
	if wasHidden && t.step.Next == StateNone && !t.step.Approved {
		return change{remove: true, jid: t.contact}, nil // a request declined or taken back leaves nothing
	}
	t.show = t.step.Push && !t.item.hidden()
	if t.show {
		t.item.list()
	}
	if t.show && t.dir == Outbound && (!known || wasHidden) {
		if err := t.s.room(r); err != nil {
			return change{}, err
		}
	}
	return change{put: &t.item, jid: t.contact}, nil
}

func countRequests(r *Roster) int {
	n := 0
	for i := range r.Items {
		if r.Items[i].PendingIn {
			n++
		}
	}
	return n
}

func (t *transition) push(ctx context.Context, ver uint64) {
	if t.show {
		t.s.push(ctx, t.owner, ver, &t.item)
	}
}

// share tells the contact the owner's presence, or that it is shared no longer
// (RFC 6121 §3.1.5, §3.2.2, §3.3.3).
func (t *transition) share(ctx context.Context) error {
	p := t.s.cfg.Presence
	switch {
	case p == nil, t.s.automatic(t.owner, t.contact):
		return nil
	case t.step.Reply, t.step.Next.Seen() && !t.from.Seen():
		return p.SendCurrent(ctx, t.owner, t.contact)
	case t.from.Seen() && !t.step.Next.Seen():
		return p.SendUnavailable(ctx, t.owner, t.contact)
	}
	return nil
}

// Redeliver sends the pending requests again to a resource that became
// available (RFC 6121 §3.1.3).
func (s *Service) Redeliver(ctx context.Context, full jid.JID) error {
	owner := full.Bare()
	snap, err := s.snapshot(ctx, owner)
	if err != nil || snap.requests == 0 {
		return err
	}
	r, _, err := s.load(ctx, owner)
	if err != nil {
		return err
	}
	for i := range r.Items {
		if !r.Items[i].PendingIn || s.automatic(owner, r.Items[i].JID) {
			continue
		}
		took, err := s.cfg.Router.SendFull(ctx, full, r.Items[i].request(owner))
		if err != nil || !took {
			return err
		}
	}
	return nil
}

// Leave ends all subscriptions of an account that is about to be deleted: its
// contacts see it unsubscribe and go. The account's own roster is left for the
// deletion.
func (s *Service) Leave(ctx context.Context, bare jid.JID) error {
	r, _, err := s.load(ctx, bare)
	if err != nil {
		return err
	}
	var errs []error
	for i := range r.Items {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, s.part(ctx, bare, &r.Items[i]))
	}
	return errors.Join(errs...)
}

// Forget drops what is remembered of the roster of an account that was deleted,
// so that nobody is told of its presence any more.
func (s *Service) Forget(bare jid.JID) { s.cache.forget(bare.Bare()) }

// part tells a contact that the owner ends what was between them.
func (s *Service) part(ctx context.Context, owner jid.JID, it *Item) error {
	if s.unreachable(owner, it.JID) != nil {
		return nil
	}
	var errs []error
	st := StateOf(it)
	if st.Sees() || st.Ask() {
		errs = append(errs, s.inbound(ctx, notice(owner, it.JID, Unsubscribe), Unsubscribe))
	}
	if st.Seen() && s.cfg.Presence != nil && !s.automatic(owner, it.JID) {
		errs = append(errs, s.cfg.Presence.SendUnavailable(ctx, owner, it.JID))
	}
	if st.Seen() || st.PendingIn() {
		errs = append(errs, s.inbound(ctx, notice(owner, it.JID, Unsubscribed), Unsubscribed))
	}
	return errors.Join(errs...)
}
