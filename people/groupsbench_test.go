package people_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"

	"github.com/deskline/deskline/people"
)

// crowd is 100,000 people in 200 groups of 1,000 (each in two) and 100 entities.
func crowd(n int) iter.Seq2[people.Person, error] {
	return func(yield func(people.Person, error) bool) {
		for i := range n {
			p := people.Person{
				JID: who(fmt.Sprintf("person%06d@example.com", i)), Name: fmt.Sprintf("Person Number %d", i), Enabled: true,
				Groups: []string{fmt.Sprint("Team ", i/1000), fmt.Sprint("Skill ", i%100)}, Entity: fmt.Sprint("Office ", i%100),
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

func allGroups() (list []people.Authorisation) {
	for i := range 100 {
		list = append(list, people.Authorisation{Name: fmt.Sprint("Team ", i)}, people.Authorisation{Name: fmt.Sprint("Skill ", i)})
	}
	return list
}

func heapNow() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkGroupsReplace_100000People(b *testing.B) {
	before := heapNow()
	g := people.NewGroups(people.GroupsConfig{})
	g.Authorise(allGroups())
	sink := g.Source("test")
	for b.Loop() {
		if err := sink.Replace(context.Background(), crowd(100000)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heapNow()-before)/100000, "B/person")
	runtime.KeepAlive(g)
}

func BenchmarkGroupsFirst_100000People(b *testing.B) {
	for b.Loop() {
		g := people.NewGroups(people.GroupsConfig{})
		g.Authorise(allGroups())
		if err := g.Source("test").Replace(context.Background(), crowd(100000)); err != nil {
			b.Fatal(err)
		}
	}
}

func full(b *testing.B) *people.Groups {
	g := people.NewGroups(people.GroupsConfig{})
	g.Authorise(allGroups())
	if err := g.Source("test").Replace(b.Context(), crowd(100000)); err != nil {
		b.Fatal(err)
	}
	return g
}

// BenchmarkGroupsChange_100000People renames one of them.
func BenchmarkGroupsChange_100000People(b *testing.B) {
	g := full(b)
	sink := g.Source("test")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		p := people.Person{JID: who("person000007"), Name: fmt.Sprint("Name ", n), Enabled: true, Groups: []string{"Team 0", "Skill 7"}}
		if err := sink.Change(b.Context(), []people.Person{p}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContacts_2000 goes through 1,000 of a team and 999 more of a skill.
func BenchmarkContacts_2000(b *testing.B) {
	g := full(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range g.View().Contacts(who("person000007")) {
			n++
		}
		if n != 1989 {
			b.Fatal(n)
		}
	}
}

func BenchmarkHas(b *testing.B) {
	g := full(b)
	x, y := who("person000007"), who("person000999")
	b.ReportAllocs()
	for b.Loop() {
		if !g.View().Has(x, y) {
			b.Fatal("no")
		}
	}
}
