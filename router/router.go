package router

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Config joins a Router to the rest of the node.
type Config struct {
	Domains   []jid.JID
	Registry  Registry
	Mailboxes Mailboxes
	Table     *Table
	Mux       *mux.Mux
	Presence  Handler // all presence from and to local accounts
	Offline   Offline
	Accounts  Accounts
	// Scope, if not nil, says which of the served domains may have to do with each
	// other. For others than these, a domain is as if it were not served.
	Scope func(a, b string) bool
	// Guard may refuse an IQ request between two accounts before it reaches a
	// resource; nil lets all pass.
	Guard func(ctx context.Context, st *stanza.Stanza) *stanza.Error
	Log   *slog.Logger
}

// Router routes stanzas of local senders. Safe for concurrent use.
type Router struct {
	cfg   Config
	gates gates
	alone bool // no other node has sessions

	domains map[string]bool // if they are many
}

// manyDomains is from where on a map finds a domain faster than a look at each.
const manyDomains = 8

// New makes a Router. Presence, Offline and Accounts, which need a router
// themselves, may follow by [Router.Join] before the first stanza.
func New(cfg Config) *Router {
	_, alone := cfg.Mailboxes.(Local)
	r := &Router{cfg: cfg, alone: alone}
	if len(cfg.Domains) > manyDomains {
		r.domains = make(map[string]bool, len(cfg.Domains))
		for _, d := range cfg.Domains {
			r.domains[d.Domain()] = true
		}
	}
	return r
}

// Join sets what was made after the router.
func (r *Router) Join(presence Handler, offline Offline, guard func(context.Context, *stanza.Stanza) *stanza.Error) {
	r.cfg.Presence, r.cfg.Offline, r.cfg.Guard = presence, offline, guard
}

// Registry returns the registry of bound resources.
func (r *Router) Registry() Registry { return r.cfg.Registry }

// Table returns this node's sessions.
func (r *Router) Table() *Table { return r.cfg.Table }

// Local reports whether j belongs to a domain served here.
func (r *Router) Local(j jid.JID) bool {
	d := j.Domain()
	if r.domains != nil {
		return r.domains[d]
	}
	for i := range r.cfg.Domains {
		if r.cfg.Domains[i].Domain() == d {
			return true
		}
	}
	return false
}

// Scoped reports whether some domains are kept apart.
func (r *Router) Scoped() bool { return r.cfg.Scope != nil }

// Reaches reports whether to is served here and may be reached by from. Whoever
// cannot be reached is to be answered for as one of a domain not served, whether
// there is such an account or not.
func (r *Router) Reaches(from, to jid.JID) bool {
	if !r.Local(to) {
		return false
	}
	if r.cfg.Scope == nil {
		return true
	}
	a, b := from.Domain(), to.Domain()
	return a == b || r.cfg.Scope(a, b)
}

// HandleStanza routes a stanza by its address. Errors that the sender can be
// told are sent to it as stanza errors; what is returned is for the log.
func (r *Router) HandleStanza(ctx context.Context, st *stanza.Stanza) error {
	to := st.To
	if to.IsZero() && st.Kind != stanza.KindPresence {
		to = st.From.Bare() // RFC 6120 §10.3
	}
	if st.Kind == stanza.KindPresence {
		return r.cfg.Presence.HandleStanza(ctx, st)
	}
	if !r.Reaches(st.From, to) {
		return r.Refuse(ctx, st, stanza.NewError(stanza.Cancel, "remote-server-not-found", ""))
	}
	if to.Local() == "" {
		return r.toServer(ctx, st, to)
	}
	return r.toAccount(ctx, st, to)
}

func (r *Router) toServer(ctx context.Context, st *stanza.Stanza, to jid.JID) error {
	if st.Kind == stanza.KindIQ {
		if st.Type != "get" && st.Type != "set" {
			return nil // the answer to a request of ours
		}
		return r.answer(ctx, r.cfg.Mux.Serve(ctx, st, mux.ScopeServer, to.DomainJID()))
	}
	return r.Refuse(ctx, st, stanza.ErrServiceUnavailable())
}

