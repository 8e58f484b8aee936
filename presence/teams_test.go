package presence_test

import (
	"errors"
	"iter"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

func folk(all ...people.Person) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// TestTeams follows people from group to group, of two sources.
func TestTeams(t *testing.T) {
	in := func(name string, groups ...string) people.Person {
		return people.Person{JID: person(name), Groups: groups, Enabled: true}
	}
	teams := presence.NewTeams()
	teams.SetRules([]presence.Oversight{{Supervisors: "Leads", Team: "cn=agents, ou=groups"}, {Supervisors: "Leads", Team: "Leads"}})
	local, ldap := teams.Sink("local"), teams.Sink("ldap")
	check := func(what string, supervisor string, ok bool, members ...string) {
		t.Helper()
		list, may := teams.Members(person(supervisor), "CN=Agents,OU=Groups")
		var got []string
		for _, j := range list {
			got = append(got, j.Local())
		}
		if may != ok || len(got) != len(members) {
			t.Fatalf("%s: %v %t, want %v %t", what, got, may, members, ok)
		}
		for i := range got {
			if got[i] != members[i] {
				t.Errorf("%s: %v, want %v", what, got, members)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("nobody is known", "carol", false)
	must(local.Replace(t.Context(), folk(in("carol", "Leads"), in("dave", "Leads"))))
	must(ldap.Replace(t.Context(), folk(in("bob", "cn=agents,ou=groups"), in("alice", "cn=Agents,ou=groups"), people.Person{JID: person("gone"), Groups: []string{"cn=agents,ou=groups"}})))
	check("all are read", "carol", true, "alice", "bob")
	check("a member alone", "alice", false)
	if all := teams.Supervisors(person("alice")); len(all) != 2 {
		t.Errorf("%+v", all)
	}
	if all := teams.Supervisors(person("carol")); len(all) != 1 || all[0].JID != person("dave") {
		t.Errorf("%+v", all)
	}
	must(ldap.Change(t.Context(), []people.Person{in("bob", "other"), in("eve", "cn=agents,ou=groups")}, []jid.JID{person("alice")}))
	check("some come and go", "carol", true, "eve")
	broken := func(yield func(people.Person, error) bool) { yield(people.Person{}, errors.New("broken")) }
	if ldap.Replace(t.Context(), broken) == nil {
		t.Error("no error")
	}
	check("a read that failed", "carol", true, "eve")
	must(local.Replace(t.Context(), folk()))
	check("no supervisor is left", "carol", false)
}
