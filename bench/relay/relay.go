package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	wait     = 55 * time.Second
	maxBody  = 256 << 10
	bodyOpen = `<body xmlns='http://jabber.org/protocol/httpbind'>`
	bodyEnd  = `</body>`
)

// Header values shared by all responses; net/http only reads them.
var contentType = []string{"text/xml; charset=utf-8"}

// relay finds sessions by id and by name. Both maps only grow while sessions
// are opened, so sync.Map serves the hot path without a lock.
type relay struct {
	byID   sync.Map // string → *session
	byName sync.Map // string → *session
	mu     sync.Mutex
	last   uint64 // guarded by mu
}

func newRelay() *relay { return &relay{} }

// session orders what comes in (in) and holds what waits to go out (out).
// Lock order: in before out; in of one session, then out of another.
type session struct {
	name string

	in       sync.Mutex
	next     uint64             // guarded by in: number of the next request
	overtook map[uint64]*waiter // guarded by in: requests that came too early

	out     sync.Mutex
	pending []byte  // guarded by out
	held    *waiter // guarded by out
}

// waiter is one request that is not answered yet.
type waiter struct {
	req   []byte // the request's body
	resp  []byte // what to answer, without the wrapper
	ready chan struct{}
	timer *time.Timer
}

var waiters = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &waiter{ready: make(chan struct{}, 1), timer: t}
}}

// ServeHTTP answers one request when something is there for its session, when
// a newer request takes its place, or after the waiting time.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.ContentLength < 0 || req.ContentLength > maxBody {
		http.Error(w, "length required", http.StatusLengthRequired)
		return
	}
	wt := waiters.Get().(*waiter)
	defer waiters.Put(wt)
	wt.req, wt.resp = grow(wt.req, int(req.ContentLength)), wt.resp[:0]
	if _, err := io.ReadFull(req.Body, wt.req); err != nil {
		return
	}
	tag := wt.req[:max(bytes.IndexByte(wt.req, '>'), 0)]
	rid, err := strconv.ParseUint(string(attr(tag, " rid='")), 10, 64)
	if err != nil {
		http.Error(w, "no rid", http.StatusBadRequest)
		return
	}
	sid := attr(tag, " sid='")
	if sid == nil {
		answer(w, r.open(attr(tag, " from='"), rid))
		return
	}
	v, ok := r.byID.Load(string(sid))
	if !ok {
		http.NotFound(w, req)
		return
	}
	s := v.(*session)
	if bytes.Contains(tag, []byte(" type='terminate'")) {
		r.end(string(sid), s)
		answer(w, nil)
		return
	}
	s.accept(r, rid, wt)
	wt.timer.Reset(wait)
	select {
	case <-wt.ready:
	case <-wt.timer.C:
		s.drop(rid, wt)
	case <-req.Context().Done():
		s.drop(rid, wt)
	}
	wt.timer.Stop()
	answer(w, wt.resp)
}

// open makes a session and returns the answer's inner bytes.
func (r *relay) open(name []byte, rid uint64) []byte {
	r.mu.Lock()
	r.last++
	sid := "relay" + strconv.FormatUint(r.last, 10)
	r.mu.Unlock()
	s := &session{name: string(name), next: rid + 1}
	r.byID.Store(sid, s)
	r.byName.Store(s.name, s)
	return []byte("<sid>" + sid + "</sid>")
}

// end forgets a session and answers the request it holds.
func (r *relay) end(sid string, s *session) {
	r.byID.Delete(sid)
	r.byName.CompareAndDelete(s.name, s)
	s.out.Lock()
	defer s.out.Unlock()
	if s.held != nil {
		s.release()
	}
}

// accept takes the request if it is the next one, and those that waited for
// it; an early one waits.
func (s *session) accept(r *relay, rid uint64, wt *waiter) {
	s.in.Lock()
	defer s.in.Unlock()
	if rid != s.next {
		if s.overtook == nil {
			s.overtook = make(map[uint64]*waiter, 1)
		}
		s.overtook[rid] = wt
		return
	}
	for wt != nil {
		r.forward(wt.req)
		s.hold(wt)
		s.next++
		if len(s.overtook) == 0 {
			return
		}
		wt = s.overtook[s.next]
		delete(s.overtook, s.next)
	}
}

// forward passes the messages of a request on, those for one target in one go.
func (r *relay) forward(req []byte) {
	i := bytes.IndexByte(req, '>')
	if i < 0 || req[i-1] == '/' {
		return
	}
	rest := req[i+1 : len(req)-len(bodyEnd)]
	var target, batch []byte
	for len(rest) > 0 {
		end := bytes.Index(rest, []byte("</message>"))
		if end < 0 {
			break
		}
		end += len("</message>")
		to := attr(rest[:end], " to='")
		if bytes.Equal(to, target) {
			batch = batch[:len(batch)+end]
		} else {
			r.deliver(target, batch)
			target, batch = to, rest[:end]
		}
		rest = rest[end:]
	}
	r.deliver(target, batch)
}

func (r *relay) deliver(to, batch []byte) {
	if len(batch) == 0 {
		return
	}
	v, ok := r.byName.Load(string(to))
	if !ok {
		return
	}
	s := v.(*session)
	s.out.Lock()
	defer s.out.Unlock()
	if s.held == nil {
		s.pending = append(s.pending, batch...)
		return
	}
	s.held.resp = append(s.held.resp, batch...)
	s.release()
}

// hold makes wt the held request; an older one is answered, and wt itself if
// something waits.
func (s *session) hold(wt *waiter) {
	s.out.Lock()
	defer s.out.Unlock()
	if s.held != nil {
		s.release()
	}
	s.held = wt
	if len(s.pending) > 0 {
		wt.resp = append(wt.resp, s.pending...)
		s.pending = s.pending[:0]
		s.release()
	}
}

// release answers the held request. The caller has locked out.
func (s *session) release() {
	s.held.ready <- struct{}{}
	s.held = nil
}

// drop takes a request back that waited too long or whose client is gone.
func (s *session) drop(rid uint64, wt *waiter) {
	s.in.Lock()
	if s.overtook[rid] == wt {
		delete(s.overtook, rid)
	}
	s.in.Unlock()
	s.out.Lock()
	defer s.out.Unlock()
	if s.held == wt {
		s.held = nil
		return
	}
	select { // answered in the same moment
	case <-wt.ready:
	default:
	}
}

var frames = sync.Pool{New: func() any { return new([]byte) }}

func answer(w http.ResponseWriter, inner []byte) {
	p := frames.Get().(*[]byte)
	defer frames.Put(p)
	b := append(append(append((*p)[:0], bodyOpen...), inner...), bodyEnd...)
	*p = b
	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	_, _ = w.Write(b)
}

func attr(b []byte, key string) []byte {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return nil
	}
	b = b[i+len(key):]
	if i = bytes.IndexByte(b, '\''); i < 0 {
		return nil
	}
	return b[:i:i]
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, max(n, 512))
	}
	return b[:n]
}
