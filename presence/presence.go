// Package presence tells people of one another: initial presence and probes,
// later changes, directed presence, and unavailable presence on every way a
// session can end (RFC 6121 §4). Subscriptions themselves are the roster's.
//
//	p := presence.New(presence.Config{Router: r, Contacts: rosters, Log: log})
//	err := p.HandleStanza(ctx, st) // all presence, from the router
package presence

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Contacts knows who may see whom. Lists are shared and must not be changed.
type Contacts interface {
	// Subscribers lists who sees the owner (subscription from or both), and goes
	// through more who are not in the list; nil = there are none.
	Subscribers(ctx context.Context, owner jid.JID) (own []jid.JID, more iter.Seq[jid.JID], err error)
	// Subscriptions lists whom the owner sees (to or both) in the same way.
	Subscriptions(ctx context.Context, owner jid.JID) (own []jid.JID, more iter.Seq[jid.JID], err error)
	// MaySee reports whether contact sees owner.
	MaySee(ctx context.Context, owner, contact jid.JID) (bool, error)
	// HandleSubscription takes presence of type subscribe, subscribed,
	// unsubscribe and unsubscribed.
	HandleSubscription(ctx context.Context, st *stanza.Stanza) error
	// Redeliver sends pending subscription requests to a resource that came.
	Redeliver(ctx context.Context, full jid.JID) error
}

// Kept hands over messages that waited for a resource.
type Kept interface {
	Deliver(ctx context.Context, full jid.JID) error
}

// Seen remembers when somebody left.
type Seen interface {
	Left(ctx context.Context, owner jid.JID, status string) error
}

// Config joins a Service to the rest of the node.
type Config struct {
	Router   *router.Router
	Contacts Contacts
	Kept     Kept
	Seen     Seen
	Settings Settings // of composition
	Cluster  Cluster  // nil = there are no other nodes
	Teams    *Teams   // nil = nobody watches others by their groups
	Choices  Choices  // nil = users choose by what their clients say alone
	Log      *slog.Logger

	Histories Histories     // nil = no history is kept
	Keep      time.Duration // for how long changes are; 0 = not at all
}

// Service handles all presence. Safe for concurrent use.
type Service struct {
	cfg      Config
	composer *composer
	arrivals arrivals
	history  *recorder
}

// New makes a Service.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, composer: newComposer(cfg.Settings)}
	s.history = newRecorder(s)
	return s
}

// HandleStanza implements router.Handler for presence from local sessions.
func (s *Service) HandleStanza(ctx context.Context, st *stanza.Stanza) error {
	switch st.Type {
	case "", "unavailable":
		st = honest(st)
		if !st.To.IsZero() {
			return s.directed(ctx, st)
		}
		if st.Type == "" {
			return s.available(ctx, st)
		}
		return s.unavailable(ctx, st)
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		if st.To.IsZero() {
			return s.refuse(ctx, st, "a subscription needs a receiver")
		}
		return s.cfg.Contacts.HandleSubscription(ctx, st)
	case "probe":
		return s.probe(ctx, st)
	case "error":
		return s.forward(ctx, st)
	}
	return s.refuse(ctx, st, "unknown presence type")
}

func (s *Service) refuse(ctx context.Context, st *stanza.Stanza, why string) error {
	return s.cfg.Router.Refuse(ctx, st, stanza.ErrBadRequest(why))
}

// fail tells the sender of what could not be done, if anything.
func (s *Service) fail(ctx context.Context, st *stanza.Stanza, err error) error {
	if err == nil {
		return nil
	}
	return errors.Join(err, s.cfg.Router.Refuse(ctx, st, stanza.ErrInternal()))
}

// find returns the sender's binding and those of all its resources.
func (s *Service) find(ctx context.Context, full jid.JID) (own router.Binding, all []router.Binding, ok bool, err error) {
	all, err = s.cfg.Router.Registry().Lookup(ctx, full.Bare())
	for i := range all {
		if all[i].Full == full {
			return all[i], all, true, err
		}
	}
	return own, all, false, err
}

