package xmpptest

import (
	"context"
	"sync"
)

// inbox holds what a client got and nobody has looked at yet.
type inbox struct {
	mu      sync.Mutex // guards all below
	got     []*element
	over    *ending
	changed chan struct{} // closed at the next change
}

// ending is how a stream ended.
type ending struct {
	condition string // of the stream error or of the BOSH body, "" for an orderly end
	err       error  // what went wrong beyond that
}

func newInbox() *inbox { return &inbox{changed: make(chan struct{})} }

func (in *inbox) put(list ...*element) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, list...)
	in.wake()
}

// end says that nothing more comes; the first word counts.
func (in *inbox) end(e ending) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over == nil {
		in.over = &e
	}
	in.wake()
}

func (in *inbox) wake() {
	close(in.changed)
	in.changed = make(chan struct{})
}

// look calls f with what is there until f is satisfied and returns false when
// it cannot be any more, because the stream or ctx has ended. f returns what is
// left to be looked at.
func (in *inbox) look(ctx context.Context, f func(got []*element, over *ending) (rest []*element, done bool)) bool {
	for {
		in.mu.Lock()
		rest, done := f(in.got, in.over)
		in.got = rest
		changed, over := in.changed, in.over
		in.mu.Unlock()
		switch {
		case done:
			return true
		case over != nil:
			return false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// state returns what is there now.
func (in *inbox) state() ([]*element, *ending) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.got, in.over
}
