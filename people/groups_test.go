package people_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

func who(name string) jid.JID {
	if !strings.Contains(name, "@") {
		name += "@example.com"
	}
	return jid.MustParse(name)
}

func member(name, entity string, groups ...string) people.Person {
	return people.Person{JID: who(name), Name: strings.ToUpper(name), Groups: groups, Entity: entity, Enabled: true}
}

func everybody(list ...people.Person) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func fill(t testing.TB, g *people.Groups, list ...people.Person) {
	t.Helper()
	if err := g.Source("test").Replace(t.Context(), everybody(list...)); err != nil {
		t.Fatal(err)
	}
}

func change(t testing.TB, g *people.Groups, put ...people.Person) {
	t.Helper()
	if err := g.Source("test").Change(t.Context(), put, nil); err != nil {
		t.Fatal(err)
	}
}

func authorise(g *people.Groups, names ...string) {
	var list []people.Authorisation
	for _, n := range names {
		list = append(list, people.Authorisation{Name: n})
	}
	g.Authorise(list)
}

// contacts returns the automatic contacts in short, sorted.
func contacts(t testing.TB, g *people.Groups, owner string) string {
	t.Helper()
	v := g.View()
	seq := v.Contacts(who(owner))
	if seq == nil {
		return "-"
	}
	var names []string
	for c := range seq {
		if !v.Has(who(owner), c) || !v.Has(c, who(owner)) {
			t.Errorf("%s has %s, and Has says no", owner, c)
		}
		_, groups, ok := v.Item(who(owner), c)
		if !ok || len(groups) == 0 {
			t.Errorf("%s has %s, and Item says no", owner, c)
		}
		names = append(names, strings.TrimSuffix(c.String(), "@example.com")+"("+strings.Join(groups, "+")+")")
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestContacts(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{})
	fill(t, g,
		member("alice", "", "Agents", "Night"), member("bob", "Paris", "Agents"), member("carol", "Paris", "Night", "Agents"),
		member("dave", "Paris"), member("eve", "Paris", "Printers"), people.Person{JID: who("off"), Groups: []string{"Agents"}})
	want(t, "nothing is authorised", contacts(t, g, "alice"), "-")
	authorise(g, " AGENTS ", "night")
	want(t, "alice", contacts(t, g, "alice"), "bob(Agents) carol(Agents+Night)")
	want(t, "bob, of the entity too", contacts(t, g, "bob"), "alice(Agents) carol(Agents+Paris)")
	want(t, "in no authorised group", contacts(t, g, "dave"), "-")
	want(t, "disabled", contacts(t, g, "off"), "-")
	want(t, "unknown", contacts(t, g, "nobody"), "-")
	if v := g.View(); v.Has(who("alice"), who("alice")) || v.Has(who("alice"), who("off")) || v.Has(who("alice"), who("dave")) {
		t.Error("contacts who are none")
	}
	authorise(g, "Printers", "Agents")
	want(t, "eve, by the entity", contacts(t, g, "eve"), "bob(Paris) carol(Paris)")
	authorise(g)
	want(t, "withdrawn", contacts(t, g, "alice"), "-")
}

func TestGroupsChange(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{})
	authorise(g, "A", "B")
	fill(t, g, member("alice", "", "A"), member("bob", "", "A"))
	before := g.View()
	change(t, g, member("carol", "", "A", "B"), member("bob", "", "B"), member("dave", "", "A"), member("dave", "", "B"))
	want(t, "alice", contacts(t, g, "alice"), "carol(A)")
	want(t, "bob", contacts(t, g, "bob"), "carol(B) dave(B)")
	if !before.Has(who("alice"), who("bob")) || before.Has(who("alice"), who("carol")) {
		t.Error("a view has changed")
	}
	if err := g.Source("other").Change(t.Context(), nil, []jid.JID{who("carol")}); err != nil {
		t.Fatal(err)
	}
	want(t, "another source has no say", contacts(t, g, "alice"), "carol(A)")
	if err := g.Source("test").Change(t.Context(), nil, []jid.JID{who("carol"), who("nobody")}); err != nil {
		t.Fatal(err)
	}
	want(t, "alone", contacts(t, g, "alice"), "")
	broken := errors.New("broken")
	err := g.Source("test").Replace(t.Context(), func(yield func(people.Person, error) bool) {
		_ = yield(member("eve", "", "A"), nil) && yield(people.Person{}, broken)
	})
	if !errors.Is(err, broken) || g.Known(who("eve")) || !g.Known(who("bob")) {
		t.Errorf("a broken sequence changed something: %v", err)
	}
	fill(t, g, member("eve", "", "A"))
	if g.Known(who("bob")) || g.View().Len() != 1 {
		t.Error("who is not told of is still there")
	}
}

