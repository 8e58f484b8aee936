package live

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Redis may be away for as long as it takes to restart or to fail over.
const (
	insistFor   = 15 * time.Second
	insistAgain = 50 * time.Millisecond
)

// passing reports whether an error says that Redis is away for now, rather than
// what it thinks of a command.
func passing(err error) bool {
	if err == nil || errors.Is(err, goredis.ErrClosed) || errors.Is(err, context.Canceled) {
		return false
	}
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"} {
		if goredis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	var answer goredis.Error
	return !errors.As(err, &answer)
}

// insist carries out what may be carried out more than once, until Redis is
// there to answer.
func insist(ctx context.Context, do func() error) error {
	began := time.Now()
	for {
		err := do()
		if !passing(err) || time.Since(began) > insistFor {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(insistAgain):
		}
	}
}
