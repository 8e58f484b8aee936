package people_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

var office = []people.Person{
	person("amueller", "Anna Müller", mail("anna.mueller@corp.example"), phone("+49 30 1234-567"), unit("OU=Sales,OU=Berlin,DC=corp,DC=example")),
	person("annab", "Anna Bäcker", unit("OU=Support,OU=Berlin,DC=corp,DC=example")),
	person("hanna", "Hannah Anders", phone("030 9876 5")),
	person("obrien", "Seán O’Brien", phone("+44 (0)20 7946 0958"), unit(`OU=Sales\,OU=Berlin,DC=corp,DC=example`)),
	person("soren", "Søren Strauß", mail("anna@corp.example")),
	person("u4711", "Müller-Lüdenscheidt, Karl", phone("tel:+1-212-555-0100"), func(p *people.Person) { p.Title, p.Department = "Annalist", "Customer Care" }),
	person("anna", "Zoë Quinn"),
}

func locals(all []people.Person) string {
	var names []string
	for _, p := range all {
		names = append(names, p.JID.Local())
	}
	return strings.Join(names, " ")
}

func search(tb testing.TB, x *people.Index, typed string, change ...func(*people.Query)) people.Result {
	tb.Helper()
	terms, err := people.ParseQuery(typed, people.FieldAny)
	if err != nil {
		tb.Fatal(err)
	}
	q := people.Query{Terms: terms, Most: 50}
	for _, f := range change {
		f(&q)
	}
	r, err := x.Search(q)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestSearch(t *testing.T) {
	x := filled(t, office)
	for _, tt := range []struct{ name, typed, want string }{
		{"whole words first, names before ids before mail, then in order", "anna", "annab amueller anna soren u4711"},
		{"prefix", "ann", "annab amueller anna soren u4711"},
		{"an initial is no whole word", "q", "anna"},
		{"any word", "mül", "amueller u4711"},
		{"without the accent", "muller", "amueller u4711"},
		{"spelled without it", "mueller", "amueller u4711"},
		{"capitals", "MÜLLER", "amueller u4711"},
		{"two words", "anna m", "amueller u4711"},
		{"in the other order", "mue ann", "amueller u4711"},
		{"behind a hyphen", "lüd", "u4711"},
		{"with the hyphen", "müller-lüd", "u4711"},
		{"ligature spelled out", "strauss", "soren"},
		{"stroke", "sor", "soren"},
		{"stroke spelled", "soeren", "soren"},
		{"apostrophe", "o'bri", "obrien"},
		{"other apostrophe", "O’B", "obrien"},
		{"no apostrophe", "obrien", "obrien"},
		{"behind it", "brien", "obrien"},
		{"id", "u47", "u4711"},
		{"part of mail", "corp", ""},
		{"mail", "anna.mueller@co", "amueller"},
		{"mail with its scheme", "mailto:anna@corp.example", "soren"},
		{"address", "hanna@exa", "hanna"},
		{"title", "annal", "u4711"},
		{"department", "customer care", "u4711"},
		{"same word twice", "anna anna", "annab amueller anna soren u4711"},
		{"people whom another word fits come first", "anna m a", "amueller u4711"},
		{"star at the end", "mül* ann*", "amueller u4711"},
		{"wildcards mean nothing", "m%ller m?ller", ""},
		{"only wildcards", "* ** %", ""},
		{"a filter means nothing", ")(uid=*", ""},
		{"nothing", "  ", ""},
		{"nobody", "xyz", ""},
		{"one of two is nobody", "anna xyz", ""},

		{"number", "+49 30 1234", "amueller"},
		{"without blanks", "+49301234567", "amueller"},
		{"with 00", "0049 30 1234", "amueller"},
		{"national", "030 1234", "amueller"},
		{"national in one", "0301234", "amueller"},
		{"without the 0", "301234", "amueller"},
		{"trunk prefix in brackets", "+44 20 7946", "obrien"},
		{"the same typed", "+44 (0)20 79", "obrien"},
		{"national there", "020 7946", "obrien"},
		{"country unknown", "+49 30 98765", "hanna"},
		{"another country", "+43 30 1234", ""},
		{"extension", "567", "amueller"},
		{"extension begun", "56", "amueller"},
		{"the last digits", "34567", "amueller"},
		{"digits in the middle", "2345", ""},
		{"hyphens", "212-555", "u4711"},
		{"id of digits behind a name", "müller 4711", ""},
		{"name and number", "anna 030 12", "amueller"},
		{"too many digits", strings.Repeat("1", 60), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := locals(search(t, x, tt.typed).People); got != tt.want {
				t.Errorf("%q finds %q, want %q", tt.typed, got, tt.want)
			}
		})
	}
}

