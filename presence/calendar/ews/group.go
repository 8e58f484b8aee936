package ews

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/xmpp/jid"
)

// member is a user of a group.
type member struct {
	user     jid.JID
	box      string
	id       string // of its subscription; "" = there is none
	failures int
	due      time.Time // not subscribed before
}

// group is up to 200 mailboxes whose changes come over one stream. All its requests
// go to the server that holds the subscriptions: by the mailbox that anchors it, and the
// cookie that the first answer brought.
type group struct {
	w      *watcher
	anchor string
	place  string // what says that a server holds all its mailboxes
	line   *line
	joined chan struct{}

	mu      sync.Mutex // guards what follows
	members map[jid.JID]*member
}

func newGroup(w *watcher, anchor, place string) *group {
	header := map[string]string{"X-AnchorMailbox": anchor, "X-PreferServerAffinity": "true"}
	return &group{w: w, anchor: anchor, place: place, line: w.s.newLine(header), joined: make(chan struct{}, 1), members: map[jid.JID]*member{}}
}

func (g *group) room() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members) < maxGroup
}

func (g *group) join(u jid.JID, box string) {
	g.mu.Lock()
	g.members[u] = &member{user: u, box: box}
	g.mu.Unlock()
	select {
	case g.joined <- struct{}{}:
	default:
	}
}

func (g *group) leave(u jid.JID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, u)
}

// run subscribes and listens in turn until ctx ends.
func (g *group) run(ctx context.Context) {
	pause, down := time.Duration(0), false
	for ctx.Err() == nil {
		err := g.subscribe(ctx)
		if err == nil {
			err = g.listen(ctx, func() { pause, down = 0, false })
		}
		if ctx.Err() != nil {
			return
		}
		wait := firstPause
		if err != nil {
			if !down {
				g.w.log.Warn("changes of calendars are not heard of, they are looked for", "anchor", g.anchor, "err", err)
			}
			pause = min(maxPause, max(firstPause, 2*pause))
			wait = pause - time.Duration(rand.Int64N(int64(pause)/4)) //nolint:gosec // nobody gains by guessing it
			var f *calendar.Failure
			if errors.As(err, &f) {
				wait = max(wait, min(f.After, time.Hour))
			}
			g.line.http.CloseIdleConnections()
			g.line.signed = false
		}
		down = err != nil
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// refusals in a row say that nobody may be impersonated.
const refusals = 5

// subscribe subscribes to all members that have no subscription and may be asked for.
func (g *group) subscribe(ctx context.Context) error {
	select {
	case g.w.turn <- struct{}{}:
		defer func() { <-g.w.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-g.joined: // those are among the members
	default:
	}
	now := time.Now()
	var todo []*member
	g.mu.Lock()
	for _, m := range g.members {
		if m.id == "" && !m.due.After(now) {
			todo = append(todo, m)
		}
	}
	g.mu.Unlock()
	refused := 0
	for _, m := range todo {
		id, err := g.one(ctx, m.box)
		if err != nil && !calendar.Own(err) {
			return err
		}
		g.mu.Lock()
		if m.id = id; err != nil {
			m.failures++
			m.due = time.Now().Add(min(time.Hour, 5*time.Minute<<min(m.failures-1, 4)))
		}
		g.mu.Unlock()
		if err == nil {
			refused = 0
			continue
		}
		g.w.log.Debug("changes of a calendar are not heard of", "jid", m.user.String(), "err", err)
		if refused++; refused == refusals {
			return &calendar.Failure{Err: err, After: refusedPause}
		}
	}
	return nil
}

const requestTime = 30 * time.Second

// one subscribes to a mailbox.
func (g *group) one(ctx context.Context, box string) (string, error) {
	timed, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	resp, err := g.w.s.send(timed, g.line, subscribeTo(box))
	if err != nil {
		return "", err
	}
	defer drain(resp)
	body := calendar.Limit(resp.Body, maxPart)
	if resp.StatusCode != http.StatusOK {
		err := g.w.s.failure(resp, body, 1)
		var f *calendar.Failure
		if resp.StatusCode == http.StatusInternalServerError && errors.As(err, &f) && f.After == 0 && ctx.Err() == nil {
			f.Own = true // such as ErrorImpersonateUserDenied, of this mailbox
		}
		return "", err
	}
	for _, c := range resp.Cookies() {
		if c.Name == "X-BackEndOverrideCookie" && len(c.Value) < maxID {
			g.line.header["Cookie"] = c.Name + "=" + c.Value
		}
	}
	var answer subscribed
	if err := newParts(body).next("SubscribeResponseMessage", &answer); err != nil {
		return "", fmt.Errorf("read the answer of Exchange: %w", err)
	}
	return answer.id()
}

// listen tells of what changes until the stream ends, which it does after half an hour
// or when somebody has joined.
func (g *group) listen(ctx context.Context, alive func()) error {
	of, ids, as := g.subscriptions()
	if len(ids) == 0 {
		select {
		case <-time.After(lookAround):
		case <-g.joined:
		case <-ctx.Done():
		}
		return nil
	}
	cut, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	resp, err := g.w.s.send(cut, g.line, streamOf(as, ids))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return g.w.s.failure(resp, calendar.Limit(resp.Body, maxPart), 1)
	}
	var cutter sync.WaitGroup
	defer cutter.Wait()
	ended := make(chan struct{})
	defer close(ended)
	cutter.Go(func() { g.cutFor(ended, cancel) })
	stream := newParts(resp.Body)
	for {
		var t told
		err := stream.next("GetStreamingEventsResponseMessage", &t)
		switch {
		case err != nil && cut.Err() != nil && ctx.Err() == nil:
			return nil
		case err != nil:
			return fmt.Errorf("read the stream of Exchange: %w", err)
		}
		g.hear(&t, of)
		if t.Class == "Error" {
			return fmt.Errorf("the Exchange server ends the stream: %s", calendar.Brief(t.Code, 80))
		}
		quiet.Reset(silence)
		if alive(); t.Status == "Closed" {
			return nil
		}
	}
}

// subscriptions are whose changes can be heard, and a mailbox on whose account.
func (g *group) subscriptions() (of map[string]*member, ids []string, as string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	of = map[string]*member{}
	for _, m := range g.members {
		if m.id == "" {
			continue
		}
		if of[m.id] = m; as != g.anchor {
			as = m.box
		}
		ids = append(ids, m.id)
	}
	return of, ids, as
}

// cutFor ends a stream when somebody has joined, after a while in which others may.
func (g *group) cutFor(ended chan struct{}, cancel func()) {
	select {
	case <-g.joined:
	case <-ended:
		return
	}
	select {
	case <-time.After(joining):
		cancel()
	case <-ended:
	}
}

// lostPause is how long a subscription that was lost is not made again.
const lostPause = time.Minute

// hear tells of the changes in one part.
func (g *group) hear(t *told, of map[string]*member) {
	for _, n := range t.Notifications {
		if m := of[n.ID]; m != nil && (n.Created != nil || n.Changed != nil || n.Deleted != nil || n.Moved != nil || n.Copied != nil || n.Busy != nil) {
			g.w.changed(m.user)
		}
	}
	lost := t.Lost
	if t.Class == "Error" && len(lost) == 0 { // of which it does not say
		for id := range of {
			lost = append(lost, id)
		}
	}
	for _, id := range lost {
		if m := of[id]; m != nil {
			g.mu.Lock()
			m.id, m.due = "", time.Now().Add(lostPause)
			g.mu.Unlock()
			g.w.changed(m.user) // something may have been missed
		}
	}
}
