package presence

import (
	"container/heap"
	"context"
	"errors"
	"hash/maphash"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskline/deskline/xmpp/jid"
)

// Settings are what composition is done by; they may change while running.
type Settings struct {
	Policy Policy
	Texts  map[Name]string // shown where the user has set none
	Gather time.Duration   // how long a user's news is gathered before it is told
}

// composer keeps evidence and what contacts were told by it. Users of whom there is
// none cost nothing: they have no entry, and without any entry nobody is looked for.
type composer struct {
	settings atomic.Pointer[Settings]
	users    atomic.Int64
	version  atomic.Uint64 // counts what was decided otherwise than before
	shards   [32]shard     // each tells one user at a time, and waits for Redis meanwhile
	changes  tally         // states that were told
	stale    atomic.Uint64 // evidence that came too late
}

type shard struct {
	wake    chan struct{}
	mu      sync.RWMutex // guards all below; nothing is sent under it
	entries map[jid.JID]*entry
	due     agenda
	ended   uint64 // the version when an entry was removed last
}

// entry is one user of whom there is evidence, or a choice.
type entry struct {
	user    jid.JID
	book    Book
	choice  Choice
	told    *told
	touched uint64 // counts presence the user sent
	turned  uint64 // the version at which told became another one,
	relayed uint64 // and that which those who came here were told of
	// stirred is when the first of what changed since the last look was heard of, by whichever node; zero = nothing did.
	stirred time.Time
	border  time.Time // when something begins or ends by itself, as the last look found
	// sent is what contacts know of each resource; the bare JID stands for a phone.
	sent    map[jid.JID]key
	changed time.Time // when sent did, last
	foreign bool      // another node tells contacts of what changes by itself
	marked  mark      // what the history was last told of
	at      time.Time // when to look again; zero = not on the agenda
	pos     int
}

// key is what makes one presence of a resource differ from another for contacts.
type key struct {
	show  string
	label Name
	text  string // of a choice
}

// tally counts by what decided: choice, resource, or the name of a source, of which the
// configuration has few.
type tally struct{ by sync.Map }

func (t *tally) add(why string) {
	n, ok := t.by.Load(why)
	if !ok {
		n, _ = t.by.LoadOrStore(why, new(atomic.Uint64))
	}
	if n, ok := n.(*atomic.Uint64); ok {
		n.Add(1)
	}
}

// all returns the counts.
func (t *tally) all() map[string]uint64 {
	counts := map[string]uint64{}
	t.by.Range(func(why, n any) bool {
		if n, ok := n.(*atomic.Uint64); ok {
			counts[why.(string)] = n.Load() //nolint:forcetypeassert // add has no others
		}
		return true
	})
	return counts
}

var seed = maphash.MakeSeed()

func newComposer(s Settings) *composer {
	c := &composer{}
	c.settings.Store(&s)
	for i := range c.shards {
		c.shards[i].wake, c.shards[i].entries = make(chan struct{}, 1), make(map[jid.JID]*entry)
	}
	return c
}

func (c *composer) shard(user jid.JID) *shard {
	return &c.shards[maphash.String(seed, user.String())%uint64(len(c.shards))]
}