func TestSearchFields(t *testing.T) {
	x := filled(t, []people.Person{
		person("a", "Paul Peter", func(p *people.Person) { p.Given, p.Family = "Paul", "Peter" }),
		person("b", "Peter Paul", func(p *people.Person) { p.Given, p.Family = "Peter", "Paul" }),
		person("peter", "C", mail("paul@example.net")),
	})
	for _, tt := range []struct {
		typed string
		in    people.Field
		want  string
	}{
		{"peter", people.FieldGiven, "b"},
		{"peter", people.FieldFamily, "a"},
		{"peter", people.FieldID, "peter"},
		{"paul", people.FieldMail, "peter"},
		{"paul@ex", people.FieldMail, "peter"},
		{"peter@ex", people.FieldMail, ""},
		{"peter@ex", people.FieldGiven, ""},
		{"p", people.FieldGiven | people.FieldMail, "a b peter"},
	} {
		terms, err := people.ParseQuery(tt.typed, tt.in)
		if err != nil {
			t.Fatal(err)
		}
		r, err := x.Search(people.Query{Terms: terms, Most: 9})
		if got := locals(r.People); err != nil || got != tt.want {
			t.Errorf("%s in %b: %q, %v, want %q", tt.typed, tt.in, got, err, tt.want)
		}
	}
}

func TestParseQueryBounds(t *testing.T) {
	if _, err := people.ParseQuery(strings.Repeat("x", people.MaxQueryBytes+1), people.FieldAny); !errors.Is(err, people.ErrQueryLong) {
		t.Error(err)
	}
	if _, err := people.ParseQuery("a b c d e f g h i", people.FieldAny); !errors.Is(err, people.ErrQueryWords) {
		t.Error(err)
	}
}

func TestSearchRestricted(t *testing.T) {
	x := filled(t, office)
	for name, tt := range map[string]struct {
		typed, want string
		change      func(*people.Query)
	}{
		"unit":                {"anna", "amueller", func(q *people.Query) { q.Units = []string{"ou=sales, OU=berlin,dc=CORP,dc=example", ""} }},
		"unit above":          {"anna", "annab amueller", func(q *people.Query) { q.Units = []string{"OU=Berlin,DC=corp,DC=example"} }},
		"not by a part of it": {"brien", "", func(q *people.Query) { q.Units = []string{"OU=Berlin,DC=corp,DC=example"} }},
		"unknown unit":        {"anna", "", func(q *people.Query) { q.Units = []string{"DC=example", "OU=Moon"} }},
		"not to be seen":      {"anna", "amueller soren u4711", func(q *people.Query) { q.May = func(j jid.JID) bool { return !strings.HasPrefix(j.Local(), "anna") } }},
		"domain":              {"anna", "", func(q *people.Query) { q.Domains = []string{"example.net"} }},
	} {
		t.Run(name, func(t *testing.T) {
			if got := locals(search(t, x, tt.typed, tt.change).People); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// Pages, forwards and backwards, are the whole list; that some people are in the
// base and some were changed since does not matter.
func TestSearchPages(t *testing.T) {
	t.Cleanup(people.SetSizes(50, 20, 8))
	x := people.NewIndex()
	sink := x.Sink("test")
	all := made(300, domain)
	if err := sink.Replace(t.Context(), told(all[:200])); err != nil {
		t.Fatal(err)
	}
	if err := sink.Change(t.Context(), all[190:], nil); err != nil {
		t.Fatal(err)
	}
	whole := search(t, x, "s", func(q *people.Query) { q.Most = 1000 })
	if whole.More || len(whole.People) < 100 {
		t.Fatalf("%d people", len(whole.People))
	}
	want := locals(whole.People)
	var forth, back []people.Person
	for step := (people.Query{}); ; {
		r := search(t, x, "s", func(q *people.Query) { q.Most, q.After = 7, step.After })
		forth = append(forth, r.People...)
		if !r.More {
			break
		}
		step.After = r.People[len(r.People)-1].JID
	}
	for step := (people.Query{Last: true}); ; {
		r := search(t, x, "s", func(q *people.Query) { q.Most, q.Before, q.Last = 7, step.Before, step.Last })
		back = append(slices.Clone(r.People), back...)
		if !r.More {
			break
		}
		step = people.Query{Before: r.People[0].JID}
	}
	if got := locals(forth); got != want {
		t.Errorf("forwards\n%s, want\n%s", got, want)
	}
	if got := locals(back); got != want {
		t.Errorf("backwards\n%s, want\n%s", got, want)
	}
	terms, _ := people.ParseQuery("s", people.FieldAny)
	for _, q := range []people.Query{
		{After: jid.MustParse("nobody@" + domain)},
		{Before: whole.People[0].JID, May: func(jid.JID) bool { return false }},
	} {
		q.Terms, q.Most = terms, 5
		if _, err := x.Search(q); !errors.Is(err, people.ErrNoPlace) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
