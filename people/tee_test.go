package people_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// lazy wants no more than a few.
type lazy struct{ err error }

func (l lazy) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	n := 0
	for _, err := range all {
		if n++; err != nil || n == 3 {
			return l.err
		}
	}
	return nil
}

func (l lazy) Change(context.Context, []people.Person, []jid.JID) error { return l.err }

func TestTee(t *testing.T) {
	a, b, broken := people.NewIndex(), people.NewIndex(), errors.New("broken")
	all := made(500, domain)
	sink := people.Tee(a.Sink("x"), lazy{}, lazy{broken}, b.Sink("x"))
	if err := sink.Replace(t.Context(), told(all)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := sink.Change(t.Context(), nil, []jid.JID{all[0].JID}); !errors.Is(err, broken) {
		t.Error(err)
	}
	for _, x := range []*people.Index{a, b} {
		if n := x.Size().People; n != 499 {
			t.Errorf("%d people", n)
		}
	}
	torn := errors.New("torn")
	err := people.Tee(a.Sink("x"), b.Sink("x")).Replace(t.Context(), func(yield func(people.Person, error) bool) {
		_ = yield(all[0], nil) && yield(people.Person{}, torn)
	})
	if !errors.Is(err, torn) || a.Size().People != 499 {
		t.Errorf("%v, %+v", err, a.Size())
	}
	if err := people.Tee(lazy{}, lazy{}).Replace(t.Context(), func(yield func(people.Person, error) bool) { yield(people.Person{}, torn) }); !errors.Is(err, torn) {
		t.Error(err)
	}
}
