package app

import (
	"context"
	"fmt"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stream"
)

// automatic shows the groups to the roster, which may not know them.
type automatic struct{ *people.Groups }

func (a automatic) Picture() roster.Picture { return a.View() }

func newScope(cfg configs.Config) *people.Scope {
	return people.NewScope(people.Mode(cfg.Scope.Mode), cfg.Domains, cfg.Scope.AllTenants())
}

// buildGroups makes what knows of groups and scope, still without people.
func (n *node) buildGroups(context.Context) error {
	n.syncTurn = make(chan struct{}, 1)
	n.stirred, n.look = make(chan struct{}, 1), make(chan struct{}, 1)
	n.scope = newScope(n.cfg)
	n.groups = people.NewGroups(people.GroupsConfig{
		Scope: n.scope, Domains: n.cfg.Domains, Largest: n.cfg.Groups.Largest, Manual: n.cfg.Groups.Sync == "manual",
		Changed: n.stir, Log: n.log,
	})
	n.wish.Store(&n.cfg.Groups)
	n.people.sinks = append(n.people.sinks, n.groups.Source)
	n.people.seen = sight{n}
	return nil
}

// related is the router's question about two domains, nil if none are apart.
func (n *node) related() func(a, b string) bool {
	if n.scope == nil {
		return nil
	}
	return n.scope.Related
}

// stir has those told who follow from the groups. It does not wait.
func (n *node) stir() {
	select {
	case n.stirred <- struct{}{}:
	default:
	}
}

// loadGroups learns what is said of groups before the first client comes.
func (n *node) loadGroups(ctx context.Context) error {
	if err := n.lookAtGroups(ctx); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	return nil
}

// watchGroups keeps up to date what is said of groups until ctx ends.
func (n *node) watchGroups(ctx context.Context) error {
	tick := time.NewTicker(n.options.Config.Groups.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.look:
		}
		if err := n.lookAtGroups(ctx); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "groups stay as they are", "err", err)
		}
		if n.groupsMatter() {
			n.stir() // for sessions taken up from another node since
		}
	}
}

// lookAtGroups puts in force what is said of groups.
func (n *node) lookAtGroups(ctx context.Context) error {
	if err := n.readGroups(ctx); err != nil {
		return err
	}
	required := n.wish.Load().Required
	if required && !n.groups.Required() && !n.anyGroup.Load() {
		n.log.WarnContext(ctx, "groups are required and none is authorised: nobody can sign in; use deskline group authorise")
	}
	n.groups.SetRequired(required)
	return nil
}

// enforceGroups ends the sessions of those who may not use chat any more and has
// the others told of their contacts, after each change until ctx ends.
func (n *node) enforceGroups(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.stirred:
		}
		n.rosters.Stir()
		for _, s := range n.sessions.Sessions() {
			if s.JID().IsZero() || n.withdraws(s.JID()) {
				continue
			}
			if ok, why := n.mayChat(s.JID()); !ok {
				s.End(stream.NotAuthorized, why)
			}
		}
	}
}

// withdraws reports whether the directory itself sends somebody away, and says why.
func (n *node) withdraws(account jid.JID) bool {
	if n.directory == nil || !n.directory.Holds(account.Domain()) {
		return false
	}
	_, over := n.directory.Withdrawn(account.Bare())
	return over
}

// mayChat asks the groups, which know nobody until a source has told.
func (n *node) mayChat(account jid.JID) (ok bool, why string) {
	if !n.groups.Ready(account) {
		return true, ""
	}
	return n.groups.May(account)
}

// chatters are the accounts that others can have to do with: one that may not use
// chat is as good as none.
type chatters struct{ n *node }

// Exists implements router.Accounts.
func (c chatters) Exists(ctx context.Context, bare jid.JID) (bool, error) {
	ok, err := c.n.accounts.Exists(ctx, bare)
	if ok && c.n.groupsMatter() {
		ok, _ = c.n.mayChat(bare)
	}
	return ok, err
}

// admit implements session.Config.Admit. A local account is looked at
// again where it matters: it may be new, or in another group since a moment.
func (n *node) admit(ctx context.Context, account jid.JID) *sasl.Failure {
	if !n.groupsMatter() {
		return nil
	}
	if !n.groups.Ready(account) {
		if !n.wish.Load().Required && n.options.Config.Groups.Sync != "manual" {
			return nil
		}
		return sasl.NewFailure(sasl.TemporaryAuthFailure, "the server has not read its groups yet, try again")
	}
	if ok, _ := n.groups.May(account); ok && !n.wish.Load().Required {
		return nil
	}
	if !n.listed(account.Domain()) { // a directory tells by itself
		n.tellGroups(ctx, account.Bare())
	}
	if ok, why := n.groups.May(account); !ok {
		return sasl.NewFailure(sasl.AccountDisabled, why)
	}
	return nil
}

// tellGroups tells of a local account at once, which may have been made just now.
func (n *node) tellGroups(ctx context.Context, account jid.JID) {
	a, err := n.store.Account(ctx, account)
	if err != nil {
		return // sign-in fails by itself
	}
	if err := n.groups.Source(localSource).Change(ctx, []people.Person{localPerson(&a)}, nil); err != nil {
		n.log.WarnContext(ctx, "groups of an account", "err", err)
	}
}

// readGroups reads what administrators say of groups, and of whom a
// synchronisation has let in.
func (n *node) readGroups(ctx context.Context) error {
	records, err := n.store.GroupRecords(ctx)
	if err != nil {
		return err
	}
	list := people.Authorisations(records, n.wish.Load().Authorised...)
	n.anyGroup.Store(len(list) > 0)
	n.groups.Authorise(list)
	if n.options.Config.Groups.Sync != "manual" {
		return nil
	}
	return n.syncing(ctx, func() error { return n.readSynced(ctx) })
}

// groupsMatter reports whether anything follows from groups.
func (n *node) groupsMatter() bool {
	return n.anyGroup.Load() || n.wish.Load().Required || n.options.Config.Groups.Sync == "manual"
}

// readLocal has the groups told of all local accounts at once, as the source of them
// does in its time.
func (n *node) readLocal(ctx context.Context) error {
	if err := n.groups.Source(localSource).Replace(ctx, n.people.local.All(ctx)); err != nil {
		return fmt.Errorf("read the local accounts: %w", err)
	}
	return nil
}

// sight says who finds whom in search.
type sight struct{ n *node }

// MaySee implements people.Visibility: without a scope people of the own domain,
// else by it; and only who may use chat.
func (s sight) MaySee(searcher, person jid.JID) bool {
	if s.n.scope == nil && !(people.SameDomain{}).MaySee(searcher, person) || !s.n.scope.MaySee(searcher, person) {
		return false
	}
	ok, _ := s.n.mayChat(person)
	return ok
}

// Domains implements people.Reach.
func (s sight) Domains(searcher jid.JID) []string {
	if s.n.scope == nil {
		return people.SameDomain{}.Domains(searcher)
	}
	return s.n.groups.Domains(searcher)
}

// setGroups has the live keys put in force soon. It does not wait.
func (n *node) setGroups(cfg configs.Config) {
	n.wish.Store(&cfg.Groups)
	select {
	case n.look <- struct{}{}:
	default:
	}
}
