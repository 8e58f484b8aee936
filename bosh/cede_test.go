package bosh_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
)

// shelf is a Ledger that nodes share.
type shelf struct {
	mu     sync.Mutex // guards states
	states map[router.SID][]byte
	away   atomic.Bool // nothing is written down
}

func (s *shelf) Commit(sid router.SID, state []byte, _ uint64, done func(error)) {
	if s.away.Load() {
		go done(context.DeadlineExceeded)
		return
	}
	s.mu.Lock()
	s.states[sid] = slices.Clone(state)
	s.mu.Unlock()
	go done(nil)
}

func (s *shelf) Gather(router.SID) func()    { return func() {} }
func (s *shelf) Fenced(error) bool           { return false }
func (s *shelf) Sure() bool                  { return true }
func (s *shelf) Ready(context.Context) error { return nil }

// passOn is an Elsewhere that asks whichever node has the session.
type passOn struct{ p *pair }

func (e passOn) Forward(ctx context.Context, sid router.SID, in *bosh.Request) (bosh.Response, bool, bool) {
	for ctx.Err() == nil {
		for _, n := range e.p.nodes {
			h := n.h.Load()
			if !h.Holds(sid) {
				continue
			}
			passed := *in
			passed.Body, passed.Passed = slices.Clone(in.Body), true
			if r, ok := h.Serve(ctx, &passed); ok {
				return r, true, false
			}
		}
		<-time.After(time.Millisecond)
	}
	return bosh.Response{}, true, false
}

// reply is a Waiter.
type reply chan bosh.Response

func (ch reply) Respond(r bosh.Response) { ch <- r }

// ids waits for the response, and reads the messages in it.
func (ch reply) ids(t *testing.T) []string {
	t.Helper()
	r := <-ch
	if r.Status != http.StatusOK {
		t.Error("a planned move shows: a request was cut off")
	}
	return idsIn(string(r.Body))
}

func newShelfPair(t *testing.T) (*pair, *shelf) {
	t.Helper()
	s := &shelf{states: make(map[router.SID][]byte)}
	p := newPair(t, bosh.Config{})
	p.cfg.Ledger, p.cfg.Elsewhere = s, passOn{p}
	for _, n := range p.nodes {
		p.open(n)
	}
	t.Cleanup(p.stop)
	return p, s
}

// hand moves one session as nodes do that live.
func (p *pair) hand(s *shelf, sid router.SID, from, to *node) {
	p.t.Helper()
	if !from.h.Load().Cede(p.t.Context(), sid) {
		p.t.Error("not ceded")
		return
	}
	s.mu.Lock()
	state := s.states[sid]
	s.mu.Unlock()
	rec, err := bosh.ReadRecord(state)
	if err == nil {
		err = to.h.Load().TakeUp(rec, 0, to.resume(p.t.Context()))
	}
	if err != nil {
		p.t.Error(err)
	}
}

// A session goes to and fro between two nodes that live while its client, whose
// requests all come to the first, writes and is written to: none of its requests
// is cut off, and each message arrives once.
func TestCede(t *testing.T) {
	p, s := newShelfPair(t)
	front := p.nodes[0].h.Load()
	c := &client{t: t, rid: 1000, post: func(body string) (int, string) {
		r, _ := front.Serve(t.Context(), &bosh.Request{Body: []byte(body)})
		return r.Status, string(r.Body)
	}}
	c.login("alice")
	const told = 200
	var others sync.WaitGroup
	pace := make(chan struct{})
	others.Go(func() {
		for i := range told {
			<-pace
			p.tell(p.nodes[i%2], fmt.Sprintf("b%d", i))
		}
	})
	others.Go(func() {
		for i := range told / 10 {
			for range 10 {
				<-pace
			}
			p.hand(s, c.sid, p.nodes[i%2], p.nodes[1-i%2])
		}
	})
	var got, sent []string
	var pending []reply
	for i := range told {
		id := fmt.Sprintf("a%d", i)
		sent = append(sent, id)
		ch := make(reply, 1)
		body := "<body sid='" + string(c.sid) + "' " + c.attrs("") + ">" + chat("carol@example.com", id) + "</body>"
		front.Handle(&bosh.Request{Body: []byte(body)}, ch)
		if pending = append(pending, ch); len(pending) == 2 {
			got = append(got, pending[0].ids(t)...)
			pending = pending[1:]
		}
		pace <- struct{}{}
		pace <- struct{}{}
	}
	others.Wait()
	c.ask("pause='60'", "")
	for _, ch := range pending {
		got = append(got, ch.ids(t)...)
	}
	got = append(got, idsIn(c.ask("type='terminate'", ""))...)
	if kept := p.keptFor("carol"); !slices.Equal(kept, sent) {
		t.Errorf("alice's messages arrived as %v", kept)
	}
	ledger(t, told, got, p.keptFor("alice"))
}

func TestCedeRefuses(t *testing.T) {
	p, s := newShelfPair(t)
	h := p.nodes[0].h.Load()
	c := &client{t: t, rid: 1000, post: func(body string) (int, string) {
		r, _ := h.Serve(t.Context(), &bosh.Request{Body: []byte(body)})
		return r.Status, string(r.Body)
	}}
	m := sidAttr.FindStringSubmatch(c.send("<body to='example.com' ver='1.11' wait='20' hold='1' " + c.attrs("") + "/>"))
	if h.Cede(t.Context(), router.SID(m[1])) || !h.Holds(router.SID(m[1])) {
		t.Error("a session that is not bound was ceded")
	}
	if h.Cede(t.Context(), "nobody") {
		t.Error("a session that does not exist was ceded")
	}
	c.login("alice")
	held := make(chan string, 1)
	body := "<body sid='" + string(c.sid) + "' " + c.attrs("") + "/>"
	go func() { held <- c.send(body) }()
	waitFor(t, func() bool { return h.Stats().Held > 0 })
	s.away.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if h.Cede(ctx, c.sid) || !h.Holds(c.sid) {
		t.Error("a session was ceded whose responses are not written down")
	}
	s.away.Store(false)
	if r := <-held; !strings.Contains(r, "<body") {
		t.Errorf("held request: %s", r)
	}
	if r := c.ask("pause='60'", chat("carol@example.com", "m")); strings.Contains(r, "terminate") {
		t.Error(r)
	}
	if !h.Cede(t.Context(), c.sid) || h.Holds(c.sid) {
		t.Error("not ceded once that works again")
	}
}
