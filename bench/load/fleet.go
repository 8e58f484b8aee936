//go:build linux

package load

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskline/deskline/bench/wire"
)

// Config says where the server is and who signs in.
type Config struct {
	URL      string // of the BOSH door, plain HTTP
	Domain   string
	Prefix   string // users are named Prefix0, Prefix1, …
	Password string // of all of them
	Mech     string // PLAIN, SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512; "" is PLAIN
	Conns    int    // keep-alive connections a session; 0 is 2
	Text     int    // characters of a message's text; 0 is 100
	Relay    bool   // the server is the bare relay: nobody signs in
	Odd      string // where users of odd numbers sign in, if not at URL
	Beside   Meter  // the time of a further process that serves them; may be nil
}

type sockaddr = unix.SockaddrInet4

// Fleet is a set of sessions on one server.
type Fleet struct {
	Resent    int // requests sent again because their connection died
	Overtaken int // responses that arrived before an earlier one

	cfg      Config
	nodes    [2]sockaddr // of users with even and with odd numbers
	loop     *loop
	sessions []*session
	head     []byte // HTTP request up to the value of Content-Length
	creation []byte
	scratch  []byte
	padding  string
	salts    saltCache

	starting    int // sessions signing in now
	ready       int
	onReady     func(*session)
	onDelivered func(*Stream, int)
	errs        []error
	moved       bool // the node was killed: connections are lost more than once
	back        int  // sessions that had an answer since

	streams  []*Stream
	book     Ledger
	presence struct{ arrived, repeats int }
	fan      *fan // of a phase of presence
}

// NewFleet prepares a fleet; no connection is made yet.
func NewFleet(cfg Config) (*Fleet, error) {
	if cfg.Odd == "" {
		cfg.Odd = cfg.URL
	}
	u, addr, err := resolve(cfg.URL)
	if err != nil {
		return nil, err
	}
	_, odd, err := resolve(cfg.Odd)
	if err != nil {
		return nil, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	if cfg.Mech == "" {
		cfg.Mech = "PLAIN"
	}
	if cfg.Conns == 0 {
		cfg.Conns = 2
	}
	if cfg.Text == 0 {
		cfg.Text = 100
	}
	return &Fleet{
		cfg: cfg, nodes: [2]sockaddr{addr, odd}, loop: l, salts: saltCache{},
		head: []byte("POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host +
			"\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: "),
		creation: []byte(" content='text/xml; charset=utf-8' hold='1' wait='55' ver='1.11' to='" + cfg.Domain +
			"' xml:lang='en' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh' from='"),
		padding: strings.Repeat("deskline bench ", cfg.Text/15+1)[:cfg.Text],
	}, nil
}

// resolve finds where a door is.
func resolve(door string) (u *url.URL, addr sockaddr, err error) {
	if u, err = url.Parse(door); err != nil {
		return nil, addr, fmt.Errorf("parse URL: %w", err)
	}
	if u.Scheme != "http" {
		return nil, addr, fmt.Errorf("URL %s: only plain HTTP is supported", door)
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	tcp, err := net.ResolveTCPAddr("tcp4", host)
	if err != nil {
		return nil, addr, fmt.Errorf("resolve %s: %w", host, err)
	}
	return u, sockaddr{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}, nil
}

// Close drops all connections. It does not end the sessions.
func (f *Fleet) Close() { f.loop.close() }

// Ready is how many sessions are signed in.
func (f *Fleet) Ready() int { return f.ready }

// SignIn signs count users in, from the first-th, at most parallel of them at a
// time, and returns when all are there with their rosters and own presence. A
// session that fails is an error.
func (f *Fleet) SignIn(first, count, parallel int, limit time.Duration) error {
	target := f.ready + count
	next := first
	start := func() {
		for f.starting < parallel && next < first+count && len(f.errs) == 0 {
			f.begin(next)
			next++
		}
	}
	f.onReady = func(*session) { start() }
	start()
	ok, err := f.loop.run(func() bool { return f.ready >= target || len(f.errs) > 0 }, limit)
	f.onReady = nil
	switch {
	case err != nil:
		return err
	case len(f.errs) > 0:
		return f.errs[0]
	case !ok:
		return fmt.Errorf("%d of %d sessions signed in after %s", f.ready, target, limit)
	}
	return nil
}

func (f *Fleet) begin(index int) {
	s := &session{
		f: f, index: index, user: f.cfg.Prefix + strconv.Itoa(index),
		rid: 1 + rand.Uint64N(1<<40), state: stateCreating, early: map[uint64][]byte{}, began: f.loop.now,
	}
	s.expect = s.rid
	for range f.cfg.Conns {
		s.conns = append(s.conns, &conn{s: s, fd: -1})
	}
	for len(f.sessions) <= index {
		f.sessions = append(f.sessions, nil)
	}
	f.sessions[index] = s
	f.starting++
	f.loop.mark(s)
}

func (f *Fleet) signedIn(s *session) {
	f.starting--
	f.ready++
	if f.onReady != nil {
		f.onReady(s)
	}
}

func (f *Fleet) failed(s *session, err error) {
	if s.state >= stateReady {
		f.ready--
	} else {
		f.starting--
	}
	f.errs = append(f.errs, err)
}

// Leave ends the sessions of users first … first+count-1 and waits for it.
func (f *Fleet) Leave(first, count int, limit time.Duration) error {
	var leaving []*session
	for _, s := range f.sessions[first:min(first+count, len(f.sessions))] {
		if s != nil && s.state == stateReady {
			f.ready--
			s.end()
			leaving = append(leaving, s)
		}
	}
	_, err := f.loop.run(func() bool {
		for len(leaving) > 0 && leaving[0].state == stateGone {
			leaving = leaving[1:]
		}
		return len(leaving) == 0
	}, limit)
	for _, s := range leaving {
		s.gone()
	}
	return err
}

// Idle lets the sessions rest (and answer what they are asked) for a while.
func (f *Fleet) Idle(d time.Duration) error {
	_, err := f.loop.run(func() bool { return len(f.errs) > 0 }, d)
	if err == nil && len(f.errs) > 0 {
		err = f.errs[0]
	}
	return err
}

// message books the arrival of one message.
func (f *Fleet) message(s *session, el wire.Element) {
	id, place, ok := ParseMark(el.Raw)
	if !ok || s.stream == nil || s.stream.ID != id {
		f.book.Count(Strange)
		return
	}
	v := s.stream.Arrive(place)
	f.book.Count(v)
	if v <= OutOfOrder && f.onDelivered != nil {
		f.onDelivered(s.stream, place)
	}
}
