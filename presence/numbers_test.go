package presence_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

func rules(t *testing.T, texts ...string) []presence.Rule {
	t.Helper()
	var all []presence.Rule
	for _, text := range texts {
		r, err := presence.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func TestNumbers(t *testing.T) {
	german := presence.Numbers{Country: "49", Trunk: "0", International: "00"}
	american := presence.Numbers{Country: "1", Trunk: "1", International: "011", NationalDigits: 10}
	italian := presence.Numbers{Country: "39", International: "00", NationalDigits: 10}
	house := presence.Numbers{Country: "49", Trunk: "0", International: "00", Rules: rules(t, `2(\d{3})=+49301232$1`, `0(0.*)=$1`, `(\d{3})=+493012399$1`)}
	for _, tt := range []struct {
		numbers          presence.Numbers
		text, whole, ext string
	}{
		{presence.Numbers{}, "030 123-456", "30123456", "456"},
		{presence.Numbers{}, "+49 (0)30 123-456", "+4930123456", "456"},
		{german, "030 123-456", "+4930123456", "456"},
		{german, "(030) 123-456", "+4930123456", "456"},
		{german, "030123456", "+4930123456", ""},
		{german, "0049 30 123456", "+4930123456", ""},
		{german, "+49 (0)30 123-456", "+4930123456", "456"},
		{german, "tel:+49-30-123;ext=456", "+4930123", "456"},
		{german, "tel:030123", "+4930123", ""},
		{german, "+44 20 7946 0000", "+442079460000", ""},
		{german, "2001", "2001", ""},
		{german, "0", "", ""},
		{german, "", "", ""},
		{american, "(212) 555-0123", "+12125550123", "0123"},
		{american, "1-212-555-0123", "+12125550123", "0123"},
		{american, "011 44 20 7946 0000", "+442079460000", ""},
		{american, "2001", "2001", ""},
		{italian, "06 1234 5678", "+39612345678", ""},
		{italian, "+39 06 1234 5678", "+39612345678", ""},
		{house, "2001", "+49301232001", ""},
		{house, "0030123", "+4930123", ""}, // dialled with a 0 for a line outside
		{house, "456", "+493012399456", ""},
		{house, "3001", "3001", ""},
	} {
		whole, ext, ok := tt.numbers.Keys(tt.text)
		if whole != tt.whole || ext != tt.ext || ok != (tt.whole != "") {
			t.Errorf("%q: %q %q %v, want %q %q", tt.text, whole, ext, ok, tt.whole, tt.ext)
		}
	}
}

func TestRulesRefused(t *testing.T) {
	for _, text := range []string{"", "=", "a=", "=1", "(=1", "1=x", strings.Repeat("1", 200) + "=1"} {
		if _, err := presence.ParseRule(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestLineMapNames has lines of people that are SIP addresses and names, and numbers that are
// written in other ways.
func TestLineMapNames(t *testing.T) {
	m := presence.NewLineMap("example.com")
	sink := m.Sink("ldap")
	if err := sink.Replace(t.Context(), everybody(
		people.Person{JID: person("alice"), Enabled: true, Phones: []string{"+49 170 1"}, Lines: []string{"sip:Agent.1@PBX.example.com", "030 123-456", "front-desk"}},
		people.Person{JID: person("bob"), Enabled: true, Phones: []string{"+49 170 2"}, Lines: []string{}},
		people.Person{JID: person("carol"), Enabled: true, Phones: []string{"+49 170 3"}, Lines: []string{"sip:agent.1@pbx.example.com"}},
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
	check("sip:agent.1@pbx.example.com", "alice", "carol")
	check("agent.1@pbx.example.org")
	check("front-desk@anywhere", "alice")
	check("+4930123456") // of which country is not known
	check("030123456", "alice")
	check("+491701") // a number that is no line
	check("+491702")
	m.SetNumbers(presence.Numbers{Country: "49", Trunk: "0", International: "00"})
	check("+4930123456", "alice")
	check("030123456", "alice")
	check("004930123456", "alice")
	check("sip:agent.1@pbx.example.com", "alice", "carol")
	if err := sink.Change(t.Context(), []people.Person{{JID: person("carol"), Enabled: true, Lines: []string{"2001"}}}, nil); err != nil {
		t.Fatal(err)
	}
	check("sip:agent.1@pbx.example.com", "alice")
	check("2001@pbx.example.com", "carol")
	if err := sink.Change(t.Context(), nil, []jid.JID{person("alice")}); err != nil {
		t.Fatal(err)
	}
	check("front-desk")
	check("+4930123456")
}

func FuzzNumbers(f *testing.F) {
	for _, text := range []string{"+49 30 1-2", "(030) 1", "0", "00", "tel:030;ext=1", "٣", "0\xff1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := presence.Numbers{Country: "49", Trunk: "0", International: "00"}
		whole, _, ok := n.Keys(text)
		if !ok {
			return
		}
		// What it is compared by is compared as itself.
		if again, _, ok := n.Keys(whole); !ok || again != whole {
			t.Errorf("%q: %q, then %q %v", text, whole, again, ok)
		}
	})
}
