//go:build linux

package load

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskline/deskline/bench/wire"
	"github.com/deskline/deskline/discovery"
)

// Gets is the result of asking for users' nodes.
type Gets struct {
	Rate float64 `json:"rate"`   // answers a second
	CPU  float64 `json:"cpu_us"` // server µs per answer
}

// Discover asks the server with the door for the nodes of users, named as user
// says, over conns connections for d. With same the clients have the answers
// already and ask whether they are still true.
func Discover(door, user string, users, conns int, same bool, d time.Duration, cpu Meter) (g Gets, err error) {
	u, err := url.Parse(door)
	if err != nil {
		return g, fmt.Errorf("parse URL: %w", err)
	}
	var askers []*asker
	for i := range conns {
		a, err := newAsker(u.Host, fmt.Sprintf(user, i%users), same)
		if err != nil {
			return g, err
		}
		defer func() { _ = a.conn.Close() }()
		askers = append(askers, a)
	}
	before, err := cpu()
	if err != nil {
		return g, err
	}
	began := time.Now()
	var sum atomic.Int64
	errs := make([]error, conns)
	var wg sync.WaitGroup
	for i, a := range askers {
		wg.Go(func() {
			for ; errs[i] == nil && time.Since(began) < d; sum.Add(1) {
				_, errs[i] = a.ask()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return g, err
		}
	}
	after, err := cpu()
	g.Rate = float64(sum.Load()) / time.Since(began).Seconds()
	g.CPU = float64((after - before).Microseconds()) / float64(max(sum.Load(), 1))
	return g, err
}

// asker is one connection that asks for one user's nodes.
type asker struct {
	conn net.Conn
	out  []byte
	in   []byte
	want int // status
}

func newAsker(host, user string, same bool) (*asker, error) {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	request := "GET " + discovery.Path + "?user=" + url.QueryEscape(user) + " HTTP/1.1\r\nHost: " + host + "\r\n"
	a := &asker{conn: conn, out: []byte(request + "\r\n"), in: make([]byte, 4096), want: 200}
	head, err := a.ask()
	if err != nil || !same {
		return a, err
	}
	tag := wire.Header(head, "etag")
	a.out = []byte(request + "If-None-Match: " + string(tag) + "\r\n\r\n")
	a.want = 304
	_, err = a.ask()
	return a, err
}

// ask sends the request and reads its response.
func (a *asker) ask() ([]byte, error) {
	if _, err := a.conn.Write(a.out); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	for got := 0; ; {
		n, err := a.conn.Read(a.in[got:])
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		got += n
		r, used, err := wire.ParseResponse(a.in[:got])
		if err == nil && used > 0 && r.Status != a.want {
			err = fmt.Errorf("status %d", r.Status)
		}
		if err != nil || used > 0 {
			return a.in[:got], err
		}
	}
}
