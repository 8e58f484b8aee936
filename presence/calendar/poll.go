package calendar

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// Ask is what a calendar is asked for.
type Ask struct {
	User        jid.JID // bare
	From, Until time.Time
	Tag         string // of the answer that is there; "" = answer in full
}

// Answer is what a calendar said.
type Answer struct {
	Same    bool   // nothing has changed since the one with the tag
	Tag     string // "" = there is none
	Periods []presence.Period
	Cut     bool // something cost too much and was left out
	Flaws   int  // events that could not be read
}

// Config is how the calendars of many users are polled.
type Config struct {
	Name    string // Evidence.Source and Item
	Users   func() []jid.JID
	Fetch   func(ctx context.Context, ask Ask) (Answer, error) // may be called at the same time for several users
	Refresh time.Duration                                      // between two looks at a calendar
	Window  time.Duration                                      // how far ahead
	Keep    time.Duration                                      // how long what was said counts without an answer
	Timeout time.Duration                                      // of one fetch
	AtOnce  int                                                // fetches
	Stay    bool                                               // what was said of users who are gone counts until it expires: others ask for them
	Log     *slog.Logger

	// FetchAll, for servers that tell of several users in one answer, stands in place
	// of Fetch; it is asked for up to Batch at a time.
	FetchAll func(ctx context.Context, asks []Ask) ([]Result, error)
	Batch    int

	// Watch, if there is one, hears of changes until ctx ends and says whose. What it
	// misses is found by the next look.
	Watch func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error
}

const (
	spare      = 24 * time.Hour // beyond the window, so that calendars that do not change are read once a day
	lookAround = 2 * time.Second
	firstPause = time.Second
	maxPause   = 2 * time.Minute
	maxOwn     = 30 * time.Minute // of a single calendar that cannot be had
	maxWarned  = 20
)

// Poller is a presence.Source that asks for each user's calendar in turn.
type Poller struct {
	Config

	// mu guards what follows; it is not held while anything is fetched or sent.
	mu     sync.Mutex
	all    map[jid.JID]*entry
	wait   queue // all that are not being fetched
	seq    uint64
	pause  time.Duration // after failures of the server
	paused time.Time     // until when
	warned int           // of how many calendars that cannot be read
	wake   chan struct{} // there is something to do
	most   int           // asked for together at present, Batch unless the server failed
	stats  Stats
}

// Stats tell operators how a source is.
type Stats struct {
	Users    int
	Fetched  uint64 // answers in full
	Same     uint64 // answers that nothing has changed
	Failed   uint64
	Down     bool // the server did not answer last
	LastGood time.Time
}

type entry struct {
	user     jid.JID
	due      time.Time
	busy     bool      // being fetched
	at       int       // in the queue
	asked    time.Time // last
	again    bool      // it changed while being fetched
	answer   Answer
	until    time.Time // the answer is complete up to then
	sent     bool
	failures int
}

// New makes a poller.
func New(c Config) *Poller {
	if c.FetchAll == nil {
		c.FetchAll, c.Batch = single(c.Fetch), 1
	}
	return &Poller{Config: c, all: map[jid.JID]*entry{}, most: max(1, c.Batch), wake: make(chan struct{}, 1)}
}

// Stats returns how it goes.
func (p *Poller) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Users, s.Down = len(p.all), p.pause > 0
	return s
}

// Run implements presence.Source.
func (p *Poller) Run(ctx context.Context, out chan<- presence.Evidence) error {
	var g sync.WaitGroup
	defer g.Wait()
	slots := make(chan struct{}, max(1, p.AtOnce))
	timer := time.NewTimer(0)
	defer timer.Stop()
	var looked time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-p.wake:
		}
		if now := time.Now(); now.Sub(looked) >= lookAround || looked.IsZero() {
			first := looked.IsZero()
			looked = now
			gone := p.meet(now)
			if first && p.Watch != nil {
				g.Go(func() { _ = p.Watch(ctx, p.users, p.Touch) })
			}
			for _, e := range gone {
				if !send(ctx, out, e) {
					return ctx.Err()
				}
			}
		}
		for {
			select {
			case slots <- struct{}{}:
			default:
				goto wait
			}
			list := p.next(time.Now())
			if len(list) == 0 {
				<-slots
				break
			}
			g.Go(func() {
				defer func() {
					<-slots
					p.rouse()
				}()
				p.fetch(ctx, list, out)
			})
		}
	wait:
		timer.Reset(p.delay(time.Now()))
	}
}