// TestVersion has two nodes that were told the same in another order and another
// way, and every change make another version.
func TestVersion(t *testing.T) {
	one, two := people.NewGroups(people.GroupsConfig{}), people.NewGroups(people.GroupsConfig{})
	all := []people.Person{member("alice", "X", "A", "B"), member("bob", "X", "B"), member("carol", "", "A")}
	fill(t, one, all...)
	authorise(one, "A", "B")
	authorise(two, "b", "a")
	for _, p := range slices.Backward(all) {
		slices.Reverse(p.Groups)
		change(t, two, p)
	}
	for _, p := range all {
		a, b := one.View().Version(p.JID), two.View().Version(p.JID)
		if a != b || a == 0 {
			t.Errorf("%s: %x and %x", p.JID, a, b)
		}
	}
	seen := map[uint64]string{one.View().Version(who("alice")): "begin"}
	renamed := member("bob", "X", "B")
	renamed.Name = "Robert"
	disabled := renamed
	disabled.Enabled = false
	for _, step := range []struct {
		name string
		put  people.Person
	}{
		{"somebody comes", member("dave", "", "A")},
		{"to another group", member("dave", "", "B")},
		{"renamed", renamed},
		{"disabled", disabled},
		{"a group less", member("alice", "X", "A")},
	} {
		change(t, one, step.put)
		v := one.View().Version(who("alice"))
		if before, ok := seen[v]; ok {
			t.Errorf("%s: the version of %s", step.name, before)
		}
		seen[v] = step.name
	}
	if one.View().Version(who("nobody")) != 0 {
		t.Error("a version of nobody")
	}
}

func TestMay(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{})
	fill(t, g, member("alice", "", "Agents"), member("bob", "", "Others"), people.Person{JID: who("carol"), Groups: []string{"Agents"}, Why: "not on the list"})
	check := func(what string, names ...string) {
		t.Helper()
		var may []string
		for _, n := range []string{"alice", "bob", "carol", "nobody"} {
			ok, why := g.May(who(n + "@example.com/desk"))
			if ok != (why == "") {
				t.Errorf("%s: %s %v %q", what, n, ok, why)
			}
			if ok {
				may = append(may, n)
			}
		}
		if !slices.Equal(may, names) {
			t.Errorf("%s: %v may, want %v", what, may, names)
		}
	}
	check("a plain installation", "alice", "bob", "nobody")
	g.SetRequired(true)
	check("nothing authorised")
	authorise(g, "agents")
	check("a group", "alice")
	if _, why := g.May(who("carol")); why != "not on the list" {
		t.Errorf("why: %q", why)
	}
	g.SetRequired(false)
	check("not required any more", "alice", "bob", "nobody")
}

