package people_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

func person(local, name string, more ...func(*people.Person)) people.Person {
	p := people.Person{JID: jid.MustParse(local + "@" + domain), Name: name, Enabled: true}
	for _, f := range more {
		f(&p)
	}
	return p
}

func mail(m ...string) func(*people.Person)  { return func(p *people.Person) { p.Mail = m } }
func phone(n ...string) func(*people.Person) { return func(p *people.Person) { p.Phones = n } }
func unit(dn string) func(*people.Person)    { return func(p *people.Person) { p.Unit = dn } }

// Whatever is told in whatever order, what is found is what a fresh index over the
// same people finds, in the same order.
func TestSearchMany(t *testing.T) {
	t.Cleanup(people.SetSizes(64, 16, 8))
	all := made(600, domain)
	x := people.NewIndex()
	sink := x.Sink("test")
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same each time
	now := map[jid.JID]people.Person{}
	for round := range 24 {
		var put []people.Person
		var gone []jid.JID
		for range []int{1, 5, 40, 300}[r.IntN(4)] {
			p := all[r.IntN(len(all))]
			if r.IntN(3) == 0 {
				gone = append(gone, p.JID)
				delete(now, p.JID)
			}
		}
		for range []int{1, 5, 40, 300}[r.IntN(4)] {
			p := all[r.IntN(len(all))]
			if r.IntN(2) == 0 {
				p.Title = fmt.Sprint("Senior round ", round)
			}
			put = append(put, p)
			now[p.JID] = p
		}
		gone = slices.DeleteFunc(gone, func(j jid.JID) bool { _, again := now[j]; return again })
		var err error
		if round%4 == 3 { // in the order of a map, so another one each time
			err = sink.Replace(t.Context(), told(slices.Collect(maps.Values(now))))
		} else {
			err = sink.Change(t.Context(), put, gone)
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := x.Size().People; n != len(now) {
			t.Fatalf("round %d: %d people, want %d", round, n, len(now))
		}
		compare(t, x, slices.Collect(maps.Values(now)))
	}
	if n := x.Parts(); n < 4 || n > 40 {
		t.Errorf("%d parts", n)
	}
}

// compare holds an index against one that was made at once.
func compare(t *testing.T, x *people.Index, all []people.Person) {
	t.Helper()
	fresh := filled(t, all)
	for _, typed := range []string{"s", "service", "a s", "an anna", "+49", "0", "service 12", "s se ser", "mü", "round 1"} {
		for _, most := range []int{7, 1000} {
			page := func(q *people.Query) { q.Most = most }
			got, want := search(t, x, typed, page), search(t, fresh, typed, page)
			if locals(got.People) != locals(want.People) || got.More != want.More {
				t.Fatalf("%q finds\n%s, want\n%s", typed, locals(got.People), locals(want.People))
			}
		}
	}
	for _, p := range all[:min(20, len(all))] {
		if got, ok := x.Person(p.JID); !ok || got.Title != p.Title {
			t.Fatalf("%+v, %t", got, ok)
		}
	}
}

func TestChange(t *testing.T) {
	x := filled(t, office)
	sink := x.Sink("test")
	karl, zoe := office[5], office[6]
	karl.Name, karl.Phones = "Karl Klöbner", nil
	disabled := office[0]
	disabled.Enabled = false
	if err := sink.Change(t.Context(), []people.Person{karl, disabled, person("new", "Newton")}, []jid.JID{zoe.JID, jid.MustParse("x@example.net")}); err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{"müller": "", "klo": "u4711", "212": "", "zoe": "", "newt": "new", "anna": "annab soren u4711"} {
		if got := locals(search(t, x, typed).People); got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
	if p, ok := x.Person(karl.JID); !ok || p.Name != karl.Name || p.Title != karl.Title || !p.Enabled {
		t.Errorf("%+v, %t", p, ok)
	}
	for _, p := range []people.Person{zoe, disabled} {
		if _, ok := x.Person(p.JID); ok {
			t.Errorf("%s is there", p.JID)
		}
	}
	// Another source does not touch them.
	if err := x.Sink("other").Replace(t.Context(), told(nil)); err != nil {
		t.Fatal(err)
	}
	if got := x.Size().People; got != 6 {
		t.Errorf("%d people", got)
	}
}

func TestReplaceFails(t *testing.T) {
	x := filled(t, office)
	torn := errors.New("torn")
	err := x.Sink("test").Replace(t.Context(), func(yield func(people.Person, error) bool) {
		_ = yield(person("new", "Newton"), nil) && yield(people.Person{}, torn)
	})
	if !errors.Is(err, torn) || x.Size().People != len(office) || len(search(t, x, "newton").People) > 0 {
		t.Errorf("%v, %+v", err, x.Size())
	}
	if err := x.Sink("test").Replace(t.Context(), told([]people.Person{office[0], office[0]})); err != nil || x.Size().People != 1 {
		t.Errorf("%v, %+v", err, x.Size())
	}
}

// Somebody told twice is as the first time.
func TestReplaceTwice(t *testing.T) {
	t.Cleanup(people.SetSizes(3, 2, 8))
	x := filled(t, nil)
	again := office[0]
	again.Name = "Anna Again"
	for range 2 {
		if err := x.Sink("test").Replace(t.Context(), told(append(slices.Clone(office), again))); err != nil {
			t.Fatal(err)
		}
		if got := locals(search(t, x, "anna").People); x.Size().People != len(office) || strings.Count(got, "amueller") != 1 {
			t.Errorf("%s, %+v", got, x.Size())
		}
	}
}

// Nobody who searches waits for a load, or sees half of one.
func TestSearchWhileReplacing(t *testing.T) {
	even, odd := made(400, domain), made(400, domain)
	for i := range odd {
		odd[i].Title, even[i].Title = "oddity", "evenness"
	}
	x := filled(t, even)
	var loads sync.WaitGroup
	done := make(chan struct{})
	loads.Go(func() {
		defer close(done)
		for i := range 8 {
			if err := x.Sink("test").Replace(t.Context(), told([][]people.Person{odd, even}[i%2])); err != nil {
				t.Error(err)
			}
		}
	})
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		for _, typed := range []string{"oddity", "evenness"} {
			if n := len(search(t, x, typed, func(q *people.Query) { q.Most = 1000 }).People); n != 0 && n != 400 {
				t.Fatalf("%d people", n)
			}
		}
	}
	loads.Wait()
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"anna m", "+49 30*", "a@b", "( ) * \\", "O’B", "0 0 0", "ﷺﷺ", "-- 1", "\xff@\xff", "1- -2"} {
		f.Add(s)
	}
	x := people.NewIndex()
	if err := x.Sink("test").Replace(context.Background(), told(append(made(200, domain), office...))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		for _, in := range []people.Field{people.FieldAny, people.FieldPhone, people.FieldMail, people.FieldGiven} {
			terms, err := people.ParseQuery(typed, in)
			if err != nil {
				continue
			}
			r, err := x.Search(people.Query{Terms: terms, Most: 5})
			if err != nil || len(r.People) > 5 {
				t.Fatalf("%d, %v", len(r.People), err)
			}
			if len(terms) == 0 && len(r.People) > 0 {
				t.Fatal("nothing typed finds people")
			}
		}
	})
}

// Whatever a directory says of somebody can be taken in and found again.
func FuzzPerson(f *testing.F) {
	f.Add("Anna Müller", "+49 (0)30 12-3", "a@b@c", "OU=x")
	f.Fuzz(func(t *testing.T, name, number, address, dn string) {
		x := people.NewIndex()
		p := person("a", name, phone(number, ""), mail(address), unit(dn))
		if err := x.Sink("test").Replace(t.Context(), told([]people.Person{p})); err != nil {
			t.Fatal(err)
		}
		got, ok := x.Person(p.JID)
		if !ok {
			t.Fatal("not there")
		}
		if len(name) < 500 && got.Name != strings.ToValidUTF8(name, "") {
			t.Fatalf("%q", got.Name)
		}
		if len(search(t, x, "a@example").People) != 1 {
			t.Fatal("not found")
		}
	})
}
