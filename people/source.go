package people

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// Source returns the sink for one source of people, by its name; what another one
// says is left alone. Of two that tell of the same address the later wins.
func (g *Groups) Source(name string) Sink { return &source{g: g, name: name} }

// Fallback is Source for one that knows less: what any other says of an address
// holds before what it says.
func (g *Groups) Fallback(name string) Sink { return &source{g: g, name: name, weak: true} }

type source struct {
	g    *Groups
	name string
	weak bool
}

// Replace implements [Sink]. People who are as they were keep what is in memory.
func (s *source) Replace(ctx context.Context, all iter.Seq2[Person, error]) error {
	g := s.g
	var list []*person
	for p, err := range all {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		g.mu.Lock() // not over the reading
		list = append(list, s.person(&p))
		g.mu.Unlock()
	}
	g.mu.Lock()
	v := g.now.Load()
	seen := make(map[jid.JID]bool, len(list))
	for _, p := range list {
		seen[p.jid] = true
	}
	var gone []jid.JID
	for p := range v.all() {
		if p.source.name == s.name && !seen[p.jid] {
			gone = append(gone, p.jid)
		}
	}
	first := !g.ready.Load()
	if _, ok := g.expected[s.name]; ok {
		first = true
		delete(g.expected, s.name)
	}
	changed := g.put(v, g.different(v, list), gone)
	g.ready.Store(true) // after that, so that nobody is found ready and unknown
	g.await()
	g.mu.Unlock()
	if first || changed {
		g.cfg.Load().Changed()
	}
	return nil
}

// Change implements [Sink].
func (s *source) Change(_ context.Context, list []Person, gone []jid.JID) error {
	g := s.g
	g.mu.Lock()
	v := g.now.Load()
	put := make([]*person, len(list))
	for i := range list {
		put[i] = s.person(&list[i])
	}
	gone = slices.DeleteFunc(slices.Clone(gone), func(j jid.JID) bool {
		p := v.find(j)
		return p == nil || p.source.name != s.name
	})
	g.publish(v, g.different(v, put), gone)
	return nil
}

// different leaves out those who are as they were, and settles the others.
func (g *Groups) different(v *View, list []*person) []*person {
	return slices.DeleteFunc(list, func(n *person) bool {
		old := v.find(n.jid)
		if old != nil && n.source.weak && !old.source.weak {
			return true
		}
		if old != nil && old.source.name == n.source.name && old.hash == n.hash && old.name == n.name && old.enabled == n.enabled &&
			old.why == n.why && old.entity == n.entity && slices.Equal(old.groups, n.groups) {
			return true
		}
		g.stand(n)
		return false
	})
}

// person returns what is kept of somebody.
func (s *source) person(from *Person) *person {
	g, j := s.g, from.JID.Bare()
	scope := g.cfg.Load().Scope
	p := &person{
		source: s, jid: j, name: clean(from.Name), entity: -1, place: scope.place(j.Domain()),
		enabled: from.Enabled, why: clean(from.Why),
	}
	p.hash = hashOf(j.String(), p.name)
	tenant := scope.Tenant(j.Domain())
	if from.Entity != "" {
		p.entity = g.number(from.Entity, tenant, true)
	}
	for _, name := range from.Groups {
		if id := g.number(name, tenant, false); id >= 0 && len(p.groups) < maxGroups {
			p.groups = append(p.groups, id)
		}
	}
	slices.Sort(p.groups)
	p.groups = slices.Clip(slices.Compact(p.groups))
	return p
}

// number finds the number of a group, which it keeps for good.
func (g *Groups) number(name, tenant string, entity bool) int32 {
	kind := "group\x00"
	if entity {
		kind = "entity\x00"
	}
	// Most names are known as they are written.
	if id, ok := g.ids[kind+name+"\x00"+tenant]; ok {
		return id
	}
	key := GroupKey(name)
	if key == "" {
		return -1
	}
	full := kind + key + "\x00" + tenant
	id, ok := g.ids[full]
	if !ok {
		id = int32(len(g.named))
		n := groupName{key: key, title: GroupTitle(name), tenant: tenant, entity: entity, hash: hashOf(kind, key, tenant)}
		if isDN(key) {
			n.short = GroupKey(n.title)
		}
		g.named = append(g.named, n)
		g.ids[full] = id
	}
	if len(name) <= maxName {
		g.ids[strings.Clone(kind+name+"\x00"+tenant)] = id
	}
	return id
}
