package presence

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// Oversight lets the members of one group see the presence of those of another.
type Oversight struct{ Supervisors, Team string } // names of groups

// Teams knows who may see whom by groups, as supervisors do. Safe for concurrent use.
type Teams struct {
	mu      sync.RWMutex // guards all below; slices are not changed
	rules   []Oversight  // with keys of groups
	groups  map[jid.JID][]string
	sources map[string]map[jid.JID]bool
	members map[string]map[jid.JID]bool // by group
}

// NewTeams returns what knows nobody yet.
func NewTeams() *Teams {
	return &Teams{groups: map[jid.JID][]string{}, sources: map[string]map[jid.JID]bool{}, members: map[string]map[jid.JID]bool{}}
}

// SetRules says who may see whom.
func (t *Teams) SetRules(rules []Oversight) {
	keyed := make([]Oversight, len(rules))
	for i, r := range rules {
		keyed[i] = Oversight{people.GroupKey(r.Supervisors), people.GroupKey(r.Team)}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = keyed
}

// Rules returns those in force, by the keys of the groups.
func (t *Teams) Rules() []Oversight {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.rules
}

// Members lists a group in the order of names, and reports whether somebody may see it.
func (t *Teams) Members(supervisor jid.JID, group string) ([]jid.JID, bool) {
	key := people.GroupKey(group)
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.may(supervisor, key) {
		return nil, false
	}
	return t.list(key, supervisor), true
}

// All lists a group in the order of names, for administrators.
func (t *Teams) All(group string) []jid.JID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.list(people.GroupKey(group), jid.JID{})
}

func (t *Teams) list(key string, but jid.JID) []jid.JID {
	list := make([]jid.JID, 0, len(t.members[key]))
	for j := range t.members[key] {
		if j != but {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b jid.JID) int { return strings.Compare(a.String(), b.String()) })
	return list
}

func (t *Teams) may(supervisor jid.JID, key string) bool {
	return slices.ContainsFunc(t.rules, func(r Oversight) bool { return r.Team == key && t.members[r.Supervisors][supervisor] })
}

// Supervisors lists those who may see somebody, each with the key of a group by which.
// There may be several entries of one.
func (t *Teams) Supervisors(member jid.JID) (all []Supervisor) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, r := range t.rules {
		if !t.members[r.Team][member] {
			continue
		}
		for j := range t.members[r.Supervisors] {
			if j != member {
				all = append(all, Supervisor{j, r.Team})
			}
		}
	}
	return all
}

// Oversees reports whether somebody may see another by a group.
func (t *Teams) Oversees(supervisor, member jid.JID) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.ContainsFunc(t.rules, func(r Oversight) bool {
		return t.members[r.Supervisors][supervisor] && t.members[r.Team][member]
	})
}

// Supervisor may see the members of a group.
type Supervisor struct {
	JID  jid.JID
	Team string
}

// Sink takes the people of one source.
func (t *Teams) Sink(source string) people.Sink { return teamSink{t, source} }

type teamSink struct {
	t      *Teams
	source string
}

// Replace implements people.Sink.
func (s teamSink) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	next := map[jid.JID][]string{}
	for p, err := range all {
		if err != nil {
			return err
		}
		if p.Enabled {
			next[p.JID] = groupKeys(p)
		}
	}
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for j := range t.sources[s.source] {
		t.remove(j)
	}
	t.sources[s.source] = make(map[jid.JID]bool, len(next))
	for j, groups := range next {
		t.sources[s.source][j] = true
		t.add(j, groups)
	}
	return nil
}

// Change implements people.Sink.
func (s teamSink) Change(_ context.Context, put []people.Person, gone []jid.JID) error {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.sources[s.source]
	if of == nil {
		of = map[jid.JID]bool{}
		t.sources[s.source] = of
	}
	for _, j := range gone {
		t.remove(j)
		delete(of, j)
	}
	for _, p := range put {
		t.remove(p.JID)
		delete(of, p.JID)
		if p.Enabled {
			of[p.JID] = true
			t.add(p.JID, groupKeys(p))
		}
	}
	return nil
}

func groupKeys(p people.Person) []string {
	keys := make([]string, len(p.Groups))
	for i, g := range p.Groups {
		keys[i] = people.GroupKey(g)
	}
	return keys
}

func (t *Teams) add(j jid.JID, groups []string) {
	if len(groups) == 0 {
		return
	}
	t.groups[j] = groups
	for _, g := range groups {
		if t.members[g] == nil {
			t.members[g] = map[jid.JID]bool{}
		}
		t.members[g][j] = true
	}
}

func (t *Teams) remove(j jid.JID) {
	for _, g := range t.groups[j] {
		if delete(t.members[g], j); len(t.members[g]) == 0 {
			delete(t.members, g)
		}
	}
	delete(t.groups, j)
}
