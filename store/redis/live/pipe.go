package live

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

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
// while a round trip is under way goes together with the next.
type pipe struct {
	client goredis.UniversalClient
	turns  [pipeTurns]chan act
	flying atomic.Int32 // round trips under way
	idle   sync.WaitGroup
	quit   chan struct{}
	once   sync.Once
}

const (
	pipeQueue = 8192
	pipeBatch = 256
	pipeTurns = 2 // round trips under way
	pipeAlone = 1 // of them when a caller does not make one more itself
)

func newPipe(client goredis.UniversalClient) *pipe {
	p := &pipe{client: client, quit: make(chan struct{})}
	for i := range p.turns {
		p.turns[i] = make(chan act, pipeQueue)
		p.idle.Add(1)
		go p.run(p.turns[i])
	}
	return p
}

func (p *pipe) close() {
	p.once.Do(func() { close(p.quit) })
	p.idle.Wait()
}

// start runs a script; done gets its answer.
func (p *pipe) start(a act) error {
	select {
	case <-p.quit:
		return goredis.ErrClosed
	default:
	}
	select {
	case p.turns[hashOf(a.keys[0])%pipeTurns] <- a:
		return nil
	default:
		return ErrBusy
	}
}

// carry runs scripts for a caller that may wait. While little is under way it
// makes the round trip itself, which spares it two changes of goroutines; then
// all is done when carry returns.
func (p *pipe) carry(acts []act) {
	if len(acts) == 0 {
		return
	}
	select {
	case <-p.quit:
	default:
		if p.flying.Add(1) <= pipeAlone {
			p.send(acts)
			p.flying.Add(-1)
			return
		}
		p.flying.Add(-1)
	}
	for _, a := range acts {
		if err := p.start(a); err != nil {
			a.fail(err)
		}
	}
}

// do runs a script and waits for its answer.
func (p *pipe) do(ctx context.Context, script *goredis.Script, keys []string, args ...any) (*goredis.Cmd, error) {
	got := make(chan *goredis.Cmd, 1)
	if err := p.start(act{script, keys, args, func(c *goredis.Cmd) { got <- c }}); err != nil {
		return nil, err
	}
	select {
	case c := <-got:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) run(acts chan act) {
	defer p.idle.Done()
	batch := make([]act, 0, pipeBatch)
	for {
		batch = batch[:0]
		select {
		case a := <-acts:
			batch = append(batch, a)
		case <-p.quit:
			refuse(acts)
			return
		}
	more:
		for len(batch) < pipeBatch {
			select {
			case a := <-acts:
				batch = append(batch, a)
			default:
				break more
			}
		}
		p.flying.Add(1)
		p.send(batch)
		p.flying.Add(-1)
		clear(batch)
	}
}

// refuse answers what nobody will send any more.
func refuse(acts chan act) {
	for {
		select {
		case a := <-acts:
			a.fail(goredis.ErrClosed)
		default:
			return
		}
	}
}

func (p *pipe) send(batch []act) {
	ctx := context.Background() // bounded by the client's timeouts
	cmds := make([]*goredis.Cmd, len(batch))
	line := p.client.Pipeline()
	for i, a := range batch {
		cmds[i] = a.script.EvalSha(ctx, line, a.keys, a.args...)
	}
	_, _ = line.Exec(ctx) // each command has its own error
	for i, a := range batch {
		if goredis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			// Redis was restarted or failed over; the script ran not at all.
			cmds[i] = a.script.Eval(ctx, p.client, a.keys, a.args...)
		}
		a.done(cmds[i])
	}
}