func TestTenants(t *testing.T) {
	scope := people.NewScope(people.Tree, []string{"example.com", "sales.example.com", "hr.example.com", "other.org"}, nil)
	g := people.NewGroups(people.GroupsConfig{Scope: scope})
	authorise(g, "Support")
	fill(t, g, member("top", "", "Support"), member("s@sales.example.com", "", "Support"), member("h@hr.example.com", "", "Support"),
		member("o@other.org", "", "Support"), member("p@other.org", "", "Support"))
	want(t, "top", contacts(t, g, "top"), "h@hr.example.com(Support) s@sales.example.com(Support)")
	want(t, "below", contacts(t, g, "s@sales.example.com"), "top(Support)")
	want(t, "other", contacts(t, g, "o@other.org"), "p@other.org(Support)")
	g.Authorise([]people.Authorisation{{Name: "Support", Domain: "sales.example.com"}})
	want(t, "the tenant", contacts(t, g, "top"), "h@hr.example.com(Support) s@sales.example.com(Support)")
	want(t, "another tenant", contacts(t, g, "o@other.org"), "-")
	if g.MaySee(who("top"), who("o@other.org")) || !g.MaySee(who("top"), who("s@sales.example.com")) || g.MaySee(who("s@sales.example.com"), who("top")) {
		t.Error("search sees others")
	}
}

// TestByName has groups authorised by their name in a directory and by the short one.
func TestByName(t *testing.T) {
	const dn, other = "CN=Agents, OU=Chat,DC=example", "cn=agents,ou=other,dc=example"
	for _, tt := range []struct{ authorised, group, domain, want string }{
		{dn, "cn=agents,ou=chat,dc=example", "", "b"},
		{dn, other, "", ""},
		{dn, "agents", "", "b"}, // from a source that tells short names
		{"Agents", other, "", "b"},
		{"Agents", "Agents", "", "b"},
		{"Agents", "cn=other,ou=agents,dc=example", "", ""},
		{dn, "agents", "other.example", ""},
		{dn, "agents", "example.com", "b"},
	} {
		scope := people.NewScope(people.Domain, []string{"example.com", "other.example"}, nil)
		g := people.NewGroups(people.GroupsConfig{Scope: scope})
		fill(t, g, member("a", "", tt.group), member("b", "", tt.group))
		g.Authorise([]people.Authorisation{{Name: tt.authorised, Domain: tt.domain}})
		got := ""
		if g.View().Has(who("a"), who("b")) {
			got = "b"
		}
		want(t, tt.authorised+" for "+tt.group, got, tt.want)
	}
}

// TestFallback has the local accounts tell of somebody the directory knows better.
func TestFallback(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{})
	authorise(g, "A")
	fill(t, g, member("alice", "", "A"), member("bob", "", "A"))
	local := g.Fallback("local")
	if err := local.Replace(t.Context(), everybody(member("alice", ""), member("carol", "", "A"))); err != nil {
		t.Fatal(err)
	}
	want(t, "alice", contacts(t, g, "alice"), "bob(A) carol(A)")
	fill(t, g, member("bob", "", "A"), member("carol", ""))
	if err := local.Replace(t.Context(), everybody(member("alice", ""), member("carol", "", "A"))); err != nil {
		t.Fatal(err)
	}
	want(t, "alice, by the local account", contacts(t, g, "alice"), "-")
	want(t, "bob", contacts(t, g, "bob"), "")
	if !slices.Equal(g.Domains(who("alice")), nil) || !g.MaySee(who("alice"), who("bob")) {
		t.Error("without a scope everybody is found")
	}
}

// TestReady has nobody taken for unknown whose source has not told yet.
func TestReady(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{Required: true})
	g.Expect("directory", []string{"example.com"})
	g.Expect("local", []string{"other.example"})
	check := func(com, other bool) {
		t.Helper()
		if g.Ready(who("alice")) != com || g.Ready(who("olga@other.example")) != other {
			t.Errorf("ready: %v and %v", g.Ready(who("alice")), g.Ready(who("olga@other.example")))
		}
	}
	check(false, false)
	broken := errors.New("broken")
	_ = g.Source("directory").Replace(t.Context(), func(yield func(people.Person, error) bool) { yield(people.Person{}, broken) })
	check(false, false)
	if err := g.Source("local").Replace(t.Context(), everybody()); err != nil {
		t.Fatal(err)
	}
	check(false, true)
	if err := g.Source("directory").Replace(t.Context(), everybody()); err != nil {
		t.Fatal(err)
	}
	check(true, true)
}