// priority reads the priority (RFC 6121 §4.7.2.3).
func priority(st *stanza.Stanza) (int8, bool) {
	if _, ok := st.Child(stanza.NSClient, "priority"); !ok {
		return 0, true
	}
	text := strings.TrimSpace(st.ChildText(stanza.NSClient, "priority"))
	n, err := strconv.ParseInt(text, 10, 8)
	return int8(n), err == nil
}

// available takes initial and later presence (RFC 6121 §4.2, §4.4).
func (s *Service) available(ctx context.Context, st *stanza.Stanza) error {
	prio, ok := priority(st)
	if !ok {
		return s.refuse(ctx, st, "priority is a number from -128 to 127")
	}
	own, all, ok, err := s.find(ctx, st.From)
	if err != nil || !ok {
		return s.fail(ctx, st, err)
	}
	before := own.Presence
	initial, took := !own.Available(), own.Available() && own.Priority >= 0
	if initial {
		s.recall(ctx, st.From.Bare())
	}
	own.Presence, own.Priority, own.Since = st, prio, time.Now()
	if err := s.cfg.Router.Registry().Update(ctx, own); err != nil {
		return s.fail(ctx, st, err)
	}
	err = s.fail(ctx, st, s.compose(ctx, st, all, &own))
	if initial {
		s.welcome(ctx, own)
	}
	if e := s.introduceTeams(ctx, before, own); e != nil {
		s.cfg.Log.WarnContext(ctx, "teams", "jid", st.From.String(), "err", e)
	}
	if prio >= 0 && !took && s.cfg.Kept != nil {
		if err := s.cfg.Kept.Deliver(ctx, st.From); err != nil {
			s.cfg.Log.WarnContext(ctx, "kept messages", "jid", st.From.String(), "err", err)
		}
	}
	return err
}

// broadcast sends st to the subscribers, as t says, and to the sender's own
// resources, its own included (RFC 6121 §4.2.2).
func (s *Service) broadcast(ctx context.Context, st *stanza.Stanza, own []router.Binding, t *told) error {
	var p post
	f := newFrame(t.contacts(st))
	if !t.hidden() {
		subscribers, more, err := s.cfg.Contacts.Subscribers(ctx, st.From.Bare())
		if err != nil {
			return err
		}
		for _, contact := range subscribers {
			list, err := s.cfg.Router.Registry().Lookup(ctx, contact)
			if err != nil {
				return err
			}
			p.addAvailable(f, list)
		}
		if more != nil {
			if p, err = s.addMore(ctx, p, *f, more); err != nil {
				return err
			}
		}
		watching, err := s.overseers(ctx, st.From.Bare())
		if err != nil {
			return err
		}
		p.addAvailable(f, watching)
	}
	if t != nil {
		f = newFrame(t.owner(st))
	}
	p.addAvailable(f, own)
	if st.Type == "" {
		// The registry's list of before lacks the sender if it was unavailable.
		for i := range own {
			if own[i].Full == st.From && !own[i].Available() {
				p.add(f, &own[i])
			}
		}
	}
	return s.cfg.Router.Send(ctx, p.letters)
}

// addMore addresses a frame to contacts that no list has. Values are passed, so
// that they need not be on the heap where there are no such contacts.
func (s *Service) addMore(ctx context.Context, p post, f frame, more iter.Seq[jid.JID]) (post, error) {
	for contact := range more {
		list, err := s.cfg.Router.Registry().Lookup(ctx, contact)
		if err != nil {
			return p, err
		}
		p.addAvailable(&f, list)
	}
	return p, nil
}

// welcome tells a resource that came of everybody it sees: what probes would
// bring, read from the registry instead (RFC 6121 §4.3). Nothing is said of
// contacts who are away: a client takes them for that anyway, and most are.
func (s *Service) welcome(ctx context.Context, own router.Binding) {
	version := s.composer.version.Load()
	bare := own.Full.Bare()
	contacts, more, err := s.cfg.Contacts.Subscriptions(ctx, bare)
	var p post
	for contact := range chain(contacts, more) {
		_, e := s.tell(ctx, &p, contact, &own)
		err = errors.Join(err, e)
	}
	_, e := s.tell(ctx, &p, bare, &own)
	err = errors.Join(err, e, s.cfg.Router.Send(ctx, p.letters), s.correct(ctx, version, &own, contacts, more))
	if err = errors.Join(err, s.cfg.Contacts.Redeliver(ctx, own.Full)); err != nil {
		s.cfg.Log.WarnContext(ctx, "contacts of a new resource", "jid", own.Full.String(), "err", err)
	}
}

