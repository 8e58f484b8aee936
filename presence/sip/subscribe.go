package sip

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// How a server is asked.
const (
	together     = 8 // requests under way at one server that answers
	patience     = 10 * time.Second
	firstBackoff = time.Second
	lastBackoff  = 2 * time.Minute
	refusedFor   = 15 * time.Minute // before a line that a server does not want to tell of is tried again
	farewell     = 2 * time.Second
	maxRefused   = 20          // lines of a server that the log warns of
	ownerAfter   = time.Second // between two looks at who subscribes
)

// subscriber holds the subscriptions at all servers.
type subscriber struct {
	source *Source
	done   chan struct{} // closed when run has ended
	moved  chan struct{} // there are other targets

	mu      sync.Mutex
	calls   map[string]*watch // by Call-ID
	kept    int               // bytes of documents that changes are made in
	targets []*target         // that are wanted
}

type result struct {
	watch *watch
	after time.Duration // until it is due again
	away  error         // the server did not answer
}

func newSubscriber(s *Source, all []Subscription) (*subscriber, error) {
	sub := &subscriber{source: s, calls: map[string]*watch{}, done: make(chan struct{}), moved: make(chan struct{}, 1)}
	for _, one := range all {
		t, err := sub.target(one)
		if err != nil {
			return nil, err
		}
		sub.targets = append(sub.targets, t)
	}
	return sub, nil
}

// inForce counts the subscriptions that servers have granted.
func (s *subscriber) inForce(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, w := range s.calls {
		if w.remote != "" && !w.reset && w.until.After(now) {
			n++
		}
	}
	return n
}

// run asks for what is due, little at a time, and one line alone of a server that
// does not answer.
func (t *target) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	turn := time.NewTicker(ownerAfter)
	defer turn.Stop()
	t.own()
	for ctx.Err() == nil {
		timer.Reset(t.launch(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case now := <-turn.C:
			t.own()
			t.settle(now)
		case <-t.relined:
			t.reline() //nolint:contextcheck // it says good-bye as leave does
		case r := <-t.results:
			t.land(ctx, r)
		case w := <-t.wake:
			if w.at >= 0 {
				t.kick(w)
				heap.Fix(&t.waiting, w.at)
			}
		}
	}
	for ; t.flying > 0; t.flying-- {
		r := <-t.results
		heap.Push(&t.waiting, r.watch)
	}
	if t.mine {
		t.leave(t.waiting) //nolint:contextcheck // the one that ran is over
	}
}

// own looks whether it is this node that subscribes. Who does no more ends its
// subscriptions; what they said counts until it expires, or the other node has heard more.
func (t *target) own() {
	mine := t.sub.source.cfg.Mine == nil || t.sub.source.cfg.Mine(t.name)
	if t.turning = mine != t.mine && t.flying > 0; t.turning || mine == t.mine {
		return
	}
	if t.mine = mine; !mine {
		t.leave(t.waiting)
		t.fails, t.not = 0, time.Time{}
		t.away.Store(nil)
		return
	}
	now := time.Now()
	t.sub.mu.Lock()
	defer t.sub.mu.Unlock()
	for _, w := range t.waiting {
		w.reset, w.due = true, now
	}
	heap.Init(&t.waiting)
}

// launch starts what is due and returns when to look again.
func (t *target) launch(ctx context.Context) time.Duration {
	limit := together
	switch {
	case !t.mine || t.turning:
		limit = 0
	case t.fails > 0:
		limit = 1
	}
	for t.flying < limit && len(t.waiting) > 0 {
		now := time.Now()
		next := t.waiting[0].due
		if t.not.After(next) {
			next = t.not
		}
		if wait := next.Sub(now); wait > 0 {
			return wait
		}
		w := heap.Pop(&t.waiting).(*watch)
		w.asked = now
		t.flying++
		go func() { t.results <- t.ask(ctx, w) }() // run waits for it
	}
	return time.Hour
}