func send(ctx context.Context, out chan<- presence.Evidence, e presence.Evidence) bool {
	select {
	case out <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// meet takes up who is new, and takes back what was said of those who are gone.
func (p *Poller) meet(now time.Time) []presence.Evidence {
	users := p.Users()
	there := make(map[jid.JID]bool, len(users))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range users {
		u = u.Bare()
		there[u] = true
		if p.all[u] == nil {
			p.all[u] = &entry{user: u, due: now}
			heap.Push(&p.wait, p.all[u])
		}
	}
	var gone []presence.Evidence
	for u, e := range p.all {
		if there[u] || e.busy {
			continue
		}
		delete(p.all, u)
		if heap.Remove(&p.wait, e.at); e.sent && !p.Stay {
			p.tick(now)
			gone = append(gone, presence.Evidence{User: u, Source: p.Name, Item: p.Name, Seq: p.seq})
		}
	}
	return gone
}

// next picks the users who have waited longest, if the server may be asked. Those
// who are due soon come along with one who is, so that batches stay large.
func (p *Poller) next(now time.Time) []*entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	busy := len(p.all) - len(p.wait)
	// While a server is down one alone finds out whether it is back.
	if now.Before(p.paused) || p.pause > 0 && busy > 0 || len(p.wait) == 0 || p.wait[0].due.After(now) {
		return nil
	}
	soon := now.Add(p.Refresh / 8)
	var list []*entry
	for len(p.wait) > 0 && len(list) < p.most && !p.wait[0].due.After(soon) {
		e := heap.Pop(&p.wait).(*entry)
		e.busy = true
		list = append(list, e)
	}
	return list
}

// delay is how long there is nothing to do, if nothing comes back.
func (p *Poller) delay(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := lookAround
	if len(p.wait) > 0 {
		wait = min(wait, p.wait[0].due.Sub(now))
	}
	return max(wait, p.paused.Sub(now), 20*time.Millisecond)
}

// fetch asks for some calendars and says what came back.
func (p *Poller) fetch(ctx context.Context, list []*entry, out chan<- presence.Evidence) {
	now := time.Now()
	asks := make([]Ask, len(list))
	for i, e := range list {
		e.asked = now
		asks[i] = Ask{User: e.user, From: now, Until: now.Add(p.Window + spare)}
		if !e.until.Before(now.Add(p.Window)) {
			asks[i].Tag = e.answer.Tag
		}
	}
	timed, cancel := context.WithTimeout(ctx, p.Timeout)
	results, err := p.FetchAll(timed, asks)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err == nil && len(results) != len(asks) {
		err = fmt.Errorf("asked for %d calendars and got %d", len(asks), len(results))
	}
	for _, e := range p.settleAll(list, asks, results, err) {
		if !send(ctx, out, e) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range list {
		e.busy = false
		if e.again {
			e.again, e.due = false, p.soon(e, time.Now())
		}
		heap.Push(&p.wait, e)
	}
}

// settleAll keeps the answers of one fetch, whose users are due together again.
func (p *Poller) settleAll(list []*entry, asks []Ask, results []Result, err error) []presence.Evidence {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	due := now.Add(jitter(p.Refresh))
	said := make([]presence.Evidence, 0, len(list))
	failed := err // of the server, if any
	for i, e := range list {
		var r Result
		if r.Err = err; err == nil {
			r = results[i]
		}
		if r.Err != nil {
			if p.failed(e, r.Err, now); !Own(r.Err) {
				failed = r.Err
			}
			continue
		}
		said = append(said, p.settle(e, asks[i], r.Answer, due, now))
	}
	if fewer(err) { // half at once, then more by and by
		p.most = max(1, len(list)/2)
	} else if failed == nil || Own(failed) {
		p.most = min(max(1, p.Batch), p.most+max(1, p.Batch/50))
		if p.pause > 0 {
			p.Log.Info("calendars answer again", "source", p.Name)
			p.pause, p.paused = 0, time.Time{}
		}
	}
	return said
}

// settle keeps an answer and says when to ask again.
func (p *Poller) settle(e *entry, ask Ask, answer Answer, due, now time.Time) presence.Evidence {
	if answer.Same {
		p.stats.Same++
	} else {
		p.stats.Fetched++
		if (answer.Cut || answer.Flaws > 0) && (answer.Cut != e.answer.Cut || answer.Flaws != e.answer.Flaws) {
			p.Log.Warn("calendar was not read in full", "source", p.Name, "jid", e.user.String(), "flawed", answer.Flaws, "too_costly", answer.Cut)
		}
		e.answer, e.until = answer, ask.Until
	}
	e.failures, p.stats.LastGood = 0, now
	e.due, e.sent = due, true
	end := now.Add(p.Window)
	list := slices.DeleteFunc(slices.Clone(e.answer.Periods), func(q presence.Period) bool {
		return !q.Until.After(now) || !q.From.Before(end)
	})
	p.tick(now)
	return presence.Evidence{User: e.user, Source: p.Name, Item: p.Name, Periods: list, Seq: p.seq, Expires: now.Add(p.Keep)}
}

// tick numbers what is said by the time, so that it is above what was said before a
// restart, and above what another node of a cluster has said before.
func (p *Poller) tick(now time.Time) {
	p.seq = max(p.seq+1, uint64(now.UnixMicro())) //nolint:gosec // after 1970
}

// jitter spreads what would happen at the same time: three quarters up to the whole.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // nobody gains by guessing it
}
