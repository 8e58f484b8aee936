package live

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// boxes are the mailboxes of the sessions of this node.
type boxes struct {
	mu sync.RWMutex // guards m
	m  map[router.SID]*box
}

func (b *boxes) get(sid router.SID) (*box, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	x, ok := b.m[sid]
	return x, ok
}

// box puts the frames of one session in the order in which Redis accepted them.
type box struct {
	to   session.Receiver
	bare jid.JID // whose session it is

	own  atomic.Pointer[gathering] // of the session's request under way
	lent atomic.Pointer[gathering] // of the request whose frame is delivered

	mu    sync.Mutex // guards all below
	last  uint64     // number of the last frame delivered
	early map[uint64]letter
	gap   bool // somebody waits whether it closes
	gone  bool // the session did not take a frame
}

type letter struct {
	st    *stanza.Stanza // nil: frame is as it was in the mailbox
	frame []byte
}

// put delivers a frame, and those that waited for it. It reports the first gap.
func (b *box) put(number uint64, l letter) (gap bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number <= b.last {
		return false
	}
	if number > b.last+1 {
		if b.early == nil {
			b.early = make(map[uint64]letter)
		}
		b.early[number] = l
		gap, b.gap = !b.gap, true
		return gap
	}
	for ok := true; ok; l, ok = b.early[b.last+1] {
		b.last++
		b.deliver(l)
		delete(b.early, b.last)
	}
	return false
}

// settled ends the wait for a gap and reports whether it is still there.
func (b *box) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gap = false
	return len(b.early) == 0
}

func (b *box) deliver(l letter) {
	if b.gone {
		return
	}
	if l.st == nil {
		if obey(l.frame, b.to) {
			return
		}
		var err error
		if l.st, l.frame, err = Unseal(l.frame); err != nil {
			return // it was encoded by a node; nothing can be done with it
		}
	}
	b.gone = b.to.DeliverNumbered(l.st, l.frame, b.last) != nil
}

// arrive gives a frame to its session. A gap is another post's, on its way; one
// that stays is closed by reading the mailbox.
func (l *Shared) arrive(ctx context.Context, sid router.SID, number uint64, x letter, with *gathering) {
	b, ok := l.boxes.get(sid)
	if !ok {
		return // it is being taken over: the mailbox has it
	}
	if with != nil {
		b.lent.Store(with)
		defer b.lent.Store(nil)
	}
	if b.put(number, x) {
		time.AfterFunc(gapPatience, func() {
			if !b.settled() {
				l.catchUp(context.WithoutCancel(ctx), sid, b)
			}
		})
	}
}

// gapPatience is how long the frame before one that came may be on its way.
const gapPatience = 20 * time.Millisecond

// catchUp reads what the mailbox has and the session has not.
func (l *Shared) catchUp(ctx context.Context, sid router.SID, b *box) {
	cmd, err := l.surely(ctx, readScript, l.sessionKeys(sid)[:2])
	if err == nil {
		err = cmd.Err()
	}
	if errors.Is(err, goredis.Nil) {
		return
	}
	var frames []string
	var last uint64
	if err == nil {
		frames, err = cmd.StringSlice()
	}
	if err == nil && len(frames) > 0 {
		last, err = strconv.ParseUint(frames[0], 10, 64)
		frames = frames[1:]
	}
	if err != nil {
		l.cfg.Log.WarnContext(ctx, "read mailbox", "sid", sid.Ref(), "err", err)
		return
	}
	first := last - uint64(len(frames)) + 1
	b.mu.Lock()
	b.last = max(b.last, first-1) // what is no longer there was written down
	b.mu.Unlock()
	for i, f := range frames {
		b.put(first+uint64(i), letter{frame: []byte(f)}) //nolint:gosec // i counts up
	}
}

// listen hears what other nodes post to sessions of this one, and whose
// bindings changed.
func (l *Shared) listen(ctx context.Context) {
	sub := l.cfg.Client.Subscribe(ctx, l.bell(), l.boundChannel(), l.rosterChannel(), l.notesChannel())
	// A read does not end with ctx.
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		if stop() {
			_ = sub.Close()
		}
	}()
	ready := 0
	for {
		msg, err := l.receive(ctx, sub)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// The library connects and subscribes again by itself.
			l.cache.listening(false)
			if ready > 0 { // once for each outage
				l.cfg.Log.WarnContext(ctx, "listen to the cluster", "err", err)
			}
			ready = 0
			if errors.Is(err, errDeaf) || !pauseBriefly(ctx) {
				return
			}
			continue
		}
		switch m := msg.(type) {
		case *goredis.Subscription:
			if ready++; ready >= 4 {
				l.cache.listening(true)
				l.cfg.Missed()
				l.catchUpAll(ctx)
			}
		case *goredis.Message:
			l.hear(ctx, m)
		}
	}
}

func (l *Shared) hear(ctx context.Context, m *goredis.Message) {
	switch m.Channel {
	case l.boundChannel():
		if bare, err := parseBare(m.Payload); err == nil {
			l.cache.forget(bare)
		}
	case l.rosterChannel():
		owner, digits, _ := strings.Cut(m.Payload, " ")
		ver, err := strconv.ParseUint(digits, 10, 64)
		if bare, e := parseBare(owner); err == nil && e == nil {
			l.cfg.Roster(bare, ver)
		}
	case l.notesChannel():
		l.hearNews(ctx, m.Payload)
	default:
		l.ring(ctx, m.Payload)
	}
}

func (l *Shared) catchUpAll(ctx context.Context) {
	l.boxes.mu.RLock()
	all := make(map[router.SID]*box, len(l.boxes.m))
	for sid, b := range l.boxes.m {
		all[sid] = b
	}
	l.boxes.mu.RUnlock()
	for sid, b := range all {
		l.catchUp(ctx, sid, b)
	}
}

// ring takes one frame that another node posted.
func (l *Shared) ring(ctx context.Context, payload string) {
	if payload == "" || l.echoes.rang(payload) {
		return // of the node itself
	}
	if strings.HasPrefix(payload, wishMark) {
		l.wished(ctx, payload)
		return
	}
	sid, rest, _ := strings.Cut(payload, " ")
	digits, frame, ok := strings.Cut(rest, " ")
	number, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		l.cfg.Log.ErrorContext(ctx, "strange bell")
		return
	}
	if number > 0 {
		l.arrive(ctx, router.SID(sid), number, letter{frame: []byte(frame)}, nil)
	} else if b, ok := l.boxes.get(router.SID(sid)); ok {
		l.catchUp(ctx, router.SID(sid), b)
	}
}