// of returns what contacts are told of a user, nil for what the resources say.
func (c *composer) of(user jid.JID) *told {
	if c.users.Load() == 0 {
		return nil
	}
	sh := c.shard(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if e := sh.entries[user]; e != nil {
		return e.told
	}
	return nil
}

// with calls f with the user's entry, which is made if it is missing and wanted.
func (c *composer) with(user jid.JID, wanted bool, f func(sh *shard, e *entry)) {
	sh := c.shard(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.entries[user]
	if e == nil {
		if !wanted {
			return
		}
		e = &entry{user: user, pos: -1}
		sh.entries[user] = e
		c.users.Add(1)
	}
	f(sh, e)
}

// put takes evidence and sees to it that it is looked at soon.
func (c *composer) put(e Evidence, now time.Time) error {
	var err error
	c.with(e.User, e.Expires.After(now), func(sh *shard, x *entry) {
		var changed bool
		if changed, err = x.book.Put(e, now); changed {
			x.hears(e.Heard)
			sh.plan(x, now.Add(c.settings.Load().Gather))
		}
	})
	if errors.Is(err, ErrStale) {
		c.stale.Add(1)
	}
	return err
}

// plan has an entry looked at no later than at. It is called with the lock held.
func (sh *shard) plan(e *entry, at time.Time) {
	switch {
	case e.pos < 0:
		e.at = at
		heap.Push(&sh.due, e)
	case at.Before(e.at):
		e.at = at
		heap.Fix(&sh.due, e.pos)
	default:
		return
	}
	if sh.due[0] == e {
		select {
		case sh.wake <- struct{}{}:
		default:
		}
	}
}

// take returns the users who are due, and when the next is.
func (sh *shard) take(now time.Time) (users []jid.JID, next time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for len(sh.due) > 0 && !sh.due[0].at.After(now) {
		e, _ := heap.Pop(&sh.due).(*entry)
		users = append(users, e.user)
	}
	if len(sh.due) > 0 {
		next = sh.due[0].at
	}
	return users, next
}

// run looks at the users of a shard when they are due.
func (sh *shard) run(ctx context.Context, review func(context.Context, jid.JID)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-sh.wake:
		}
		users, next := sh.take(time.Now())
		for _, user := range users {
			review(ctx, user)
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// Run composes until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var g errgroup.Group
	for i := range s.composer.shards {
		g.Go(func() error {
			pprof.Do(ctx, pprof.Labels("loop", "presence"), func(ctx context.Context) {
				s.composer.shards[i].run(ctx, s.review)
			})
			return nil
		})
	}
	return g.Wait()
}

// RunSource takes what a source says until ctx ends or the source fails for good.
func (s *Service) RunSource(ctx context.Context, source Source) error {
	heard := make(chan Evidence, 256)
	var g errgroup.Group
	g.Go(func() error {
		defer close(heard)
		return source.Run(ctx, heard)
	})
	for e := range heard {
		if err := s.Observe(e); err != nil {
			s.cfg.Log.DebugContext(ctx, "evidence", "jid", e.User.String(), "source", e.Source, "item", e.Item, "err", err)
		}
	}
	return g.Wait()
}

// errNobody is what Observe says of evidence that is of no user here.
var errNobody = errors.New("no user of this server")

// Observe takes evidence. It never waits; contacts are told after the time of
// gathering. ErrStale and ErrFull are for the source to report.
func (s *Service) Observe(e Evidence) error {
	if e.User.Local() == "" || !e.User.IsBare() || !s.cfg.Router.Local(e.User) {
		return errNobody
	}
	e.Heard = time.Now()
	err := s.composer.put(e, e.Heard)
	if err == nil && s.cfg.Cluster != nil {
		s.cfg.Cluster.Share(e)
	}
	return err
}

// Settings returns those in force.
func (s *Service) Settings() Settings { return *s.composer.settings.Load() }

// SetSettings puts other settings in force and looks at everybody again.
func (s *Service) SetSettings(next Settings) {
	s.composer.settings.Store(&next)
	now := time.Now()
	for i := range s.composer.shards {
		sh := &s.composer.shards[i]
		sh.mu.Lock()
		for _, e := range sh.entries {
			sh.plan(e, now)
		}
		sh.mu.Unlock()
	}
}

// Stats are counts of composition.
type Stats struct {
	Users   int
	Changes map[string]uint64
	Stale   uint64

	HistoryDropped uint64
}

// Stats returns how many users there is evidence of, how many changes were told by what
// decided (choice, resource, or the name of a source), how much evidence came too late, and how
// many changes the history lacks.
func (s *Service) Stats() Stats {
	return Stats{int(s.composer.users.Load()), s.composer.changes.all(), s.composer.stale.Load(), s.history.lost.Load()}
}

// agenda is a heap of entries by time.
type agenda []*entry

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].pos, a[j].pos = i, j
}

// Push implements heap.Interface.
func (a *agenda) Push(x any) {
	e, _ := x.(*entry)
	e.pos = len(*a)
	*a = append(*a, e)
}

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	e.pos = -1
	*a = slices.Delete(*a, last, last+1)
	return e
}