func (r *Router) toAccount(ctx context.Context, st *stanza.Stanza, to jid.JID) error {
	bare := to.Bare()
	bindings, err := r.cfg.Registry.Lookup(ctx, bare)
	if err != nil {
		return r.fail(ctx, st, bare, err)
	}
	addr, target, err := r.classify(ctx, to, bare, bindings, st.From)
	if err != nil {
		return r.fail(ctx, st, bare, err)
	}
	if addr == Matched && r.cfg.Guard != nil && st.Kind == stanza.KindIQ && st.From.Bare() != bare {
		if e := r.cfg.Guard(ctx, st); e != nil {
			return r.Refuse(ctx, st, e)
		}
	}
	v := Decide(st.Kind, st.Type, addr, slices.ContainsFunc(bindings, takesMessages))
	return r.carryOut(ctx, v, st, bare, bindings, target)
}

// takesMessages reports whether messages to the bare JID go to the resource
// (RFC 6121 §8.5.2.1.1).
func takesMessages(b Binding) bool { return b.Available() && b.Priority >= 0 }

func (r *Router) classify(ctx context.Context, to, bare jid.JID, bindings []Binding, from jid.JID) (Address, SID, error) {
	if !to.IsBare() {
		for i := range bindings {
			if bindings[i].Full == to {
				return Matched, bindings[i].SID, nil
			}
		}
	}
	if len(bindings) == 0 && from.Bare() != bare {
		ok, err := r.cfg.Accounts.Exists(ctx, bare)
		if err != nil || !ok {
			return Unknown, "", err
		}
	}
	if to.IsBare() {
		return Bare, "", nil
	}
	return Unbound, "", nil
}

func (r *Router) carryOut(ctx context.Context, v Verdict, st *stanza.Stanza, bare jid.JID, bindings []Binding, target SID) error {
	switch v.Action {
	case Serve:
		return r.answer(ctx, r.cfg.Mux.Serve(ctx, st, mux.ScopeAccount, bare))
	case Refuse:
		return r.Refuse(ctx, st, stanza.ErrServiceUnavailable())
	case Store:
		return r.keep(ctx, st, bare)
	case Deliver:
		var one [4]SID
		to := one[:0]
		if v.Targets == TheResource {
			to = append(to, target)
		} else {
			for i := range bindings {
				if takesMessages(bindings[i]) {
					to = append(to, bindings[i].SID)
				}
			}
		}
		err := r.post(ctx, to, st)
		if errors.Is(err, ErrUndelivered) {
			return r.Undelivered(ctx, st, bare)
		}
		if err != nil {
			return r.fail(ctx, st, bare, err)
		}
		return nil
	}
	return nil
}

// keep stores a message for an account that nobody takes it for.
func (r *Router) keep(ctx context.Context, st *stanza.Stanza, owner jid.JID) error {
	if ctx.Value(passKey{}) != owner {
		r.gates.wait(ctx, owner)
	}
	err := r.cfg.Offline.Store(ctx, owner, st)
	if err == nil {
		return nil
	}
	var e *stanza.Error
	if errors.As(err, &e) {
		return r.Refuse(ctx, st, e)
	}
	return r.fail(ctx, st, owner, err)
}

// fail tells the sender that a stanza could not be delivered or kept, unless
// whoever has it handled will try again.
func (r *Router) fail(ctx context.Context, st *stanza.Stanza, owner jid.JID, err error) error {
	if errors.Is(err, ErrAway) && (ctx.Value(patientKey{}) != nil || ctx.Value(passKey{}) == owner) {
		return err
	}
	return errors.Join(err, r.Refuse(ctx, st, stanza.ErrInternal()))
}

