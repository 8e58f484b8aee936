package people

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/deskline/deskline/xmpp/jid"
)

// Tee returns a sink that tells each of sinks what it is told. All hear a full
// picture at the same time, person by person, so that it need not be kept; one
// that fails does not keep it from the others.
func Tee(sinks ...Sink) Sink {
	if len(sinks) == 1 {
		return sinks[0]
	}
	return tee(sinks)
}

type tee []Sink

// told is one step of a sequence.
type told struct {
	person Person
	err    error
}

// Replace implements Sink.
func (t tee) Replace(ctx context.Context, all iter.Seq2[Person, error]) error {
	errs := make([]error, len(t))
	steps := make([]chan told, len(t))
	ended := make([]chan struct{}, len(t))
	var running sync.WaitGroup
	for i, sink := range t {
		steps[i], ended[i] = make(chan told, 64), make(chan struct{})
		running.Go(func() {
			defer close(ended[i])
			errs[i] = sink.Replace(ctx, func(yield func(Person, error) bool) {
				for step := range steps[i] {
					if !yield(step.person, step.err) {
						return
					}
				}
			})
		})
	}
	var source error
	for p, err := range all {
		for i := range t {
			select {
			case steps[i] <- told{p, err}:
			case <-ended[i]: // it has failed, and wants no more
			}
		}
		if err != nil {
			source = err
			break
		}
	}
	for i := range t {
		close(steps[i])
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return source
}

// Change implements Sink.
func (t tee) Change(ctx context.Context, put []Person, gone []jid.JID) error {
	errs := make([]error, len(t))
	for i, sink := range t {
		errs[i] = sink.Change(ctx, put, gone)
	}
	return errors.Join(errs...)
}
