package live

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A node tells contacts of a change, and who comes of contacts, by bindings that it may hold. If two users come at two nodes
// at the same time, and neither node has heard of the other's change yet, none of the two would be told of the other. So each change of a
// binding rings the bell of its own node as well. Redis tells a subscriber everything in the order in which it
// happened: a node that hears that bell has heard of all changes before its own, of whatever kind.

// echoMark begins the payload of such a bell.
const echoMark = "="

// echoTime is how long a node waits for its bell. After that it holds no bindings any more and reads them anew.
const echoTime = 500 * time.Millisecond

// echoes are the bells that are waited for. The zero echoes is none.
type echoes struct {
	mu      sync.Mutex // guards all below
	last    uint64
	waiting map[string]chan struct{}
}

// expect returns the payload of a bell, and what is closed when it rings.
func (e *echoes) expect() (payload string, rings <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	payload = echoMark + strconv.FormatUint(e.last, 36)
	c := make(chan struct{})
	if e.waiting == nil {
		e.waiting = map[string]chan struct{}{}
	}
	e.waiting[payload] = c
	return payload, c
}

// rang reports whether a payload is that of such a bell.
func (e *echoes) rang(payload string) bool {
	if !strings.HasPrefix(payload, echoMark) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.waiting[payload]; c != nil { // asked twice, it rings twice
		close(c)
		delete(e.waiting, payload)
	}
	return true
}

func (e *echoes) forget(payload string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting, payload)
}

// abreast waits until the node has heard of everything before the change whose bell it is.
func (l *Shared) abreast(ctx context.Context, rings <-chan struct{}) {
	if l.cache.isDeaf() {
		return // nothing is held
	}
	late := time.NewTimer(echoTime)
	defer late.Stop()
	select {
	case <-rings:
	case <-ctx.Done():
	case <-late.C:
		l.cache.clear()
	}
}
