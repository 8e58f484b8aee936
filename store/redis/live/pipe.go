package live

import (
	"context"
	"errors"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// ErrBusy says that more waits for Redis than may.
var ErrBusy = errors.New("too much waits for Redis")

// act is one command that waits for its turn.
type act struct {
	script *goredis.Script
	keys   []string
	args   []any
	done   func(*goredis.Cmd) // called once, by whoever makes the round trip
}

// fail answers an act that is not carried out.
func (a *act) fail(err error) {
	c := goredis.NewCmd(context.Background())
	c.SetErr(err)
	a.done(c)
}

// pipe gathers the scripts that many callers run at the same time: what comes
// while a round trip is under way goes together with the next. So the busier it
// is, the less a script costs.
type pipe struct {
	client goredis.UniversalClient
	turn   chan struct{} // wakes a worker to make the next round trip
	quit   chan struct{} // closed by close
	idle   sync.WaitGroup

	mu     sync.Mutex // guards all below
	queue  []act
	flying bool       // a round trip is under way, or a worker is about to make it
	landed *sync.Cond // on mu: flying has become false
	closed bool
}

const (
	pipeQueue   = 16384
	pipeBatch   = 512
	pipeWorkers = 2 // one is told the answers while the other makes the next round trip
)

func newPipe(client goredis.UniversalClient) *pipe {
	p := &pipe{client: client, turn: make(chan struct{}, 1), quit: make(chan struct{})}
	p.landed = sync.NewCond(&p.mu)
	for range pipeWorkers {
		p.idle.Go(p.run)
	}
	return p
}

// close lets the round trip under way end and refuses all others.
func (p *pipe) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	refused := p.queue
	p.queue = nil
	for p.flying {
		p.landed.Wait()
	}
	p.mu.Unlock()
	if first {
		close(p.quit)
	}
	for i := range refused {
		refused[i].fail(goredis.ErrClosed)
	}
	p.idle.Wait()
}

// start runs a script; done gets its answer.
func (p *pipe) start(a act) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enqueue(a); err != nil {
		return err
	}
	if !p.flying {
		p.flying = true
		p.turn <- struct{}{} // there is room: nobody has the turn
	}
	return nil
}

// enqueue is called with the lock held.
func (p *pipe) enqueue(acts ...act) error {
	switch {
	case p.closed:
		return goredis.ErrClosed
	case len(p.queue)+len(acts) > pipeQueue:
		return ErrBusy
	}
	p.queue = append(p.queue, acts...)
	return nil
}

// carry runs scripts for a caller that may wait. If no round trip is under way
// it makes one itself, which spares it two changes of goroutines; then all is
// done when carry returns.
func (p *pipe) carry(acts []act) {
	if len(acts) == 0 {
		return
	}
	p.mu.Lock()
	alone := !p.flying && !p.closed
	var err error
	if alone {
		p.flying = true
	} else {
		err = p.enqueue(acts...)
	}
	p.mu.Unlock()
	if alone {
		p.send(acts)
	}
	if err != nil {
		for i := range acts {
			acts[i].fail(err)
		}
	}
}

// do runs a script and waits for its answer.
func (p *pipe) do(ctx context.Context, script *goredis.Script, keys []string, args ...any) (*goredis.Cmd, error) {
	got := make(chan *goredis.Cmd, 1)
	p.carry([]act{{script, keys, args, func(c *goredis.Cmd) { got <- c }}})
	select {
	case c := <-got:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run is a worker.
func (p *pipe) run() {
	for {
		select {
		case <-p.turn:
		case <-p.quit:
			return
		}
		p.mu.Lock()
		batch := p.queue
		p.queue = nil
		if len(batch) > pipeBatch {
			batch, p.queue = batch[:pipeBatch:pipeBatch], batch[pipeBatch:]
		}
		p.mu.Unlock()
		p.send(batch)
	}
}

// land gives the turn away.
func (p *pipe) land() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		p.turn <- struct{}{} // there is room: this one had the turn
		return
	}
	p.flying = false
	p.landed.Broadcast()
}

// send makes a round trip and then tells the answers; it is called by whoever
// has the turn.
func (p *pipe) send(batch []act) {
	ctx := context.Background() // bounded by the client's timeouts
	cmds := make([]*goredis.Cmd, len(batch))
	if len(batch) > 0 {
		line := p.client.Pipeline()
		for i := range batch {
			a := &batch[i]
			cmds[i] = a.script.EvalSha(ctx, line, a.keys, a.args...)
		}
		_, _ = line.Exec(ctx) // each command has its own error
	}
	p.land()
	for i := range batch {
		a := &batch[i]
		if goredis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			// Redis was restarted or failed over; the script ran not at all.
			cmds[i] = a.script.Eval(ctx, p.client, a.keys, a.args...)
		}
		a.done(cmds[i])
	}
}
