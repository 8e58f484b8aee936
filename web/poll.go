package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/deskline/deskline/internal/longpoll"
)

// Poller is a door that holds very many requests. It answers those that the
// engine for long polling takes; it is an http.Handler besides for all others.
type Poller interface {
	http.Handler
	// MaxBody is how large a body may be for Poll to get it.
	MaxBody() int
	// Poll is [longpoll.Handler].Serve. The request tells the client's address
	// and safety, behind trusted proxies too.
	Poll(r *longpoll.Request) (longpoll.Held, bool)
}

// HandlePoll registers a door for exactly this path. It is called before Serve.
func (e *Edge) HandlePoll(path string, p Poller) {
	e.Handle(path, p)
	e.polls[path] = p
}

// polling is the [longpoll.Handler] in front of the doors. What it lets through
// and says of origins is as in [Edge.serve].
type polling struct{ edge *Edge }

func (p polling) MaxBody(path []byte) int {
	if door, ok := p.edge.polls[string(path)]; ok {
		return door.MaxBody()
	}
	return -1
}

func (p polling) Serve(r *longpoll.Request) (longpoll.Held, bool) {
	pol := p.edge.policy.Load()
	from := pol.peer(r, r.Remote, r.Secure)
	if !pol.answers(&from) {
		return nil, false
	}
	r.Remote, r.Secure = from.remote, from.secure
	if origin := r.Get("origin"); origin != "" {
		allow, ok := pol.allowOrigin(origin, r.Host())
		if r.VaryOrigin = allow != "*"; ok {
			r.AllowOrigin = allow
		}
	}
	return p.edge.polls[r.Path].Poll(r)
}

// servePolls serves l with the engine for long polling in front of net/http, or
// with net/http alone where there is none.
func (e *Edge) servePolls(l *listener) error {
	engine, err := e.startPolls(l.Addr())
	if errors.Is(err, longpoll.ErrUnsupported) {
		return e.server.Serve(l)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	rest := &both{e.queue, l}
	accepted := make(chan error, 1)
	go func() {
		accepted <- e.accept(l, engine)
		_ = rest.Close() // Serve has to end too
	}()
	err = e.server.Serve(rest)
	_ = rest.Close() // as net/http leaves it
	if cause := <-accepted; !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, cause)
	}
	return err
}

func (e *Edge) startPolls(addr net.Addr) (*longpoll.Engine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return nil, http.ErrServerClosed
	case e.cfg.Std:
		return nil, longpoll.ErrUnsupported
	}
	e.queue = longpoll.NewQueue(addr)
	engine, err := longpoll.New(longpoll.Config{
		Handler: polling{e}, HandOver: e.handOver, Closed: func() { e.open.Add(-1) }, TLS: e.cfg.TLS,
		HeaderTimeout: e.cfg.ReadHeaderTimeout, BodyTimeout: e.cfg.ReadTimeout, WriteTimeout: e.cfg.WriteTimeout,
		IdleTimeout: e.cfg.IdleTimeout, MaxHead: min(e.cfg.MaxHeader, maxPollHead), Log: e.cfg.Log,
	})
	e.engine = engine
	return engine, err
}

// maxPollHead is more than browsers send. net/http takes larger ones, up to
// what is configured.
const maxPollHead = 8 << 10

func (e *Edge) stopPolls(ctx context.Context) error {
	e.mu.Lock()
	engine := e.engine
	e.engine, e.stopped = nil, true
	e.mu.Unlock()
	if engine == nil {
		return nil
	}
	return engine.Shutdown(ctx)
}

// accept gives the engine all connections until l is closed. Want of
// descriptors passes, as net/http has it.
func (e *Edge) accept(l *listener, engine *longpoll.Engine) error {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.As(err, &temporary) && temporary.Temporary():
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			e.cfg.Log.Error("accept", "err", err, "again_in", pause)
			time.Sleep(pause)
			continue
		default:
			return err
		}
		c := nc.(*conn)
		if err := engine.Add(c.Conn); err != nil {
			e.queue.Push(c)
		}
	}
}

// handOver gives net/http a connection that is not for the engine.
func (e *Edge) handOver(h longpoll.Connection) {
	c := &conn{Conn: h.Conn, edge: e, remote: h.Remote, head: h.Head, sniffed: true}
	if h.TLS != nil {
		c.tls.Store(h.TLS)
	}
	e.queue.Push(c)
}

// both are the queue and the listener behind it.
type both struct {
	*longpoll.Queue
	inner net.Listener
}

func (b *both) Close() error { return errors.Join(b.Queue.Close(), b.inner.Close()) }
