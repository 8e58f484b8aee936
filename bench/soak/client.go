package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/wire"
)

// window is how many requests may be under way: what servers grant with hold 1.
const window = 2

// client is one session. All but its exchanges runs in the goroutine of drive.
type client struct {
	index  int
	cfg    config
	user   string
	jid    string
	peer   string // full JID of the other one of the pair
	book   *book
	random *rand.Rand
	lines  *lines
	pauses bool

	sid     string
	rid     uint64              // of the next request
	open    map[uint64]*request // not answered yet
	early   map[uint64][]byte   // answers that overtook others
	expect  uint64              // answer to be taken next
	copies  map[uint64]int      // copies under way, by rid, also of answered requests
	known   map[uint64][]byte   // last answers, to compare repeats with
	results chan result
	pending []string
	silent  time.Time // pausing until then
	broken  bool
	story   []string
}

// request is one that has no answer yet.
type request struct {
	rid   uint64
	bytes []byte
	pause time.Duration // not 0: asks for a pause
}

// result is the end of one exchange.
type result struct {
	rid  uint64
	body []byte
	err  error
}

func newClient(i int, cfg config, d *dialer, b *book) *client {
	c := &client{
		index: i, cfg: cfg, user: cfg.Prefix + strconv.Itoa(i), book: b,
		random: rand.New(rand.NewPCG(cfg.Seed, uint64(i))),
		lines:  &lines{dial: d, busy: map[net.Conn]struct{}{}},
		open:   map[uint64]*request{}, early: map[uint64][]byte{}, copies: map[uint64]int{},
		known: map[uint64][]byte{}, results: make(chan result, 16),
	}
	c.rid = 1 + c.random.Uint64N(1<<40)
	return c
}

// request builds the next request.
func (c *client) request(attrs, payload string) *request {
	sid := ""
	if c.sid != "" {
		sid = " sid='" + c.sid + "'"
	}
	body := fmt.Sprintf("<body xmlns='http://jabber.org/protocol/httpbind' rid='%d'%s%s>%s</body>", c.rid, sid, attrs, payload)
	r := &request{rid: c.rid, bytes: []byte(c.lines.dial.head + strconv.Itoa(len(body)) + "\r\n\r\n" + body)}
	c.rid++
	return r
}

// drive runs the session until ctx ends; messages are made until talk ends.
func (c *client) drive(ctx, talk context.Context) {
	var exchanges sync.WaitGroup
	defer exchanges.Wait()
	defer c.lines.cut()
	message := time.NewTimer(c.gap())
	defer message.Stop()
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for !c.broken {
		if wait := time.Until(c.silent); wait > 0 {
			wake.Reset(wait)
		} else {
			c.fill(ctx, talk, &exchanges)
		}
		select {
		case r := <-c.results:
			c.handle(ctx, r, &exchanges)
		case <-message.C:
			if talk.Err() == nil {
				c.compose()
				message.Reset(c.gap())
			}
		case <-wake.C:
		case <-ctx.Done():
			return
		}
	}
	for n := c.inFlight(); n > 0; n-- { // their results must find a reader
		select {
		case <-c.results:
		case <-ctx.Done():
			return
		}
	}
}

func (c *client) inFlight() int {
	n := 0
	for _, k := range c.copies {
		n += k
	}
	return n
}

func (c *client) gap() time.Duration {
	return time.Duration(c.random.ExpFloat64() / c.cfg.Rate * float64(time.Second))
}

func (c *client) compose() {
	mark := load.AppendMark(nil, c.index, c.book.send(c.index))
	c.pending = append(c.pending, "<message xmlns='jabber:client' type='chat' to='"+c.peer+"'><body>"+string(mark)+
		" the quick brown fox jumps over the lazy dog</body></message>")
}

// fill sends what may go out now: payload within the window, an empty request
// only when none is open.
func (c *client) fill(ctx, talk context.Context, wg *sync.WaitGroup) {
	if c.rid >= c.floor()+window || len(c.open) >= window || len(c.open) > 0 && len(c.pending) == 0 {
		return
	}
	f := c.fate()
	switch {
	case f == fatePause && c.pauses && len(c.open) == 0 && len(c.pending) == 0:
		r := c.request(" pause='20'", "")
		r.pause = time.Duration(1+c.random.IntN(2000)) * time.Millisecond
		c.send(ctx, wg, r, fateNone, 0)
		c.count(fatePause)
	case f == fateReorder && len(c.open) == 0 && talk.Err() == nil:
		for len(c.pending) < 2 {
			c.compose()
		}
		first, second := c.request("", c.pending[0]), c.request("", strings.Join(c.pending[1:], ""))
		c.pending = c.pending[:0]
		c.send(ctx, wg, second, fateNone, 0)
		c.send(ctx, wg, first, fateNone, time.Duration(1+c.random.IntN(30))*time.Millisecond)
		c.count(fateReorder)
	default:
		r := c.request("", strings.Join(c.pending, ""))
		c.pending = c.pending[:0]
		c.try(ctx, wg, r, f)
	}
}

// floor is the lowest request that the server may still have to answer: the
// first one without an answer, or an older one with copies under way.
func (c *client) floor() uint64 {
	low := c.expect
	for rid := range c.copies {
		low = min(low, rid)
	}
	return low
}

// fate draws what happens next.
func (c *client) fate() fate {
	if c.random.Float64() >= c.cfg.Harm {
		return fateNone
	}
	return fate(1 + c.random.IntN(int(fates)-1))
}

