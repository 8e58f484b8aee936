package live

import (
	"context"
	"errors"
	"fmt"
	"net"

	goredis "github.com/redis/go-redis/v9"
)

// errDeaf says that the node does not hear itself.
var errDeaf = errors.New("this node's own word does not come back")

// echo rings the node's own bell, for receive.
func (l *Shared) echo(ctx context.Context) error {
	if err := l.cfg.Client.Publish(ctx, l.bell(), "").Err(); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	return nil
}

// receive waits for the next message. One comes with each renewal of the lease.
// If none does, the subscription may be at a server that was the master: one
// that is killed and is back before the Sentinels have chosen another takes
// subscriptions, and nobody rings there.
func (l *Shared) receive(ctx context.Context, sub *goredis.PubSub) (any, error) {
	msg, err := sub.ReceiveTimeout(ctx, l.cfg.Lease)
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		return nil, errDeaf
	}
	return msg, err
}

// Prove reports whether the node has its lease. One that had lapsed is taken
// anew, which shows that Redis can be reached.
func (l *Shared) Prove(ctx context.Context) bool {
	if l.Sure() {
		return true
	}
	select {
	case l.lease <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-l.lease }()
	return l.renew(ctx) == nil
}
