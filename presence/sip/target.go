package sip

import (
	"container/heap"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
)

// target is one entry of the configuration: a server and its lines, which one loop
// serves. All but wake is its own.
type target struct {
	sub       *subscriber
	spec      Subscription      // guarded by subscriber.mu, as the next two
	all       map[string]*watch // by key
	next      map[string]*watch // to be all
	relined   chan struct{}     // there is a next
	server    sip.Uri
	transport string
	event     string
	from      sip.Uri
	user      string
	password  string

	name    string // of the server, as it is configured
	mine    bool   // this node subscribes
	turning bool   // that is about to change, when nothing is under way
	refused int    // lines, guarded by subscriber.mu
	waiting dues
	flying  int
	fails   int                    // in a row
	not     time.Time              // before then nothing is asked
	away    atomic.Pointer[string] // why it does not answer, nil if it does
	results chan result
	wake    chan *watch // lines that need a new full document now
	lists   []*watch    // those of all that are of lists
}

func (s *subscriber) target(one Subscription) (*target, error) {
	if err := one.Check(); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	server, transport, err := one.server()
	if err != nil {
		return nil, err
	}
	uris, err := one.uris()
	if err != nil {
		return nil, err
	}
	t := &target{
		spec: one, all: map[string]*watch{}, relined: make(chan struct{}, 1),
		sub: s, name: one.Server, server: server, transport: transport, event: one.Event, user: one.User, password: one.Password,
		from: sip.Uri{Scheme: "sip", User: "deskline", Host: server.Host}, results: make(chan result, together), wake: make(chan *watch, 1024),
	}
	if one.From != "" {
		if err := sip.ParseUri(one.From, &t.from); err != nil {
			return nil, fmt.Errorf("subscribe: from %q: %w", one.From, err)
		}
	}
	expires := one.Expires
	if expires <= 0 {
		expires = 5 * time.Minute
	}
	origin := "subscription " + one.Server + " " + one.Event
	if one.LinesTo != "" {
		if err := t.listen(one.whole(server.Host, one.LinesTo), expires, origin, recipients(uris)); err != nil {
			return nil, err
		}
		uris = nil
	}
	for _, text := range uris {
		if t.all[text] != nil {
			continue // two ranges have it
		}
		if _, err := t.watch(text, text, expires, origin); err != nil {
			return nil, err
		}
	}
	for _, text := range one.Lists {
		if err := t.listen(one.whole(server.Host, text), expires, origin+" "+text, nil); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// listen adds the subscription to a list, which body says if the server does not know.
func (t *target) listen(uri string, expires time.Duration, origin string, body []byte) error {
	w, err := t.watch("list "+uri, uri, expires, origin)
	if err != nil {
		return err
	}
	w.list = &listed{roll: NewRoll(origin), waiting: map[uint32]chan struct{}{}, body: body}
	t.lists = append(t.lists, w)
	return nil
}

// watch adds a subscription, which key tells from the others.
func (t *target) watch(key, uri string, expires time.Duration, origin string) (*watch, error) {
	w := &watch{target: t, key: key, expires: expires, due: time.Now(), at: -1, reset: true, origin: origin}
	var err error
	if w.line, err = Normalise(uri); err != nil {
		return nil, fmt.Errorf("subscribe: %q: %w", uri, err)
	}
	if err := sip.ParseUri(uri, &w.uri); err != nil {
		return nil, fmt.Errorf("subscribe: %q: %w", uri, err)
	}
	t.all[key] = w
	heap.Push(&t.waiting, w)
	return w, nil
}
