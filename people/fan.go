package people

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/deskline/deskline/xmpp/jid"
)

// Fan tells several sinks what it is told. One that fails does not keep the others
// from hearing; nobody is kept in memory but the one who is being told of.
func Fan(sinks ...Sink) Sink { return fan(sinks) }

type fan []Sink

type item struct {
	person Person
	err    error
}

// Replace implements [Sink].
func (f fan) Replace(ctx context.Context, all iter.Seq2[Person, error]) error {
	var wg sync.WaitGroup
	errs := make([]error, len(f))
	inputs, done := make([]chan item, len(f)), make([]chan struct{}, len(f))
	for i, s := range f {
		inputs[i], done[i] = make(chan item), make(chan struct{})
		wg.Go(func() {
			defer close(done[i])
			errs[i] = s.Replace(ctx, func(yield func(Person, error) bool) {
				for it := range inputs[i] {
					if !yield(it.person, it.err) {
						return
					}
				}
			})
		})
	}
	var failed error
	for p, err := range all {
		failed = errors.Join(failed, err)
		for i := range inputs {
			select {
			case inputs[i] <- item{p, err}:
			case <-done[i]: // it wants no more
			}
		}
	}
	for i := range inputs {
		close(inputs[i])
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return errors.Join(errs...)
}

// Change implements [Sink].
func (f fan) Change(ctx context.Context, put []Person, gone []jid.JID) error {
	var err error
	for _, s := range f {
		err = errors.Join(err, s.Change(ctx, put, gone))
	}
	return err
}
