//go:build !linux

package longpoll

import (
	"context"
	"net"
)

// Engine is not there on this system.
type Engine struct{}

type conn struct{ seq uint32 }

// New returns ErrUnsupported.
func New(Config) (*Engine, error) { return nil, ErrUnsupported }

// Add returns ErrUnsupported.
func (*Engine) Add(net.Conn) error { return ErrUnsupported }

// Shutdown does nothing.
func (*Engine) Shutdown(context.Context) error { return nil }

// Exchange is one request and whoever answers it.
type Exchange struct {
	conn *conn
	seq  uint32
}

// Respond does nothing.
func (Exchange) Respond(*Response) {}

func newExchange(*conn, origin) Exchange { return Exchange{} }
