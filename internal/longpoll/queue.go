package longpoll

import (
	"net"
	"sync"
)

// Queue is a net.Listener of connections that came another way: of those that
// the engine hands over to a general server.
type Queue struct {
	addr net.Addr
	some chan struct{} // has room for one; there are connections
	done chan struct{}

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	closed bool
}

// NewQueue returns an empty queue that says it listens at addr.
func NewQueue(addr net.Addr) *Queue {
	return &Queue{addr: addr, some: make(chan struct{}, 1), done: make(chan struct{})}
}

// Push gives a connection to Accept. It never waits; a closed queue closes the
// connection.
func (q *Queue) Push(c net.Conn) {
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.conns = append(q.conns, c)
	}
	q.mu.Unlock()
	if closed {
		_ = c.Close() // nobody will have it
		return
	}
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// Accept implements net.Listener.
func (q *Queue) Accept() (net.Conn, error) {
	for {
		q.mu.Lock()
		if len(q.conns) > 0 {
			c := q.conns[0]
			q.conns = q.conns[1:]
			q.mu.Unlock()
			return c, nil
		}
		q.mu.Unlock()
		select {
		case <-q.some:
		case <-q.done:
			return nil, net.ErrClosed
		}
	}
}

// Close implements net.Listener. Connections that nobody accepted are closed.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return net.ErrClosed
	}
	q.closed = true
	close(q.done)
	for _, c := range q.conns {
		_ = c.Close()
	}
	q.conns = nil
	return nil
}

// Addr implements net.Listener.
func (q *Queue) Addr() net.Addr { return q.addr }