func (c *client) count(f fate) { c.book.report.harms[f].Add(1) }

// try sends a request under a fate that does not need a special moment.
func (c *client) try(ctx context.Context, wg *sync.WaitGroup, r *request, f fate) {
	switch f {
	case fateCutRequest, fateCutWait, fateCutResponse:
		c.count(f)
		c.send(ctx, wg, r, f, 0)
	case fateTwice:
		c.count(f)
		c.send(ctx, wg, r, fateNone, 0)
		c.send(ctx, wg, r, fateNone, 0)
	case fateReload:
		c.count(f)
		c.send(ctx, wg, r, fateNone, 0)
		c.lines.cut() // the broken exchanges report, and their requests go again
	default:
		c.send(ctx, wg, r, fateNone, 0)
	}
}

// send starts one exchange, which reports to results.
func (c *client) send(ctx context.Context, wg *sync.WaitGroup, r *request, f fate, delay time.Duration) {
	c.open[r.rid] = r
	c.exchange(ctx, wg, r, f, delay)
}

func (c *client) exchange(ctx context.Context, wg *sync.WaitGroup, r *request, f fate, delay time.Duration) {
	c.copies[r.rid]++
	c.note("send %d %s pause %s after %s", r.rid, f, r.pause, delay)
	c.book.report.requests.Add(1)
	random := rand.New(rand.NewPCG(c.random.Uint64(), r.rid))
	wg.Go(func() {
		if delay > 0 {
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
		}
		body, err := c.lines.exchange(ctx, r.bytes, f, random)
		select {
		case c.results <- result{r.rid, body, err}:
		case <-ctx.Done():
		}
	})
}

// handle takes the end of an exchange: an answer, or a reason to send again.
func (c *client) handle(ctx context.Context, res result, wg *sync.WaitGroup) {
	if c.copies[res.rid]--; c.copies[res.rid] == 0 {
		delete(c.copies, res.rid)
	}
	req := c.open[res.rid]
	if res.err != nil {
		c.note("lost %d: %v", res.rid, res.err)
		if errors.Is(res.err, errStatus) && !strings.Contains(res.err.Error(), " 5") && req != nil {
			c.violate(res.err.Error())
			return
		}
		c.again(ctx, wg, req)
		return
	}
	kind := string(wire.Attr(wire.StartTag(res.body), "type"))
	c.note("answer %d: %d bytes %s", res.rid, len(res.body), kind)
	switch {
	case kind == "terminate":
		c.violate("session ended: " + string(res.body))
	case kind == "error": // superseded by a later copy, XEP-0124 §14.3
		c.again(ctx, wg, req)
	case req == nil:
		if first, ok := c.known[res.rid]; ok && !bytes.Equal(first, res.body) {
			c.violate(fmt.Sprintf("request %d was answered in two ways:\n%s\n%s", res.rid, first, res.body))
		}
	default:
		c.accept(ctx, wg, req, res.body)
	}
}

// again sends a request once more when no copy is left that could be answered.
func (c *client) again(ctx context.Context, wg *sync.WaitGroup, req *request) {
	if req == nil || c.copies[req.rid] > 0 || ctx.Err() != nil {
		return
	}
	f := c.fate()
	if req.pause > 0 || f == fateReload { // a pause's answer is not kept for repeats
		f = fateNone
	}
	c.try(ctx, wg, req, f)
}

// accept takes the first answer to a request; answers are read in the order of
// their requests.
func (c *client) accept(ctx context.Context, wg *sync.WaitGroup, req *request, body []byte) {
	delete(c.open, req.rid)
	c.book.report.answered.Add(1)
	c.early[req.rid] = body
	for {
		b, ok := c.early[c.expect]
		if !ok {
			break
		}
		delete(c.early, c.expect)
		c.read(b)
		c.known[c.expect] = b
		delete(c.known, c.expect-2*window)
		c.expect++
	}
	if req.pause > 0 {
		c.silent = time.Now().Add(req.pause)
		return
	}
	if req.rid == c.rid-1 && c.fate() == fateRepeat {
		c.count(fateRepeat)
		c.exchange(ctx, wg, req, fateNone, 0)
	}
}

// read books the messages in an answer.
func (c *client) read(body []byte) {
	for rest := wire.Inner(body); len(rest) > 0; {
		el, next, ok := wire.Next(rest)
		if !ok {
			return
		}
		rest = next
		switch string(el.Name) {
		case "message":
			if v := c.book.arrive(c.index, el.Raw); v != load.InOrder {
				c.violate(fmt.Sprintf("verdict %d for %s", v, el.Raw))
			}
		case "iq":
			if string(el.Attr("type")) == "get" {
				c.pending = append(c.pending, fmt.Sprintf("<iq xmlns='jabber:client' type='result' id='%s' to='%s'/>",
					el.Attr("id"), el.Attr("from")))
			}
		}
	}
}

func (c *client) note(format string, args ...any) {
	if len(c.story) > 40 {
		c.story = append(c.story[:0], c.story[20:]...)
	}
	c.story = append(c.story, time.Now().Format("05.000000 ")+fmt.Sprintf(format, args...))
}

// violate books what must not happen and ends the client.
func (c *client) violate(what string) {
	c.broken = true
	c.book.report.violation(c.user + ": " + what + "\n  " + strings.Join(c.story, "\n  "))
}
