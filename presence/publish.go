package presence

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// retryAfter is when a user is looked at again whom contacts could not be told of.
const retryAfter = 2 * time.Second

// alone is the presence of somebody who is on the phone and has no resource.
func alone(user jid.JID) *stanza.Stanza {
	return &stanza.Stanza{Kind: stanza.KindPresence, From: user}
}

// phone reports whether a phone alone shows the user, if there is no resource.
func (t *told) phone() bool { return t != nil && t.Name == OnThePhone }

// resources reads from bindings what composition needs.
func resources(list []router.Binding) []Resource {
	all := make([]Resource, 0, len(list))
	for i := range list {
		b := &list[i]
		if !b.Available() {
			continue
		}
		all = append(all, Resource{
			Name: b.Full.Resource(), Show: b.Presence.ChildText(stanza.NSClient, "show"), Since: b.Since, Idle: idleSince(b.Presence),
		})
	}
	return all
}

// idleSince reads XEP-0319. What cannot be read is as if it were not there.
func idleSince(st *stanza.Stanza) time.Time {
	c, ok := st.Child("urn:xmpp:idle:1", "idle")
	if !ok {
		return time.Time{}
	}
	el, err := st.Element(c)
	if err != nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, el.SelectAttrValue("since", ""))
	if err != nil {
		return time.Time{}
	}
	return t
}

// decide composes anew. It is called with the shard's lock held and returns the time at
// which to look again.
func (c *composer) decide(e *entry, list []Resource, now time.Time) time.Time {
	s := c.settings.Load()
	before := e.told
	defer func() {
		if !e.told.same(before) {
			e.turned = c.version.Add(1)
		}
	}()
	live := e.book.Live(now)
	if !e.choice.Until.IsZero() && !e.choice.Until.After(now) {
		e.choice = Choice{}
	}
	if len(live) == 0 && e.choice.State == "" {
		e.told = nil
		return e.book.Rest(now)
	}
	st, next := Compose(Input{Choice: e.choice, Resources: list, Evidence: live}, s.Policy, now)
	if e.told != nil && e.told.Name == st.Name && e.told.Since.Before(st.Since) && !e.told.Since.IsZero() {
		st.Since = e.told.Since // another line, meeting or resource goes on with it
	}
	e.told = newTold(st, e.choice.Text, live, s, now)
	return next
}

// compose broadcasts what a user's own resource says, as contacts are to be told of it.
// own is its binding, nil if it leaves. If the others of the resources are to be
// told of anew by that, it is done by the loop of Run.
func (s *Service) compose(ctx context.Context, st *stanza.Stanza, all []router.Binding, own *router.Binding) error {
	user := st.From.Bare()
	if s.history.keep() > 0 && !sameState(all, own) {
		s.history.mark(user)
	}
	if s.composer.users.Load() == 0 {
		return s.broadcast(ctx, st, all, nil)
	}
	now := make([]router.Binding, 0, len(all)+1)
	for i := range all {
		if all[i].Full != st.From {
			now = append(now, all[i])
		}
	}
	if own != nil {
		now = append(now, *own)
	}
	var t *told
	at := time.Now()
	shown := false // to contacts still, who are not told yet that the user appears offline
	s.composer.with(user, false, func(_ *shard, e *entry) {
		e.touched++
		s.composer.decide(e, resources(now), at)
		t, e.relayed = e.told, e.turned
		shown = t.hidden() && (own == nil || available(all, st.From)) && e.sent[st.From].label != Unavailable
	})
	gone := own == nil
	if shown && gone {
		return s.leaves(ctx, st, all)
	}
	err := s.broadcast(ctx, st, all, t)
	known := false
	s.composer.with(user, false, func(sh *shard, e *entry) {
		if shown { // they are told by review
			sh.plan(e, at)
			return
		}
		known = true
		e.heard(sh, st.From, t.key(st), gone)
	})
	if known && s.cfg.Cluster != nil {
		k := t.key(st)
		s.cfg.Cluster.Told(Word{Full: st.From, Show: k.show, Label: k.label, Text: k.text, Gone: gone, At: at})
	}
	return err
}

