package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/search"
	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
)

// localSource names the local accounts among the sources of people.
const localSource = "local"

// joined are the parts that know people, and those that are told of them.
type joined struct {
	index   *people.Index
	search  *search.Service
	local   *people.Local
	sources []peopleSource
	// sinks make, for each source by its name, what is told of its people.
	sinks []func(source string) people.Sink
	seen  people.Visibility
}

// peopleSource tells of the people of some domains, which no other does.
type peopleSource struct {
	name    string
	domains []string
	source  people.Source
}

// addPeople joins a source that owns its domains. All are added before the first
// is started.
func (n *node) addPeople(name string, domains []string, source people.Source) {
	n.people.sources = append(n.people.sources, peopleSource{name, domains, source})
}

// listed reports whether a source other than the local accounts has the
// people of a domain.
func (n *node) listed(domain string) bool {
	return slices.ContainsFunc(n.people.sources, func(s peopleSource) bool {
		return s.source != people.Source(n.people.local) && slices.Contains(s.domains, domain)
	})
}

// buildPeople makes the index of people, and the local accounts a source for the
// domains that no directory has.
func (n *node) buildPeople() {
	p := &n.people
	if p.seen == nil {
		p.seen = people.SameDomain{}
	}
	if n.directory != nil {
		n.addPeople("ldap", n.cfg.DirectoryDomains(), directorySource{n.directory})
	}
	p.index = people.NewIndex()
	p.sinks = append(p.sinks, p.index.Sink)
	var domains []string
	for _, d := range n.cfg.Domains {
		if !n.listed(d) {
			domains = append(domains, d)
		}
	}
	p.local = people.NewLocal(people.LocalConfig{Domains: domains, Page: n.localPeople, Mark: n.accountsMark, Log: n.log})
	n.addPeople(localSource, domains, p.local)
	for _, s := range p.sources {
		n.groups.Expect(s.name, s.domains)
	}
	c := search.Config{Index: p.index, Visibility: n.findable(), Limits: searchLimits(n.cfg), Searched: n.metrics.Searched, Refused: n.metrics.SearchRefused}
	if n.cfg.Search.Enabled != "on" {
		c.Expected = n.isSearched
	}
	switch {
	case n.cfg.Search.Enabled == "off":
		c.Off = search.TurnedOff
	case c.Expected != nil && !slices.ContainsFunc(n.cfg.Domains, n.isSearched):
		c.Off = search.NoDirectory
	}
	p.search = search.New(c)
	p.search.Register(n.mux)
}

// isSearched reports whether the people of a domain can be searched.
func (n *node) isSearched(domain string) bool { return n.cfg.Search.Local || n.listed(domain) }

// findable says who finds whom, and reads what is known of them.
func (n *node) findable() people.Visibility {
	if n.cfg.Search.Local && n.cfg.Search.Enabled != "off" {
		return n.people.seen
	}
	return unlisted{n.people.seen, n.listed}
}

// unlisted hides local accounts.
type unlisted struct {
	people.Visibility
	directory func(domain string) bool
}

func (u unlisted) MaySee(searcher, person jid.JID) bool {
	return u.directory(person.Domain()) && u.Visibility.MaySee(searcher, person)
}

// photos asks the source that has somebody for their picture.
type photos struct{ n *node }

// Photo implements vcard.Photos.
func (p photos) Photo(ctx context.Context, person people.Person) (mime string, data []byte, err error) {
	for _, s := range p.n.people.sources {
		if from, ok := s.source.(vcard.Photos); ok && slices.Contains(s.domains, person.JID.Domain()) {
			return from.Photo(ctx, person)
		}
	}
	return "", nil, nil
}

// firstPeople is how long the start waits for the local accounts, so that search
// is there with the first client; more of them are read while clients come.
const firstPeople = 2 * time.Second

// startPeople runs all sources.
func (n *node) startPeople(ctx context.Context, g *errgroup.Group) {
	for _, s := range n.people.sources {
		var sinks []people.Sink
		for _, sink := range n.people.sinks {
			sinks = append(sinks, sink(s.name))
		}
		to := &reporting{Sink: people.Tee(sinks...), source: s.name, index: n.people.index, log: n.log}
		g.Go(func() error { return s.source.Run(ctx, to) })
	}
	timer := time.NewTimer(firstPeople)
	defer timer.Stop()
	select {
	case <-n.people.local.First():
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reporting logs how long it took to take in all people of a source.
type reporting struct {
	people.Sink
	source string
	index  *people.Index
	log    *slog.Logger
	again  bool
}

// Replace implements people.Sink.
func (r *reporting) Replace(ctx context.Context, all iter.Seq2[people.Person, error]) error {
	begun, n := time.Now(), 0
	err := r.Sink.Replace(ctx, func(yield func(people.Person, error) bool) {
		for p, err := range all {
			n++
			if !yield(p, err) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if r.again {
		level = slog.LevelDebug
	}
	r.again = true
	r.log.Log(ctx, level, "people read", "source", r.source, "people", n, "took", time.Since(begun).Round(time.Millisecond), "index_bytes", r.index.Size().Bytes)
	return nil
}

// localPeople reads a page of accounts as people.
func (n *node) localPeople(ctx context.Context, domain, after string, most int) ([]people.Person, error) {
	list, err := n.store.ListAccounts(ctx, domain, after, most)
	if err != nil {
		return nil, err
	}
	all := make([]people.Person, len(list))
	for i := range list {
		all[i] = localPerson(&list[i])
	}
	return all, nil
}

func localPerson(a *auth.Account) people.Person {
	p := people.Person{JID: a.JID, Name: a.Name, Groups: a.Groups, Enabled: !a.Disabled}
	if a.Email != "" {
		p.Mail = []string{a.Email}
	}
	if a.Disabled {
		p.Why = "the account is disabled"
	}
	return p
}

// accountsKey is a value of the store that is another one after each change of an
// account that others are shown.
const accountsKey = "accounts.mark"

func (n *node) accountsMark(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	mark, err := n.store.Meta(ctx, accountsKey)
	if err != nil {
		return nil, fmt.Errorf("read the mark of accounts: %w", err)
	}
	return mark, nil
}

// accountsChanged tells this node at once, and the others by the mark.
func (n *node) accountsChanged() func(context.Context) {
	tell := AccountsChanged(n.store, n.log)
	return func(ctx context.Context) {
		tell(ctx)
		n.people.local.Kick()
	}
}

// AccountsChanged returns what tells the nodes that use a store that accounts in
// it have changed, for auth.Config.
func AccountsChanged(store Store, log *slog.Logger) func(context.Context) {
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		mark := make([]byte, 16)
		_, _ = rand.Read(mark) // never fails
		if err := store.SetMeta(ctx, accountsKey, mark); err != nil {
			log.WarnContext(ctx, "search will hear of a changed account later", "err", err)
		}
	}
}
