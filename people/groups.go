package people

import (
	"hash/maphash"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/deskline/deskline/xmpp/jid"
)

// maxGroups bounds the groups taken of one person; further ones are passed over.
const maxGroups = 1000

// Authorisation is a group that may use chat.
type Authorisation struct {
	Name   string // as a source calls it; see GroupKey
	Domain string // of the people it is meant for, with all of their tenant; "" = of all
}

// GroupsConfig says what groups mean.
type GroupsConfig struct {
	Scope *Scope
	// Required has nobody use chat who is in no authorised group.
	Required bool
	// Domains are those served here.
	Domains []string
	// Largest is how many members a group may have to make them contacts of each
	// other; default 5000.
	Largest int
	// Manual has people and groups wait for a synchronisation, see SetSynced.
	Manual bool
	// Changed, if not nil, is called after each change of the view. It must not
	// wait.
	Changed func()
	Log     *slog.Logger
}

// Groups knows who may use chat and whose automatic contacts are whose: those who
// share an authorised group, and those of one entity who are each in some
// authorised group. It keeps one list of members a group and for each person the
// numbers of the groups, nothing for a pair of people. Questions take no lock.
type Groups struct {
	now   atomic.Pointer[View]
	ready atomic.Bool // some source has told of everybody
	// waiting are domains whose people are still to be told of, nil = none.
	waiting atomic.Pointer[map[string]bool]
	cfg     atomic.Pointer[GroupsConfig]

	mu         sync.Mutex // guards all below; held by one change after another
	ids        map[string]int32
	named      []groupName
	authorised map[string]bool // keys with their tenant
	allowed    []bool          // what follows from it, by number, for those asked about
	synced     *Synced
	expected   map[string][]string // domains by source, until it has told of everybody
}

// groupName is what is known of a group whatever its members are.
type groupName struct {
	key, title string
	short      string // the key of the title, if that is another one
	tenant     string
	hash       uint64
	entity     bool
}

