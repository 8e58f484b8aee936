package people_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

type recorder struct {
	most    int // then it stops listening; 0 = never
	fail    error
	heard   int
	ended   error
	changes int
}

func (r *recorder) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	for _, err := range all {
		if err != nil {
			r.ended = err
			return err
		}
		if r.heard++; r.heard == r.most {
			return r.fail
		}
	}
	return r.fail
}

func (r *recorder) Change(context.Context, []people.Person, []jid.JID) error {
	r.changes++
	return r.fail
}

func TestFan(t *testing.T) {
	broken, away := errors.New("broken"), errors.New("away")
	everybody := func(end error) iter.Seq2[people.Person, error] {
		return func(yield func(people.Person, error) bool) {
			for range 100 {
				if !yield(people.Person{}, nil) {
					return
				}
			}
			if end != nil {
				yield(people.Person{}, end)
			}
		}
	}
	one, early := new(recorder), &recorder{most: 3, fail: broken}
	f := people.Fan(one, early)
	if err := f.Replace(t.Context(), everybody(nil)); !errors.Is(err, broken) || one.heard != 100 || early.heard != 3 {
		t.Errorf("%v, %+v, %+v", err, one, early)
	}
	if err := f.Replace(t.Context(), everybody(away)); !errors.Is(err, away) || !errors.Is(one.ended, away) {
		t.Errorf("%v, %+v", err, one)
	}
	if err := f.Change(t.Context(), nil, nil); !errors.Is(err, broken) || one.changes != 1 || early.changes != 1 {
		t.Errorf("%v, %+v, %+v", err, one, early)
	}
	if err := people.Fan().Replace(t.Context(), everybody(away)); !errors.Is(err, away) {
		t.Error(err)
	}
}
