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
	silence      = 5 * time.Minute // the service sends a sign of life each minute
)

// watcher hears of changes of many mailboxes over streams of groups of them.
type watcher struct {
	s       *Source
	log     *slog.Logger
	changed func(jid.JID)
	turn    chan struct{} // to subscribe
}

// Watch hears by streaming notifications whose calendar has changed, until ctx ends. The
// account has to be allowed to impersonate the users. What is missed while a stream is
// away is not told of: it is found at the next look.
func (s *Source) Watch(log *slog.Logger) func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
	return func(ctx context.Context, users func() []jid.JID, changed func(jid.JID)) error {
		w := &watcher{s: s, log: log, changed: changed, turn: make(chan struct{}, subscribing)}
		var running sync.WaitGroup
		defer running.Wait()
		var groups []*group
		where := map[jid.JID]*group{}
		tick := time.NewTicker(lookAround)
		defer tick.Stop()
		for {
			groups = w.arrange(users(), where, groups, func(g *group) { running.Go(func() { g.run(ctx) }) })
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// arrange puts who is new into a group that has room, and takes out who is gone.
func (w *watcher) arrange(users []jid.JID, where map[jid.JID]*group, groups []*group, start func(*group)) []*group {
	there := make(map[jid.JID]bool, len(users))
	var fresh []jid.JID
	for _, u := range users {
		u = u.Bare()
		if there[u] = true; where[u] == nil {
			fresh = append(fresh, u)
		}
	}
	for u, g := range where {
		if !there[u] {
			g.leave(u)
			delete(where, u)
		}
	}
	slices.SortFunc(fresh, func(a, b jid.JID) int { return strings.Compare(a.String(), b.String()) })
	for _, u := range fresh {
		box := w.s.c.Mailbox(u)
		if box == "" {
			continue
		}
		i := slices.IndexFunc(groups, func(g *group) bool { return g.room() })
		if i < 0 {
			i = len(groups)
			groups = append(groups, newGroup(w, box))
			defer start(groups[i]) // when all have joined
		}
		groups[i].join(u, box)
		where[u] = groups[i]
	}
	return groups
}