// NewGroups returns Groups without people.
func NewGroups(cfg GroupsConfig) *Groups {
	if cfg.Largest <= 0 {
		cfg.Largest = 5000
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Groups{ids: map[string]int32{}, authorised: map[string]bool{}}
	g.cfg.Store(&cfg)
	g.now.Store(newView(cfg.Scope, cfg.Largest, maphash.MakeSeed()))
	return g
}

// View returns what holds at this moment.
func (g *Groups) View() *View { return g.now.Load() }

// Expect has Ready wait for a source to tell of the people of some domains. It is
// called before the source runs.
func (g *Groups) Expect(source string, domains []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.expected == nil {
		g.expected = map[string][]string{}
	}
	g.expected[source] = domains
	g.await()
}

// await works out whose people are still to be told of.
func (g *Groups) await() {
	waiting := map[string]bool{}
	for _, domains := range g.expected {
		for _, d := range domains {
			waiting[d] = true
		}
	}
	g.waiting.Store(&waiting)
}

// Ready reports whether it can be known who an account is: some source has told of
// everybody, and so have all that are expected to know its domain.
func (g *Groups) Ready(account jid.JID) bool {
	if !g.ready.Load() {
		return false
	}
	waiting := g.waiting.Load()
	return waiting == nil || !(*waiting)[account.Domain()]
}

// SetRequired changes GroupsConfig.Required.
func (g *Groups) SetRequired(v bool) {
	g.mu.Lock()
	cfg := *g.cfg.Load()
	changed := cfg.Required != v
	cfg.Required = v
	g.cfg.Store(&cfg)
	g.mu.Unlock()
	if changed {
		cfg.Changed()
	}
}

// Required reports GroupsConfig.Required.
func (g *Groups) Required() bool { return g.cfg.Load().Required }

// Why people may not use chat, in words for them.
const (
	whyNoGroup  = "none of your groups may use chat; ask your administrator"
	whyNotYet   = "your account has not been synchronised yet; ask your administrator"
	whyDisabled = "your account may not use chat; ask your administrator"
)

// May reports whether an account may use chat and, if not, why in words for the
// user. Somebody no source tells of may unless groups are required.
func (g *Groups) May(account jid.JID) (ok bool, why string) {
	cfg := g.cfg.Load()
	p := g.View().find(account.Bare())
	switch {
	case p == nil && cfg.Manual:
		return false, whyNotYet
	case p == nil && cfg.Required:
		return false, whyNoGroup
	case p == nil:
		return true, ""
	case !p.enabled && p.why == "":
		return false, whyDisabled
	case !p.enabled:
		return false, p.why
	case !p.active:
		return false, whyNotYet
	case cfg.Required && !p.granted:
		return false, whyNoGroup
	}
	return true, ""
}

// Known reports whether a source tells of an account.
func (g *Groups) Known(account jid.JID) bool { return g.View().find(account.Bare()) != nil }

// MaySee reports whether searcher may find contact: whoever may use chat, by the
// scope.
func (g *Groups) MaySee(searcher, contact jid.JID) bool {
	if !g.cfg.Load().Scope.MaySee(searcher, contact) {
		return false
	}
	ok, _ := g.May(contact)
	return ok
}

// Domains returns the domains in which searcher may find somebody.
func (g *Groups) Domains(searcher jid.JID) []string {
	cfg := g.cfg.Load()
	return cfg.Scope.Domains(searcher, cfg.Domains)
}

// Authorise says which groups may use chat, in place of those said before.
func (g *Groups) Authorise(list []Authorisation) {
	now := make(map[string]bool, len(list))
	for _, a := range list {
		of := ""
		if a.Domain != "" {
			of = "\x00" + g.cfg.Load().Scope.Tenant(a.Domain)
		}
		now[GroupKey(a.Name)+of] = true
		if isDN(a.Name) {
			now[byTitle+GroupKey(GroupTitle(a.Name))+of] = true
		}
	}
	g.settle(func() { g.authorised, g.allowed = now, nil })
}

// byTitle marks the short name of a group that was authorised by its full one, for
// sources that tell short names alone. A short name means all groups of that name.
const byTitle = "\x00title\x00"

// may reports whether a group is authorised, for all or for its tenant.
func (g *Groups) may(n *groupName) bool {
	key, short := n.key, byTitle+n.key
	for _, of := range []string{"", "\x00" + n.tenant} {
		if g.authorised[key+of] || n.short == "" && g.authorised[short+of] || n.short != "" && g.authorised[n.short+of] {
			return true
		}
	}
	return false
}

// settle changes what people's standing follows from and works it out anew.
func (g *Groups) settle(change func()) {
	g.mu.Lock()
	change()
	v := g.now.Load()
	var put []*person
	for p := range v.all() {
		n := *p
		g.stand(&n)
		if n.active != p.active || n.granted != p.granted || !slices.Equal(n.sources, p.sources) {
			put = append(put, &n)
		}
	}
	g.publish(v, put, nil)
}

// put makes the view in which people are put and gone, and reports whether it is
// another one.
func (g *Groups) put(v *View, put []*person, gone []jid.JID) bool {
	if len(put)+len(gone) == 0 {
		return false
	}
	next := v.with(put, gone, g.named)
	g.now.Store(next)
	g.warn(v, next)
	return true
}

// publish ends a change that holds the lock.
func (g *Groups) publish(v *View, put []*person, gone []jid.JID) {
	changed := g.put(v, put, gone)
	g.mu.Unlock()
	if changed {
		g.cfg.Load().Changed()
	}
}

// warn tells of groups that have grown too large to make contacts.
func (g *Groups) warn(before, now *View) {
	for i, x := range now.groups {
		if x == nil || len(x.members) <= now.largest {
			continue
		}
		if i < len(before.groups) && before.groups[i] != nil && len(before.groups[i].members) > before.largest {
			continue
		}
		g.cfg.Load().Log.Warn("a group has too many members to make them contacts, see groups.largest",
			"group", x.title, "members", len(x.members), "largest", now.largest)
	}
}

// all goes through all people.
func (v *View) all() iter.Seq[*person] {
	return func(yield func(*person) bool) {
		for i := range v.people {
			for _, p := range v.people[i] {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// stand works out what somebody's groups allow.
func (g *Groups) stand(p *person) {
	cfg := g.cfg.Load()
	p.active = !cfg.Manual || g.synced.hasPerson(p.jid)
	p.granted, p.sources = false, nil
	for id := int32(len(g.allowed)); id < int32(len(g.named)); id++ {
		g.allowed = append(g.allowed, g.may(&g.named[id]))
	}
	for _, id := range p.groups {
		n := &g.named[id]
		if !g.allowed[id] || cfg.Manual && !g.synced.hasGroup(n.hash) {
			continue
		}
		p.granted = true
		if p.enabled && p.active {
			p.sources = append(p.sources, id)
		}
	}
	if p.granted && p.enabled && p.active && p.entity >= 0 {
		p.sources = append(p.sources, p.entity)
		slices.Sort(p.sources)
	}
}
