package graph

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/deskline/deskline/internal/rate"
	"github.com/deskline/deskline/xmpp/jid"
)

// HubConfig is what a Hub needs.
type HubConfig struct {
	// Key is what notifications are known by: the same at all nodes, and after a restart.
	Key []byte
	// Pass gives notices to the other nodes, whose hubs are to Hear them; nil if there are none.
	Pass  func(ctx context.Context, notices []string) error
	Peer  func(*http.Request) netip.Addr // who sends a request
	TLS13 bool                           // the address is answered by TLS 1.3 alone
	Log   *slog.Logger
}

// Hub takes what Microsoft 365 tells of changes, at one address for all sources, and has
// the calendar looked at. Nothing that it is told is believed beyond that something has
// changed. It is an http.Handler for Path.
type Hub struct {
	c     HubConfig
	key   []byte
	slots chan struct{} // notifications that are read
	limit *rate.Limiter // of those that prove nothing
	wake  chan struct{} // there is something to pass on

	deaf bool // the other nodes cannot be told, as the log has it; of the goroutine of Run

	mu      sync.Mutex // guards what follows
	targets map[tag]target
	sources map[string]*watcher
	passing map[notice]struct{}
	counts  Counts
}

// target is somebody whose calendar is watched.
type target struct {
	w    *watcher
	user jid.JID
}

// Counts are what a hub has been told since the start.
type Counts struct {
	Taken   uint64 // notifications for this node
	Passed  uint64 // to the other nodes
	Unknown uint64 // for nobody
	Forged  uint64 // without proof that they were asked for
}

const (
	reading    = 64     // requests at a time
	unproven   = 300    // requests a minute from an address that prove nothing
	maxPassing = 10_000 // notices that wait to be passed on
	passBatch  = 500    // of them at a time
	passTime   = 5 * time.Second
	gathering  = 50 * time.Millisecond
)

// NewHub makes a hub, which answers requests at once.
func NewHub(c HubConfig) *Hub {
	return &Hub{
		c: c, key: derive(c.Key), slots: make(chan struct{}, reading), limit: rate.New(unproven), wake: make(chan struct{}, 1),
		targets: map[tag]target{}, sources: map[string]*watcher{}, passing: map[notice]struct{}{},
	}
}

// Counts returns what the hub has been told.
func (h *Hub) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts
}

// Subscriptions calls tell for each source with how many subscriptions it has, and how
// many mailboxes cannot be subscribed to.
func (h *Hub) Subscriptions(tell func(source string, active, refused int)) {
	h.mu.Lock()
	all := maps.Clone(h.sources)
	h.mu.Unlock()
	for name, w := range all {
		active, refused := w.count()
		tell(name, active, refused)
	}
}

// Run passes notices on to the other nodes until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gathering):
		}
		list := h.waiting()
		if len(list) == 0 {
			continue
		}
		timed, cancel := context.WithTimeout(ctx, passTime)
		err := h.c.Pass(timed, list)
		cancel()
		if err != nil && !h.deaf && ctx.Err() == nil {
			h.c.Log.WarnContext(ctx, "changes of calendars are not passed on to other nodes, they are found at the next look", "err", err)
		}
		h.deaf = err != nil
	}
}

// waiting takes some of what is to be passed on.
func (h *Hub) waiting() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for n := range h.passing {
		if len(list) == passBatch {
			rouse(h.wake)
			break
		}
		delete(h.passing, n)
		if text, err := json.Marshal(n); err == nil {
			list = append(list, string(text))
		}
	}
	return list
}

// Hear takes what another node passes on.
func (h *Hub) Hear(notices []string) {
	for _, text := range notices {
		var n notice
		if json.Unmarshal([]byte(text), &n) == nil {
			h.hear(n, false)
		}
	}
}

// hear has somebody's calendar looked at, and reports whether the notice is of what was
// asked for. One that comes from the service itself may be for another node.
func (h *Hub) hear(n notice, itself bool) bool {
	t, ok := h.open(n.State)
	h.mu.Lock()
	one, here := h.targets[t]
	switch {
	case !ok:
		h.counts.Forged++
	case here:
		h.counts.Taken++
	}
	h.mu.Unlock()
	if !ok {
		return false
	}
	if stays := here && one.w.hear(one.user, n); !stays && itself { // the user may be with another node by now
		h.pass(n, here)
	}
	return true
}

// pass has the other nodes told.
func (h *Hub) pass(n notice, here bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.c.Pass != nil && len(h.passing) < maxPassing:
		h.passing[n] = struct{}{}
		h.counts.Passed++
		rouse(h.wake)
	case !here:
		h.counts.Unknown++
	}
}

func (h *Hub) join(t tag, w *watcher, user jid.JID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets[t], h.sources[w.name] = target{w, user}, w
}

func (h *Hub) leave(t tag, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.targets[t].w == w {
		delete(h.targets, t)
	}
}

// quit takes a source out, with all its users.
func (h *Hub) quit(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.targets, func(_ tag, t target) bool { return t.w == w })
	if h.sources[w.name] == w {
		delete(h.sources, w.name)
	}
}

func rouse(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
