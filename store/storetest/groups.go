package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/deskline/deskline/people"
)

// Groups is the contract of a [people.Store]; stores that are none skip it.
func Groups(t *testing.T, open Opener) {
	s, reopen := open(t)
	g, ok := s.(people.Store)
	if !ok {
		t.Skip("keeps no groups")
	}
	ctx := t.Context()
	want := func(records ...people.Record) {
		t.Helper()
		slices.SortFunc(records, func(a, b people.Record) int { return compareText(a.Key(), b.Key()) })
		if got := get[[]people.Record](t)(g.GroupRecords(ctx)); !slices.Equal(got, records) {
			t.Fatalf("got %+v, want %+v", got, records)
		}
	}
	want()
	agents := people.Record{Name: "Agents"}
	wantErr(t, g.DeleteGroupRecord(ctx, agents), people.ErrNoGroup)
	must(t, g.SaveGroupRecord(ctx, agents))
	of := people.Record{Name: "Agents", Domain: "example.com", Authorised: true}
	must(t, g.SaveGroupRecord(ctx, of))
	want(agents, of)
	agents.Name, agents.Authorised = "AGENTS", true
	must(t, g.SaveGroupRecord(ctx, agents)) // the same group, written in another way
	want(agents, of)
	all := []people.Record{agents, of}
	for _, name := range []string{`'"; DROP TABLE`, "Büro, 2", "CN=a\\,b, OU=c", "甲 乙"} {
		r := people.Record{Name: name, Authorised: len(all)%2 == 0}
		all = append(all, r)
		must(t, g.SaveGroupRecord(ctx, r))
	}
	want(slices.Clone(all)...)
	must(t, g.DeleteGroupRecord(ctx, people.Record{Name: "agents"}))
	if reopen != nil {
		g = reopen().(people.Store)
	}
	want(all[1:]...)
	for _, err := range parallel(20, func(i int) error {
		return g.SaveGroupRecord(ctx, people.Record{Name: fmt.Sprint("group ", i%5), Authorised: true})
	}) {
		must(t, err)
	}
	if n := len(get[[]people.Record](t)(g.GroupRecords(ctx))); n != len(all)-1+5 {
		t.Fatalf("%d groups", n)
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