// leaves tells contacts that a resource is gone which they still see, though the user appears offline.
func (s *Service) leaves(ctx context.Context, st *stanza.Stanza, all []router.Binding) error {
	err := s.broadcast(ctx, st, all, nil)
	s.composer.with(st.From.Bare(), false, func(sh *shard, e *entry) { e.heard(sh, st.From, key{}, true) })
	if s.cfg.Cluster != nil {
		s.cfg.Cluster.Told(Word{Full: st.From, Gone: true, At: time.Now()})
	}
	return err
}

// heard notes what contacts were told of a resource by itself. The others may have to be
// told of by that, or a state that was decided since. It is called with the lock held.
func (e *entry) heard(sh *shard, full jid.JID, k key, gone bool) {
	if gone {
		delete(e.sent, full)
	} else {
		e.note(full, k)
	}
	sh.plan(e, time.Now())
}

func (e *entry) note(full jid.JID, k key) {
	if e.sent == nil {
		e.sent = make(map[jid.JID]key)
	}
	e.sent[full], e.changed = k, time.Now()
}

// notice is a presence that contacts do not know yet.
type notice struct {
	st  *stanza.Stanza
	key key
}

// review tells contacts of a user what they do not know yet, and plans the next look.
func (s *Service) review(ctx context.Context, user jid.JID) {
	var touched uint64
	s.composer.with(user, false, func(_ *shard, e *entry) { touched = e.touched })
	list, err := s.cfg.Router.Registry().Lookup(ctx, user)
	if err != nil {
		s.again(ctx, user, err)
		return
	}
	now := time.Now()
	var v verdict
	s.composer.with(user, false, func(sh *shard, e *entry) {
		if e.touched != touched { // the list may be from before what was said meanwhile
			sh.plan(e, now)
			return
		}
		v = s.judge(sh, e, list, now)
	})
	if !v.relay.IsZero() {
		if err := s.relay(ctx, user, v.relay); err != nil {
			s.again(ctx, user, err)
		}
	}
	if len(v.news)+len(v.gone) == 0 {
		return
	}
	why := "resource"
	if v.told != nil {
		why = v.told.Why
	}
	s.composer.changes.add(why)
	if err := s.publish(ctx, user, list, &v); err != nil {
		s.again(ctx, user, err)
		return
	}
	s.composer.with(user, false, func(sh *shard, e *entry) {
		e.done(v.news, v.gone)
		if e.touched != touched { // what was sent may be older than what the user said
			for _, n := range v.news {
				e.note(n.st.From, key{label: unsure})
			}
		}
		if e.touched != touched || v.told == nil {
			sh.plan(e, now)
		}
	})
}

// verdict is what a look at a user has found.
type verdict struct {
	told  *told
	news  []notice
	gone  []jid.JID
	relay time.Time // another node has told contacts; who came here since then may not be among them. Zero = they know
}

// judge finds what is to be told of a user. It is called with the lock held.
func (s *Service) judge(sh *shard, e *entry, list []router.Binding, now time.Time) (v verdict) {
	if at := s.wordOf(e, list, now); !at.IsZero() {
		sh.plan(e, at)
		return v
	}
	next := s.composer.decide(e, resources(list), now)
	v.told = e.told
	s.inherit(e, list, now)
	if e.differs() {
		s.history.mark(e.user)
	}
	v.news, v.gone = e.news(list)
	if e.foreign { // the node that does tells them; what it told is what there is to know
		e.done(v.news, v.gone)
		v.news, v.gone = nil, nil
	}
	if e.turned > e.relayed && len(v.news) == 0 {
		v.relay = e.began(now)
	}
	e.relayed, e.stirred, e.border = e.turned, time.Time{}, next
	if !next.IsZero() {
		sh.plan(e, next)
	}
	if e.told == nil && e.pos < 0 && len(v.news)+len(v.gone) == 0 {
		delete(sh.entries, e.user)
		sh.ended = s.composer.version.Load()
		s.composer.users.Add(-1)
	}
	return v
}

