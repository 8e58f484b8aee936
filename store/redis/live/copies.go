package live

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
)

// copies is a client whose pipelines are answered when so many replicas have
// what was written.
type copies struct {
	goredis.UniversalClient
	replicas int
	patience time.Duration
}

func (c copies) Pipeline() goredis.Pipeliner { return &copied{c.UniversalClient.Pipeline(), c} }

// Eval is for scripts that the server did not know.
func (c copies) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	line := c.Pipeline()
	cmd := line.Eval(ctx, script, keys, args...)
	_, _ = line.Exec(ctx) // the command has it
	return cmd
}

type copied struct {
	goredis.Pipeliner
	c copies
}

// Exec implements [goredis.Pipeliner]. What too few replicas have is an error of
// those that pass: it was done and is to be done again.
func (p *copied) Exec(ctx context.Context) ([]goredis.Cmder, error) {
	wait := p.Do(ctx, "WAIT", p.c.replicas, p.c.patience.Milliseconds())
	cmds, err := p.Pipeliner.Exec(ctx)
	if len(cmds) > 0 {
		cmds = cmds[:len(cmds)-1]
	}
	n, failed := wait.Int()
	if failed == nil && n >= p.c.replicas {
		return cmds, err
	}
	if failed == nil {
		failed = fmt.Errorf("%w: %d replicas have the write, redis.replicas asks for %d", router.ErrAway, n, p.c.replicas)
	}
	for _, cmd := range cmds {
		if cmd.Err() == nil {
			cmd.SetErr(failed)
		}
	}
	return cmds, failed
}
