package search_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/search"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

func told(all ...people.Person) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for _, p := range all {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func index(tb testing.TB, all ...people.Person) *people.Index {
	tb.Helper()
	x := people.NewIndex()
	if err := x.Sink("test").Replace(tb.Context(), told(all...)); err != nil {
		tb.Fatal(err)
	}
	return x
}

// ask makes a request as a session does and returns the answer.
func ask(tb testing.TB, s *search.Service, from, to, typ, inner string) string {
	tb.Helper()
	m := mux.New(slog.New(slog.DiscardHandler))
	s.Register(m)
	st, err := stanza.Decode([]byte("<iq xmlns='jabber:client' id='1' type='" + typ + "' from='" + from + "' to='" + to + "'><query xmlns='jabber:iq:search'>" + inner + "</query></iq>"))
	if err != nil {
		tb.Skip(err) // for fuzzing
	}
	return string(m.Serve(tb.Context(), st, mux.ScopeServer, jid.MustParse(to)).AppendXML(nil))
}

func submit(field, value string) string {
	return "<x xmlns='jabber:x:data' type='submit'><field var='" + field + "'><value>" + value + "</value></field></x>"
}

const (
	alice = "alice@example.com/desk"
	here  = "example.com"
)

var (
	anna = people.Person{
		JID: jid.MustParse("anna@example.com"), Name: "Anna <&> Archer", Given: "Anna", Family: "Archer", Mail: []string{"a@corp.example", "b@corp.example"},
		Phones: []string{"+49 30 1234"}, Title: "Agent\x01", Department: "Sales", Unit: "OU=Sales,DC=corp", Enabled: true,
	}
	ben  = people.Person{JID: jid.MustParse("ben@example.com"), Name: "Ben Annas", Unit: "OU=Care,DC=corp", Enabled: true}
	zoe  = people.Person{JID: jid.MustParse("zoe@example.net"), Name: "Zoë Annable", Enabled: true}
	late = people.Person{JID: jid.MustParse("late@example.com"), Name: "Anna Late"} // not enabled
)

func TestSearch(t *testing.T) {
	s := search.New(search.Config{Index: index(t, anna, ben, zoe, late)})
	for _, tt := range []struct{ name, from, to, inner, want, not string }{
		{"form", alice, here, submit("search", "ann"), "<value>anna@example.com</value>", "late@"},
		{"escaped", alice, here, submit("search", "archer"), "<field var='nick'><value>Anna &lt;&amp;&gt; Archer</value></field>", "\x01"},
		{"first address and number", alice, here, submit("search", "archer"), "<value>a@corp.example</value></field><field var='phone'><value>+49 30 1234</value>", "b@corp"},
		{"own domain alone", alice, here, submit("search", "ann"), "ben@example.com", "zoe"},
		{"other domain's people are not shown", alice, "example.net", submit("search", "ann"), "</reported></x>", "zoe"},
		{"from the other domain", "x@example.net/y", "example.net", submit("search", "ann"), "zoe@example.net", "anna@"},
		{"asked elsewhere", "x@example.net/y", here, submit("search", "ann"), "</reported></x>", "anna@"},
		{"number", alice, here, submit("phone", "030 12"), "anna@", "ben@"},
		{"field of others", alice, here, submit("telephoneNumber", "030 12"), "anna@", "ben@"},
		{"unit", alice, here, submit("search", "ann") + submit("unit", "ou=sales,dc=corp"), "anna@", "ben@"},
		{"unit as ou", alice, here, submit("search", "ann") + submit("ou", "ou=care, dc=corp"), "ben@", "anna@"},
		{"department", alice, here, submit("ou", "sal"), "anna@", "ben@"},
		{"unit alone", alice, here, submit("unit", "dc=corp"), "</reported></x>", "anna@"},
		{"unknown field", alice, here, submit("shoe", "ann"), "</reported></x>", "anna@"},
		{"cancelled", alice, here, "<x xmlns='jabber:x:data' type='cancel'/>", "<query xmlns='jabber:iq:search'><x", "item"},
		{"plain", alice, here, "<first>ann</first><last>arch</last>", "<item jid='anna@example.com'><nick>Anna &lt;&amp;&gt; Archer</nick><first>Anna</first><last>Archer</last><email>a@corp.example</email></item>", "<set"},
		{"plain, family only", alice, here, "<last>anna</last>", "ben@", "anna@"},
		{"last page of one", alice, here, "<nick>ann</nick><set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>", "<item jid='ben@", "anna@"},
		{"max no number", alice, here, "<nick>ann</nick><set xmlns='http://jabber.org/protocol/rsm'><max>x</max></set>", "<bad-request", "item"},
		{"index", alice, here, "<nick>ann</nick><set xmlns='http://jabber.org/protocol/rsm'><index>1</index></set>", "<feature-not-implemented", "<item"},
		{"behind no address", alice, here, "<nick>ann</nick><set xmlns='http://jabber.org/protocol/rsm'><after>@</after></set>", "<item-not-found", "<item "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ask(t, s, tt.from, tt.to, "set", tt.inner)
			if !strings.Contains(got, tt.want) || tt.not != "" && strings.Contains(got, tt.not) {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	s := search.New(search.Config{Index: index(t, anna, ben), Limits: search.Limits{Most: 1, MinLength: 3, Unit: "DC=corp"}})
	for _, tt := range []struct{ inner, want, not string }{
		{submit("search", "an*"), "</reported></x>", "anna@"},
		{submit("search", "ann"), "There are more than these 1.", "ben@"},
		{submit("search", "ann"), "<set xmlns='http://jabber.org/protocol/rsm'><first>anna@example.com</first><last>anna@example.com</last></set>", "count"},
	} {
		if got := ask(t, s, alice, here, "set", tt.inner); !strings.Contains(got, tt.want) || strings.Contains(got, tt.not) {
			t.Errorf("%s: %s", tt.inner, got)
		}
	}
	s.SetLimits(search.Limits{Unit: "OU=Care,DC=corp"})
	if got := ask(t, s, alice, here, "set", submit("search", "ann")+submit("unit", "dc=corp")); !strings.Contains(got, "ben@") || strings.Contains(got, "anna@") {
		t.Errorf("with a unit of the configuration: %s", got)
	}
}

// However much a directory says of people, an answer is bounded, and the pages are
// everybody.
func TestLongAnswers(t *testing.T) {
	long := strings.Repeat("<", 500)
	var all []people.Person
	for i := range 200 {
		p := anna
		p.JID, p.Name = jid.MustParse(fmt.Sprintf("a%03d@example.com", i)), fmt.Sprintf("Anna %03d", i)
		p.Title, p.Department, p.Given, p.Family = long, long, long, long
		all = append(all, p)
	}
	s := search.New(search.Config{Index: index(t, all...), Limits: search.Limits{Most: 200}})
	for _, way := range []string{"after", "before"} {
		seen, at := 0, ""
		for range 20 {
			got := ask(t, s, alice, here, "set", submit("search", "anna")+"<set xmlns='http://jabber.org/protocol/rsm'><"+way+">"+at+"</"+way+"></set>")
			if len(got) > 300<<10 {
				t.Fatalf("%d bytes", len(got))
			}
			n := strings.Count(got, "<item>")
			seen += n
			edge := map[string]string{"after": "last", "before": "first"}[way]
			_, rest, _ := strings.Cut(got, "<"+edge+">")
			at, _, _ = strings.Cut(rest, "<")
			if n == 0 || seen >= 200 {
				break
			}
		}
		if seen != 200 {
			t.Errorf("%s: %d people", way, seen)
		}
	}
}

func TestUnavailable(t *testing.T) {
	expect := func(domain string) bool { return domain == here }
	for _, tt := range []struct {
		name, to string
		cfg      search.Config
		want     string
	}{
		{"off", here, search.Config{Index: index(t, anna), Off: search.TurnedOff}, "type='cancel'><service-unavailable "},
		{"no source", "example.net", search.Config{Index: index(t, anna), Expected: expect}, "type='cancel'><service-unavailable "},
		{"not read yet", here, search.Config{Index: people.NewIndex(), Expected: expect}, "type='wait'><service-unavailable "},
		{"read", here, search.Config{Index: index(t, anna), Expected: expect}, "type='result'"},
		{"everywhere", "example.net", search.Config{Index: people.NewIndex()}, "type='result'"},
	} {
		for _, typ := range []string{"get", "set"} {
			if got := ask(t, search.New(tt.cfg), alice, tt.to, typ, ""); !strings.Contains(got, tt.want) {
				t.Errorf("%s, %s: %s", tt.name, typ, got)
			}
		}
		m := mux.New(slog.New(slog.DiscardHandler))
		search.New(tt.cfg).Register(m)
		if told := slices.Contains(m.Features(mux.ScopeServer), search.NS); told != (tt.cfg.Off == "") {
			t.Errorf("%s: the feature is told: %t", tt.name, told)
		}
	}
}

// One who searches without end is refused and slows nobody else.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, answered := 0, 0
		s := search.New(search.Config{Index: index(t, anna), Limits: search.Limits{Rate: 60}, Refused: func() { refused++ }, Searched: func(time.Duration) { answered++ }})
		served := func(from string, n int) (ok int) {
			for range n {
				got := ask(t, s, from, here, "set", submit("search", "a"))
				switch {
				case strings.Contains(got, "anna@"):
					ok++
				case !strings.Contains(got, "type='wait'><resource-constraint"):
					t.Fatal(got)
				}
			}
			return ok
		}
		if n := served(alice, 50); n != 12 {
			t.Errorf("%d at once", n)
		}
		if n := served("alice@example.com/other", 5); n != 0 {
			t.Errorf("%d from another session", n)
		}
		if n := served("bob@example.com/desk", 5); n != 5 {
			t.Errorf("%d of another user", n)
		}
		time.Sleep(10 * time.Second)
		if n := served(alice, 50); n != 10 {
			t.Errorf("%d after ten seconds", n)
		}
		time.Sleep(time.Hour)
		if n := served(alice, 50); n != 12 {
			t.Errorf("%d after an hour", n)
		}
		if refused != 38+5+40+38 || answered != 12+5+10+12 {
			t.Errorf("%d refused, %d answered", refused, answered)
		}
	})
}

// Whatever is asked, the answer is XML and bounded.
func FuzzAsk(f *testing.F) {
	f.Add(submit("search", "anna"))
	f.Add("<nick>a</nick><set xmlns='http://jabber.org/protocol/rsm'><max>0</max><before>x</before></set>")
	f.Add("<x xmlns='jabber:x:data'><field/><field var='unit'><value>a=,,\\</value></field></x><x/>")
	s := search.New(search.Config{Index: index(f, anna, ben, zoe, late), Limits: search.Limits{Rate: 1 << 40}})
	f.Fuzz(func(t *testing.T, inner string) {
		got := ask(t, s, alice, here, "set", inner)
		if len(got) > 8000 || strings.Contains(got, "internal-server-error") || strings.Contains(got, "late@") {
			t.Errorf("got %s", got)
		}
		d := xml.NewDecoder(strings.NewReader(got))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("%v: %s", err, got)
			}
		}
	})
}

// BenchmarkAnswer_50Of100000 is a keystroke from request to answer.
func BenchmarkAnswer_50Of100000(b *testing.B) {
	all := make([]people.Person, 100_000)
	for i := range all {
		all[i] = anna
		all[i].JID = jid.MustParse(fmt.Sprintf("u%d@example.com", i))
	}
	s := search.New(search.Config{Index: index(b, all...), Limits: search.Limits{Rate: 1 << 40}})
	b.ReportAllocs()
	for b.Loop() {
		ask(b, s, alice, here, "set", submit("search", "ann"))
	}
}
