package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/router"
)

var (
	// ErrUnavailable says that Redis cannot serve for now: it is away, loads its
	// data, is full, or changes masters. A write that got it may have been kept
	// or not; later ones succeed once the cause is gone.
	// It is a router.ErrAway.
	ErrUnavailable error = unavailable{}
	// ErrNewer says that the data were written by a newer version.
	ErrNewer = errors.New("store was written by a newer version")
	// ErrUnfit says that Redis is set up so that data would be lost, or too old.
	ErrUnfit = errors.New("redis is not fit for a store")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store closed")
)

type unavailable struct{}

func (unavailable) Error() string { return "store unavailable" }

func (unavailable) Is(target error) bool { return target == router.ErrAway }

// outcome is what an error says about the command that got it.
type outcome int

const (
	final     outcome = iota // an answer; trying again would not change it
	untouched                // surely not carried out, and may be soon
	noScript                 // not carried out, for the server does not know the script
	unknown                  // perhaps carried out
)

// passing are beginnings of answers that refuse a command before it does
// anything, for a reason that goes away.
var passing = []string{
	"LOADING ", "READONLY ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK ", "NOREPLICAS ", "BUSY ",
	"ERR max number of clients",
}

func outcomeOf(err error) outcome {
	var answer goredis.Error
	if errors.As(err, &answer) {
		return outcomeOfAnswer(answer.Error())
	}
	var op *net.OpError
	switch {
	case errors.Is(err, goredis.ErrClosed), errors.Is(err, ErrClosed):
		return final
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, goredis.ErrPoolTimeout), errors.Is(err, errNoMaster):
		return untouched
	}
	return unknown
}

func outcomeOfAnswer(text string) outcome {
	if strings.HasPrefix(text, "NOSCRIPT") {
		return noScript
	}
	for _, p := range passing {
		// Redis 6 puts a script's errors into a sentence of its own.
		if strings.HasPrefix(text, p) || strings.HasPrefix(text, "ERR Error running script") && strings.Contains(text, "-"+p) {
			return untouched
		}
	}
	return final
}

// errNoMaster is wrapped by errors of looking for the server.
var errNoMaster = errors.New("no master is known")

// away reports that the server as a whole does not serve, not only a command.
func away(err error) bool {
	var answer goredis.Error
	if !errors.As(err, &answer) {
		return true
	}
	text := answer.Error()
	return strings.HasPrefix(text, "LOADING ") || strings.HasPrefix(text, "MASTERDOWN ")
}

// classify wraps what is Redis's or the network's fault in ErrUnavailable.
func classify(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrUnavailable), errors.Is(err, ErrClosed), errors.Is(err, ErrUnfit):
		return err
	case errors.Is(err, goredis.ErrClosed):
		return ErrClosed
	case errors.Is(err, context.Canceled):
		return err
	}
	var answer goredis.Error
	if errors.As(err, &answer) && outcomeOf(err) == final {
		for _, p := range []string{"OOM ", "MISCONF ", "NOAUTH ", "WRONGPASS ", "NOPERM "} {
			if strings.Contains(answer.Error(), p) {
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
		}
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
