package presence_test

import (
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

func everybody(all ...people.Person) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func TestLineMap(t *testing.T) {
	m := presence.NewLineMap("example.com")
	told := 0
	m.OnChange(func() { told++ })
	m.SetFixed(map[string][]jid.JID{presence.LineKey("SIP:7001@PBX;transport=tcp"): {person("carol")}, "7002": {person("carol"), person("dave")}})
	someone := func(name string, phones ...string) people.Person {
		return people.Person{JID: person(name), Phones: phones, Enabled: true}
	}
	sink := m.Sink("ldap")
	if err := sink.Replace(t.Context(), everybody(
		someone("alice", "+49 30 123-456", "2001"), someone("bob", "+49 (0)30 123-457"), someone("dave", "+1 212 555-0457"),
		someone("erin", "030 123-999"), someone("frank", "+49 30 123-456"),
	)); err != nil {
		t.Fatal(err)
	}
	check := func(line string, want ...string) {
		t.Helper()
		var got []string
		for _, u := range m.Users(line) {
			got = append(got, u.Local())
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s is of %v, want %v", line, got, want)
		}
	}
	check("sip:7001@pbx", "carol")
	check("7002", "carol", "dave")
	check("sip:7002@anywhere", "carol", "dave")
	check("+4930123456", "alice", "frank") // shared
	check("tel:+49-30-123-457", "bob")
	check("2001", "alice")
	check("sip:2001@pbx.example.com;user=phone", "alice")
	check("456", "alice", "frank") // the extension of one number
	check("457", "bob")
	check("030123999", "erin")
	check("sip:bob@example.com", "bob")
	check("sip:BOB@pbx.elsewhere", "bob")
	check("bob", "bob")
	check("nobody")
	check("9999")
	check("")
	if err := sink.Change(t.Context(), []people.Person{someone("bob", "2009"), someone("gina", "+49 40 9-457"), someone("hugo", "+49 50 1-457")}, []jid.JID{person("frank")}); err != nil {
		t.Fatal(err)
	}
	check("2009", "bob")
	check("+4930123457")
	check("+4930123456", "alice")
	check("457") // of two houses
	if told != 3 {
		t.Errorf("told %d times", told)
	}
	if err := sink.Change(t.Context(), []people.Person{{JID: person("bob"), Phones: []string{"2009"}}}, nil); err != nil {
		t.Fatal(err)
	}
	check("2009") // may not chat
	check("bob")
}

func FuzzLineMap(f *testing.F) {
	m := presence.NewLineMap("example.com")
	f.Add("sip:alice@example.com;x=y")
	f.Add("+49 (0)30 1-2")
	f.Fuzz(func(t *testing.T, line string) {
		m.Users(line)
		if key := presence.LineKey(line); strings.Contains(key, ";") || len(key) > 4*len(line) {
			t.Errorf("%q", key)
		}
	})
}