// wordTime is how long the word of another node takes at most, as a rule.
const wordTime = 500 * time.Millisecond

// wordOf returns until when it is to be waited for what another node tells contacts of a resource that has just sent
// presence there, zero if for nothing: they would be told twice. It is called with the lock held.
func (s *Service) wordOf(e *entry, list []router.Binding, now time.Time) (until time.Time) {
	if s.cfg.Cluster == nil {
		return until
	}
	for i := range list {
		b := &list[i]
		age := now.Sub(b.Since)
		if !b.Available() || age.Abs() >= wordTime || !e.changed.Before(b.Since) {
			continue
		}
		if _, here := s.cfg.Router.Table().ByJID(b.Full); here {
			continue
		}
		// The clock of the other node may be ahead.
		if at := now.Add(wordTime - max(age, 0)); at.After(until) {
			until = at
		}
	}
	return until
}

// unsure stands for what contacts know of a resource, if that may be out of date.
const unsure Name = "unsure"

func available(list []router.Binding, full jid.JID) bool {
	return slices.ContainsFunc(list, func(b router.Binding) bool { return b.Full == full && b.Available() })
}

// done notes what contacts know now.
func (e *entry) done(news []notice, gone []jid.JID) {
	for _, n := range news {
		e.note(n.st.From, n.key)
	}
	for _, from := range gone {
		delete(e.sent, from)
	}
}

// again plans another try for a user whom contacts could not be told of.
func (s *Service) again(ctx context.Context, user jid.JID, err error) {
	s.cfg.Log.WarnContext(ctx, "composed presence", "jid", user.String(), "err", err)
	s.composer.with(user, false, func(sh *shard, e *entry) { sh.plan(e, time.Now().Add(retryAfter)) })
}

// news lists what contacts have to be told, and from whom they have to take back
// what they know: a bare JID that stood for a phone alone. Of a resource of which
// nothing was told since there is an entry, contacts know what it says by itself.
func (e *entry) news(list []router.Binding) (news []notice, gone []jid.JID) {
	there := false
	for i := range list {
		if !list[i].Available() {
			continue
		}
		there = true
		st := list[i].Presence
		was, known := e.sent[list[i].Full]
		if !known {
			was = (*told)(nil).key(st)
		}
		if k := e.told.key(st); k != was {
			news = append(news, notice{st, k})
		}
	}
	for full, k := range e.sent {
		// It may have left while this node still told of it.
		if k.label == unsure && full != e.user && !available(list, full) {
			gone = append(gone, full)
		}
	}
	_, shown := e.sent[e.user]
	switch {
	case !there && !shown && e.told.phone():
		st := alone(e.user)
		news = append(news, notice{st, e.told.key(st)})
	case shown && (there || !e.told.phone()):
		gone = append(gone, e.user)
	}
	return news, gone
}

// publish sends each notice to all who see the user, encoded once for contacts and once
// for the own resources.
func (s *Service) publish(ctx context.Context, user jid.JID, own []router.Binding, v *verdict) error {
	subscribers, more, err := s.cfg.Contacts.Subscribers(ctx, user)
	if err != nil {
		return err
	}
	var watchers []router.Binding
	var errs []error
	for contact := range chain(subscribers, more) {
		list, err := s.cfg.Router.Registry().Lookup(ctx, contact)
		watchers, errs = append(watchers, list...), append(errs, err)
	}
	watching, err := s.overseers(ctx, user)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	watchers = append(watchers, watching...)
	var p post
	for _, from := range v.gone {
		p.addAvailable(newFrame(&stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: from}), watchers)
	}
	for _, n := range v.news {
		st := v.told.contacts(n.st)
		if v.told.hidden() {
			st = &stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: n.st.From}
		}
		p.addAvailable(newFrame(st), watchers)
		p.addAvailable(newFrame(v.told.owner(n.st)), own)
	}
	return s.cfg.Router.Send(ctx, p.letters)
}
