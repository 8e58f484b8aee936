package redis

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// leaver has the client leave a master that lacks its replicas, by closing all
// connections: the next one asks the Sentinels anew who the master is. One that
// is back after a failover takes itself for the master until a Sentinel tells it
// otherwise, some ten seconds later, and the library stays with whom it reached.
type leaver struct {
	mu    sync.Mutex // guards what follows
	conns map[net.Conn]struct{}
	last  time.Time
}

// leaveAgain is how often the Sentinels are asked at most.
const leaveAgain = 250 * time.Millisecond

var _ goredis.Hook = (*leaver)(nil)

func newLeaver() *leaver { return &leaver{conns: make(map[net.Conn]struct{})} }

// DialHook implements [goredis.Hook].
func (l *leaver) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.conns[c] = struct{}{}
		k := known{c, l}
		if raw, ok := c.(syscall.Conn); ok { // the library looks there whether it was cut
			return knownSocket{k, raw}, nil
		}
		return k, nil
	}
}

// ProcessHook implements [goredis.Hook].
func (l *leaver) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if refused(cmd) {
			l.leave()
		}
		return err
	}
}

// ProcessPipelineHook implements [goredis.Hook].
func (l *leaver) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		if len(cmds) > 0 && lacking(cmds[len(cmds)-1]) || slices.ContainsFunc(cmds, refused) {
			l.leave()
		}
		return err
	}
}

// refused reports whether the master takes no writes because too few replicas
// follow it.
func refused(cmd goredis.Cmder) bool {
	err := cmd.Err()
	return err != nil && strings.Contains(err.Error(), "NOREPLICAS ")
}

// lacking reports whether the answer to a WAIT says that too few replicas have
// what was written.
func lacking(cmd goredis.Cmder) bool {
	if o, ok := cmd.(once); ok {
		cmd = o.Cmd
	}
	wait, ok := cmd.(*goredis.Cmd)
	if !ok || wait.Err() != nil || len(wait.Args()) != 3 || wait.Args()[0] != "WAIT" {
		return false
	}
	asked, _ := wait.Args()[1].(int)
	n, err := wait.Int()
	return err == nil && n < asked
}

func (l *leaver) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last) < leaveAgain {
		return
	}
	l.last = time.Now()
	for c := range l.conns {
		_ = c.Close() // its user finds it closed
	}
	clear(l.conns)
}

// known is a connection that its leaver knows until it is closed.
type known struct {
	net.Conn
	of *leaver
}

func (k known) Close() error {
	k.of.mu.Lock()
	delete(k.of.conns, k.Conn)
	k.of.mu.Unlock()
	return k.Conn.Close()
}

type knownSocket struct {
	known
	syscall.Conn
}

func (k knownSocket) Close() error { return k.known.Close() }
