package ews

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

const (
	maxGroup     = 200              // subscriptions of a stream, as the service has it
	lookAround   = 5 * time.Second  // for who is new
	joining      = 15 * time.Second // a stream goes on without those who have joined, so that others may
	subscribing  = 2                // groups at a time
	firstPause   = 2 * time.Second
	maxPause     = 5 * time.Minute
	refusedPause = 30 * time.Minute
	blindness    = time.Hour
	silence      = 5 * time.Minute // the service sends a sign of life each minute
)

// watcher hears of changes of many mailboxes over streams of groups of them.
type watcher struct {
	s       *Source
	log     *slog.Logger
	changed func(jid.JID)
	turn    chan struct{} // to subscribe

	discoverer *line
	blind      time.Time // nobody is asked for the servers of mailboxes until then
}

// Watch hears by streaming notifications whose calendar has changed, until ctx ends. The
// account has to be allowed to impersonate the users. What is missed while a stream is
// away is not told of: it is found at the next look.
func (s *Source) Watch(log *slog.Logger) func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
	return func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
		w := &watcher{s: s, log: log, changed: changed, turn: make(chan struct{}, subscribing), discoverer: s.newDiscoverer()}
		var running sync.WaitGroup
		defer running.Wait()
		var groups []*group
		where := map[jid.JID]*group{}
		tick := time.NewTicker(lookAround)
		defer tick.Stop()
		for {
			groups = w.arrange(ctx, users(), where, groups, func(g *group) { running.Go(func() { g.run(ctx) }) })
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// fresh is somebody who is in no group yet.
type fresh struct {
	user       jid.JID
	box, place string
}

// arrange puts who is new into a group that has room, and takes out who is gone.
func (w *watcher) arrange(ctx context.Context, users []jid.JID, where map[jid.JID]*group, groups []*group, start func(*group)) []*group {
	there := make(map[jid.JID]bool, len(users))
	var list []fresh
	for _, u := range users {
		u = u.Bare()
		if there[u] = true; where[u] != nil {
			continue
		}
		if box := w.s.c.Mailbox(u); box != "" {
			list = append(list, fresh{user: u, box: box})
		}
	}
	for u, g := range where {
		if !there[u] {
			g.leave(u)
			delete(where, u)
		}
	}
	slices.SortFunc(list, func(a, b fresh) int { return strings.Compare(a.box, b.box) })
	for at := 0; at < len(list); at += discoverable {
		w.discover(ctx, list[at:min(at+discoverable, len(list))])
	}
	for _, f := range list {
		i := slices.IndexFunc(groups, func(g *group) bool { return g.place == f.place && g.room() })
		if i < 0 {
			i = len(groups)
			groups = append(groups, newGroup(w, f.box, f.place))
			defer start(groups[i]) // when all have joined
		}
		groups[i].join(f.user, f.box)
		where[f.user] = groups[i]
	}
	return groups
}

// discover finds out which mailboxes one server holds. Where nobody tells they are
// taken together, and Exchange has to pass subscriptions on.
func (w *watcher) discover(ctx context.Context, list []fresh) {
	if time.Now().Before(w.blind) {
		return
	}
	boxes := make([]string, len(list))
	for i, f := range list {
		boxes[i] = f.box
	}
	places, err := w.s.groupings(ctx, w.discoverer, boxes)
	if err != nil {
		w.log.Debug("mailboxes are watched in no order, for their servers are not known", "err", err)
		w.blind = time.Now().Add(blindness)
		return
	}
	for i := range list {
		list[i].place = places[i]
	}
}
