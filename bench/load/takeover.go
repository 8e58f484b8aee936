//go:build linux

package load

import (
	"fmt"
	"time"
)

// TakeOver is how the sessions of a node went on at another one.
type TakeOver struct {
	Sessions int           `json:"sessions"`
	Half     time.Duration `json:"half"` // from the kill until so many had an answer
	All      time.Duration `json:"all"`
	Ledger   Ledger        `json:"ledger"`
}

// before is for how long messages flow before the kill, and after all sessions
// have answered.
const before = 2 * time.Second

// TakeOver has the node of all sessions killed while the first pairs pairs
// write rate messages a second to each other. All clients turn to the node at
// URL to at once, with what they were about, and each asks it something: a
// session has been taken up when it has that answer.
func (f *Fleet) TakeOver(pairs, rate int, to string, kill func() error, limit time.Duration) (TakeOver, error) {
	t := TakeOver{Sessions: f.ready}
	_, addr, err := resolve(to)
	if err != nil {
		return t, err
	}
	r := f.newRun(pairs, nil)
	if err := f.steady(pairs, rate, 2); err != nil {
		return t, err
	}
	broke := func() bool { return len(f.errs) > 0 }
	if _, err := f.loop.run(broke, before); err != nil {
		return t, err
	}
	began := time.Now()
	if err := kill(); err != nil {
		return t, err
	}
	f.nodes, f.moved, f.back = [2]sockaddr{addr, addr}, true, 0
	for _, s := range f.sessions {
		if s.state == stateReady {
			s.queue("<iq xmlns='jabber:client' type='get' id='", pingID, "' to='", f.cfg.Domain, "'><ping xmlns='urn:xmpp:ping'/></iq>")
		}
	}
	all, err := f.loop.run(func() bool {
		if t.Half == 0 && f.back >= t.Sessions/2 {
			t.Half = f.loop.now.Sub(began)
		}
		return f.back >= t.Sessions || broke()
	}, limit)
	t.All = f.loop.now.Sub(began)
	if err != nil {
		return t, err
	}
	if _, err := f.loop.run(broke, before); err != nil {
		return t, err
	}
	if err := f.loop.at(time.Time{}, nil); err != nil {
		return t, err
	}
	if err := r.settle(); err != nil {
		return t, err
	}
	t.Ledger = f.book
	if !all {
		return t, fmt.Errorf("%d of %d sessions answer after %s", f.back, t.Sessions, limit)
	}
	return t, nil
}

const pingID = "back"