// tell addresses the presence of owner's resources to one receiver and reports
// whether there is any.
func (s *Service) tell(ctx context.Context, p *post, owner jid.JID, to *router.Binding) (bool, error) {
	list, err := s.cfg.Router.Registry().Lookup(ctx, owner)
	t := s.composer.of(owner)
	own := t != nil && owner == to.Full.Bare()
	if t.hidden() && !own {
		return false, err
	}
	told := false
	for i := range list {
		if !list[i].Available() || list[i].Full == to.Full {
			continue
		}
		st := stamped(&list[i], t)
		if own {
			st = t.owner(st)
		} else {
			st = t.contacts(st)
		}
		p.add(newFrame(st), to)
		told = true
	}
	if !told && t.phone() && !own {
		p.add(newFrame(t.contacts(alone(owner))), to)
		told = true
	}
	return told, err
}

// stampAfter is how old a presence is before its receivers are told its age.
const stampAfter = 5 * time.Second

// stamped adds when the presence came (XEP-0203), or became what t says, unless that
// was just now.
func stamped(b *router.Binding, t *told) *stanza.Stanza {
	since := b.Since
	if t != nil && t.Since.After(since) {
		since = t.Since
	}
	if time.Since(since) < stampAfter {
		return b.Presence
	}
	if _, ok := b.Presence.Child("urn:xmpp:delay", "delay"); ok {
		return b.Presence
	}
	raw := []byte("<delay xmlns='urn:xmpp:delay' from='")
	raw = stanza.AppendEscaped(raw, b.Full.String())
	raw = append(raw, "' stamp='"...)
	raw = since.UTC().AppendFormat(raw, "2006-01-02T15:04:05Z")
	return b.Presence.WithChild(stanza.Name{Space: "urn:xmpp:delay", Local: "delay"}, append(raw, "'/>"...))
}

// unavailable takes a resource's leave (RFC 6121 §4.5).
func (s *Service) unavailable(ctx context.Context, st *stanza.Stanza) error {
	own, all, ok, err := s.find(ctx, st.From)
	if err != nil || !ok {
		return s.fail(ctx, st, err)
	}
	was := own.Available()
	own.Presence, own.Priority, own.Since = nil, 0, time.Now()
	if err := s.cfg.Router.Registry().Update(ctx, own); err != nil {
		return s.fail(ctx, st, err)
	}
	if sess, ok := s.cfg.Router.Table().ByJID(st.From); ok {
		s.leaveDirected(ctx, st, sess.Interest(), was && !s.composer.of(st.From.Bare()).hidden())
	}
	if !was {
		return nil
	}
	s.left(ctx, st, all)
	return s.fail(ctx, st, s.compose(ctx, st, all, nil))
}

// left remembers that the last resource of somebody went.
func (s *Service) left(ctx context.Context, st *stanza.Stanza, all []router.Binding) {
	for i := range all {
		if all[i].Full != st.From && all[i].Available() {
			return
		}
	}
	if s.cfg.Seen == nil {
		return
	}
	if err := s.cfg.Seen.Left(ctx, st.From.Bare(), st.ChildText(stanza.NSClient, "status")); err != nil {
		s.cfg.Log.WarnContext(ctx, "last seen", "jid", st.From.String(), "err", err)
	}
}

// SessionEnded sends unavailable presence for a session that is gone, whatever
// ended it (RFC 6121 §4.5.2). A later session of the same name that is already
// available is not taken back.
func (s *Service) SessionEnded(ctx context.Context, b router.Binding, in *router.Interest) {
	st := &stanza.Stanza{Kind: stanza.KindPresence, Type: "unavailable", From: b.Full}
	now, all, ok, err := s.find(ctx, b.Full)
	leaves := b.Available() && err == nil && !(ok && now.Available())
	s.leaveDirected(ctx, st, in, leaves && !s.composer.of(b.Full.Bare()).hidden())
	if leaves {
		s.left(ctx, st, all)
		err = s.compose(ctx, st, all, nil)
	}
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "unavailable presence", "jid", b.Full.String(), "err", err)
	}
}