func (t *target) land(ctx context.Context, r result) {
	log := t.sub.source.log
	t.flying--
	if ctx.Err() != nil {
		r.away = nil // it is us who did not wait
	}
	if r.away != nil {
		if t.fails++; t.fails == 1 {
			log.WarnContext(ctx, "SIP server does not answer", "server", t.server.String(), "event", t.event, "err", r.away)
		}
		wait := min(lastBackoff, firstBackoff<<min(t.fails-1, 10))
		wait = max(wait/2+rand.N(wait/2+1), r.after) //nolint:gosec // jitter
		t.not = time.Now().Add(wait)
		why := r.away.Error()
		t.away.Store(&why)
		r.after = 0
	} else if t.fails > 0 {
		t.fails, t.not = 0, time.Time{}
		t.away.Store(nil)
		log.InfoContext(ctx, "SIP server answers again", "server", t.server.String(), "event", t.event)
	}
	if r.watch.gone {
		t.part([]*watch{r.watch}) //nolint:contextcheck // as leave
		return
	}
	r.watch.due = time.Now().Add(r.after)
	t.kick(r.watch)
	heap.Push(&t.waiting, r.watch)
}

// kick makes a line due that is to be asked for again, at most once in a second.
func (t *target) kick(w *watch) {
	t.sub.mu.Lock()
	defer t.sub.mu.Unlock()
	if !w.kicked {
		return
	}
	w.kicked = false
	now := time.Now()
	if w.due = now.Add(time.Second); now.Sub(w.asked) > time.Second {
		w.due = now
	}
	if w.hold.After(w.due) {
		w.due = w.hold
	}
}

// resolve finds the server, and lets what it says in.
func (t *target) resolve(ctx context.Context) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(t.server.Host)
	if err != nil {
		all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.server.Host)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("resolve: %w", err)
		}
		for _, a := range all {
			t.sub.source.guard.know(a)
		}
		addr = all[0]
	}
	addr = addr.Unmap()
	t.sub.source.guard.know(addr)
	return netip.AddrPortFrom(addr, uint16(t.server.Port)), nil //nolint:gosec // a port
}

// ask subscribes or refreshes.
func (t *target) ask(ctx context.Context, w *watch) result {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := t.send(ctx, w)
	if err != nil {
		t.sub.mu.Lock()
		w.reset = w.reset || w.remote == "" // should the request arrive late, it is of another dialog
		t.sub.mu.Unlock()
		return result{watch: w, away: err}
	}
	return t.judge(w, res)
}

func (t *target) send(ctx context.Context, w *watch) (*sip.Response, error) {
	server, err := t.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.sub.source.await(ctx, t.transport); err != nil {
		return nil, err
	}
	own, err := t.sub.source.contact(t.transport, server)
	if err != nil {
		return nil, err
	}
	var last *sip.Response
	for range 2 { // the second with a password
		req := t.prepare(w, own, server)
		if last != nil {
			if err := sign(req, last, t.user, t.password); err != nil {
				return nil, err
			}
		}
		res, err := t.sub.source.client.Do(ctx, req)
		if err != nil {
			return nil, err
		}
		if last != nil || t.user == "" || res.StatusCode != sip.StatusUnauthorized && res.StatusCode != sip.StatusProxyAuthRequired {
			return res, nil
		}
		last = res
	}
	return last, nil
}

// prepare makes the next request of a watch, in a new dialog if it needs one.
func (t *target) prepare(w *watch, own, server netip.AddrPort) *sip.Request {
	s := t.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.reset {
		delete(s.calls, w.callID)
		w.begin()
		s.calls[w.callID] = w
	}
	return t.address(w.request(own, w.expires), server)
}

// address sends a request to the server itself, whatever it says of its address:
// it may be behind a translation.
func (t *target) address(req *sip.Request, server netip.AddrPort) *sip.Request {
	if t.transport == "udp" {
		if c := t.sub.source.ports.Load().udp; c != nil {
			local := c.LocalAddr().(*net.UDPAddr)
			req.Laddr = sip.Addr{IP: local.IP, Port: local.Port}
		}
	}
	req.SetDestination(server.String())
	if t.transport == "tls" { // whose certificate has the name
		req.SetDestination(net.JoinHostPort(t.server.Host, strconv.Itoa(t.server.Port)))
	}
	return req
}
