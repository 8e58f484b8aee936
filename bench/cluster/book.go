package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/bench/load"
	"github.com/deskline/deskline/bench/peer"
)

// book keeps the ledger of one scenario. Stream i goes from client i to its
// mate, which is client i^1.
type book struct {
	first int // the number of stream 0, so that what a scenario has left is no other's

	pace time.Duration // between two messages of a stream

	mu      sync.Mutex // guards what follows
	streams []stream
	row     row
	broken  map[int]bool        // clients that would have to sign in anew
	closed  bool                // what comes now is the clients' own leaving
	longest [2][2]time.Duration // pause, raw or Strophe.js, through HAProxy or not
	stories []string            // what led to the first violations
}

// stream is what one client says to another.
type stream struct {
	load.Stream
	taken []taken
	last  time.Time     // when the receiver had the latest message
	pause time.Duration // the longest time between two of them, since mark
}

// taken is a message as a client took it that does not put responses in order.
type taken struct {
	rid   uint64 // of the response it came in
	place int
}

// row is a line of the ledger.
type row struct {
	Name        string
	Sessions    int
	Events      int // such as kills
	Ledger      load.Ledger
	Refused     int // messages that the server sent back with an error
	Overtaken   int // in order for the server, but read by the client as the network brought it
	Logins      int // sessions that ended, so that their users have to sign in anew
	Unavailable int // presences by which a contact seemed to leave
	Pauses      []time.Duration
	Limit       time.Duration // of the 99th percentile of Pauses
	Err         error
}

// Clean reports that nothing was violated.
func (r *row) Clean() bool {
	return r.Err == nil && r.Ledger.Clean() && r.Ledger.Delivered > 0 && r.Logins == 0 && r.Unavailable == 0 && (r.Limit == 0 || r.Pause(0.99) <= r.Limit)
}

// Pause returns a quantile of the pauses.
func (r *row) Pause(q float64) time.Duration {
	if len(r.Pauses) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.Pauses))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// maxStories bounds what is printed.
const maxStories = 8

func newBook(number int, name string, clients int, pace, limit time.Duration) *book {
	b := &book{pace: pace, first: number * clients, streams: make([]stream, clients), broken: make(map[int]bool)}
	b.row = row{Name: name, Sessions: clients, Limit: limit}
	for i := range b.streams {
		b.streams[i].ID = i
	}
	return b
}

func (b *book) tell(format string, args ...any) {
	if len(b.stories) < maxStories {
		b.stories = append(b.stories, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// send books a message of client i and returns its mark.
func (b *book) send(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Ledger.Sent++
	return string(load.AppendMark(nil, b.first+i, b.streams[i].Send(time.Time{})))
}

// arrive books a message that client i received. A client that reads its
// responses in order says 0 for rid.
func (b *book) arrive(i int, rid uint64, msg []byte) {
	id, place, ok := load.ParseMark(msg)
	if ok && id < b.first {
		return // kept for the user since another scenario
	}
	id -= b.first
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok && id == i && place < b.streams[i].Sent() { // an error brings it back
		b.row.Refused++
		b.streams[i].Arrive(place)
		b.tell("client %d: message %d was refused: %s", i, place, msg)
		return
	}
	if !ok || id != i^1 {
		b.row.Ledger.Count(load.Strange)
		b.tell("client %d got a strange message: %s", i, msg)
		return
	}
	s, now := &b.streams[id], time.Now()
	v := s.Arrive(place)
	switch {
	case v == load.InOrder:
	case v == load.OutOfOrder && rid > 0:
		b.row.Overtaken++
		v = load.InOrder // unless close finds otherwise
	default:
		b.tell("client %d: verdict %d for message %d, request %d", i, v, place, rid)
	}
	b.row.Ledger.Count(v)
	if rid > 0 {
		s.taken = append(s.taken, taken{rid, place})
	}
	s.pause = max(s.pause, now.Sub(s.last))
	s.last = now
}

// away books an unavailable presence.
func (b *book) away(i int, from string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && strings.HasSuffix(from, "/"+b.resource()) {
		b.row.Unavailable++
		b.tell("client %d saw %s leave", i, from)
	}
}

// fail books the end of a session.
func (b *book) fail(i int, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && !b.broken[i] {
		b.broken[i] = true
		b.row.Logins++
		b.tell("client %d: %s", i, why)
	}
}

// mark begins to measure pauses.
func (b *book) mark() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.streams {
		b.streams[i].last, b.streams[i].pause = time.Now(), 0
	}
}

// event books the pauses since the mark.
func (b *book) event() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row.Events++
	for i := range b.streams {
		s := &b.streams[i]
		pause := max(max(s.pause, time.Since(s.last))-b.pace, 0)
		b.row.Pauses = append(b.row.Pauses, pause)
		kind := i ^ 1 // who receives
		b.longest[kind%2][kind/2%2] = max(b.longest[kind%2][kind/2%2], pause)
	}
}

// places returns how many messages each client has sent.
func (b *book) places() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]int, len(b.streams))
	for i := range b.streams {
		all[i] = b.streams[i].Sent()
	}
	return all
}

// behind returns the streams of which no message from a place on has arrived.
// Those whose session has ended are not waited for.
func (b *book) behind(places []int) (all []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.streams {
		if !b.broken[i] && !b.broken[i^1] && b.streams[i].Next() <= places[i] {
			all = append(all, i)
		}
	}
	return all
}

// settled reports that all messages have arrived that can.
func (b *book) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.streams {
		if !b.broken[i] && !b.broken[i^1] && b.streams[i].Lost() > 0 {
			return false
		}
	}
	return true
}

// close ends the scenario.
func (b *book) close(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.row.Err = err
	for i := range b.streams {
		s := &b.streams[i]
		if n := s.Lost(); n > 0 {
			b.row.Ledger.Lost += n
			b.tell("client %d: %d messages of %d did not arrive, the furthest that did is %d", i, n, s.Sent(), s.Next()-1)
		}
		// XEP-0124 §14.2: responses are in the order of their requests.
		slices.SortStableFunc(s.taken, func(x, y taken) int { return cmp.Compare(x.rid, y.rid) })
		for k := 1; k < len(s.taken); k++ {
			if s.taken[k].place < s.taken[k-1].place {
				b.row.Ledger.OutOfOrder++
				b.tell("client %d: message %d of request %d is after message %d", i, s.taken[k].place, s.taken[k].rid, s.taken[k-1].place)
			}
		}
	}
}

func userOf(i int) string { return peer.Prefix + strconv.Itoa(i) }

// full is the address of client i. A resource is a scenario's own, since the
// sessions of another one that was not clean may still be ending.
func (b *book) full(i int) string {
	return userOf(i) + "@" + peer.Domain + "/" + b.resource()
}

func (b *book) resource() string { return "desk" + strconv.Itoa(b.first) }