// Patiently has a stanza that is handled under ctx not refused with an
// [ErrAway]: the caller waits, and has it handled again.
func Patiently(ctx context.Context) context.Context {
	return context.WithValue(ctx, patientKey{}, true)
}

type patientKey struct{}

// post gives a stanza to sessions and notes on it who they are, so that one that
// does not deliver it knows whether another has it.
func (r *Router) post(ctx context.Context, to []SID, st *stanza.Stanza) error {
	if len(to) > 1 && st.Kind == stanza.KindMessage {
		st = st.Clone()
		st.Also = make([]string, len(to))
		for i, sid := range to {
			st.Also[i] = string(sid)
		}
	}
	return r.cfg.Mailboxes.Post(ctx, to, st)
}

// Undelivered takes back a stanza that a session accepted, or was about to,
// and did not deliver before it ended. A message of one person to another that
// no other session has finds one or is kept; a request is answered with
// service-unavailable.
func (r *Router) Undelivered(ctx context.Context, st *stanza.Stanza, owner jid.JID) error {
	if st.Kind == stanza.KindIQ {
		return r.Refuse(ctx, st, stanza.ErrServiceUnavailable())
	}
	if st.Kind != stanza.KindMessage || Decide(st.Kind, st.Type, Bare, false).Action != Store {
		return nil
	}
	bindings, err := r.cfg.Registry.Lookup(ctx, owner)
	if err != nil {
		return r.fail(ctx, st, owner, err)
	}
	var to []SID
	for i := range bindings {
		if slices.Contains(st.Also, string(bindings[i].SID)) {
			return nil
		}
		if takesMessages(bindings[i]) {
			to = append(to, bindings[i].SID)
		}
	}
	if len(to) > 0 {
		// One that may have been posted is not to be kept beside that.
		if err := r.post(ctx, to, st); err == nil {
			return nil
		} else if errors.Is(err, ErrAway) {
			return r.fail(ctx, st, owner, err)
		}
	}
	return r.keep(ctx, st, owner)
}

// Refuse answers st with e, if it may be answered.
func (r *Router) Refuse(ctx context.Context, st *stanza.Stanza, e *stanza.Error) error {
	return r.answer(ctx, st.ErrorReply(e))
}

// answer sends what the server itself says to a full JID. An answer whose
// receiver has gone is dropped; nobody waits for it.
func (r *Router) answer(ctx context.Context, reply *stanza.Stanza) error {
	if reply == nil {
		return nil
	}
	if reply.From.IsZero() {
		reply.From = reply.To.Bare()
	}
	_, err := r.SendFull(ctx, reply.To, reply)
	return err
}

// Send gives each session its letter. Sessions that have gone are passed over.
func (r *Router) Send(ctx context.Context, letters []Letter) error {
	if len(letters) == 0 {
		return nil
	}
	return r.cfg.Mailboxes.Send(ctx, letters)
}

// SendFull gives a stanza to the session bound to a full JID, whatever the
// delivery rules say, and reports whether there is one that took it. What a
// session is told in answer to its own request needs no mailbox: it is written
// down with the response, or caused again when the request is repeated.
func (r *Router) SendFull(ctx context.Context, full jid.JID, st *stanza.Stanza) (bool, error) {
	if s, ok := r.cfg.Table.ByJID(full); ok && (r.alone || OriginOf(ctx).SID() == s.SID()) {
		return s.Deliver(st, st.AppendXML(nil)) == nil, nil
	}
	bindings, err := r.cfg.Registry.Lookup(ctx, full.Bare())
	if err != nil {
		return false, err
	}
	for i := range bindings {
		if bindings[i].Full == full {
			err := r.cfg.Mailboxes.Post(ctx, []SID{bindings[i].SID}, st)
			if errors.Is(err, ErrUndelivered) {
				return false, nil
			}
			return err == nil, err
		}
	}
	return false, nil
}