func TestLargest(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{Largest: 3})
	authorise(g, "All", "Few")
	list := []people.Person{member("a", "", "All", "Few"), member("b", "", "All", "Few"), member("c", "", "All")}
	fill(t, g, list...)
	want(t, "up to the bound", contacts(t, g, "a"), "b(All+Few) c(All)")
	before := g.View().Version(who("a"))
	change(t, g, member("d", "", "All"))
	want(t, "too large", contacts(t, g, "a"), "b(Few)")
	if g.View().Version(who("a")) == before {
		t.Error("the same version")
	}
	g.SetRequired(true)
	if ok, _ := g.May(who("d")); !ok {
		t.Error("a large group authorises too")
	}
}

func TestSync(t *testing.T) {
	g := people.NewGroups(people.GroupsConfig{Manual: true})
	authorise(g, "A", "B")
	fill(t, g, member("alice", "", "A"), member("bob", "", "A"))
	if ok, why := g.May(who("alice")); ok || !strings.Contains(why, "synchronised") {
		t.Errorf("%v %q", ok, why)
	}
	sync := func(want string) {
		t.Helper()
		s, r := g.Sync()
		got := fmt.Sprint(r.Added, r.Changed, r.Gone, r.Groups, r.People)
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		back, err := people.DecodeSynced(s.Encode())
		if err != nil {
			t.Fatal(err)
		}
		g.SetSynced(back)
		if _, again := g.Sync(); !again.Empty() {
			t.Errorf("again: %+v", again)
		}
	}
	sync("[alice@example.com bob@example.com] [] 0 [A] 2")
	want(t, "let in", contacts(t, g, "alice"), "bob(A)")
	fill(t, g, member("alice", "", "A", "B"), member("carol", "", "A", "B"))
	want(t, "not yet", contacts(t, g, "alice"), "")
	sync("[carol@example.com] [alice@example.com] 1 [B] 2")
	want(t, "let in too", contacts(t, g, "alice"), "carol(A+B)")
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, key, title string }{
		{" Team  A ", "team  a", "Team  A"},
		{"CN=Chat\\, Agents , OU=Groups,DC=example", "cn=chat\\, agents,ou=groups,dc=example", "Chat, Agents"},
		{"cn=B\\c3\\bcro,dc=x", "cn=b\\c3\\bcro,dc=x", "Büro"},
		{"a=b", "a=b", "a=b"},
		{"x, y=z", "x, y=z", "x, y=z"},
		{"with\x00nul\nand line", "with nul and line", "with nul and line"},
		{"\xff", "", ""},
	} {
		want(t, "key", people.GroupKey(tt.name), tt.key)
		want(t, "title", people.GroupTitle(tt.name), tt.title)
	}
}

func FuzzGroupKey(f *testing.F) {
	for _, s := range []string{"Agents", "CN=a\\,b, DC=c", "=,=", "a=\\", "cn=\\ff,dc=x", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key := people.GroupKey(name)
		if again := people.GroupKey(key); !strings.EqualFold(again, key) {
			t.Errorf("%q: %q, then %q", name, key, again)
		}
		if title := people.GroupTitle(name); strings.ContainsAny(title, "\x00\n\r") || len(title) > 4*1023 {
			t.Errorf("%q: title %q", name, title)
		}
	})
}

func FuzzDecodeSynced(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := people.DecodeSynced(data)
		if err != nil {
			return
		}
		if _, err := people.DecodeSynced(s.Encode()); err != nil {
			t.Error(err)
		}
	})
}
