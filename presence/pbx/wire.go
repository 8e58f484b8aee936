package pbx

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

const (
	dialTime  = 10 * time.Second
	writeTime = 10 * time.Second
)

// Wire is a connection of lines of text to a switch.
type Wire struct{ conn net.Conn }

// Dial connects, by TLS if it is given how. The connection is closed when ctx ends, too.
func Dial(ctx context.Context, address string, secure *tls.Config) (*Wire, error) {
	d := net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var conn net.Conn
	var err error
	if secure == nil {
		conn, err = d.DialContext(ctx, "tcp", address)
	} else {
		conn, err = (&tls.Dialer{NetDialer: &d, Config: secure}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &Wire{conn}, nil
}

// Close closes the connection.
func (w *Wire) Close() error { return w.conn.Close() }

// Read implements io.Reader.
func (w *Wire) Read(p []byte) (int, error) { return w.conn.Read(p) }

// Send writes a text.
func (w *Wire) Send(text string) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(writeTime)) // fails as the write does
	if _, err := w.conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("write to the switch: %w", err)
	}
	return nil
}

// Heard is one thing that a switch has said, or why there is no more.
type Heard[T any] struct {
	What T
	Err  error
}

// waiting is how many things that a switch has said may wait to be looked at.
const waiting = 64

// Listen reads one thing after another until there is an error, which comes last, or ctx ends.
// The goroutine ends when the wire is closed and ctx has ended.
func Listen[T any](ctx context.Context, read func() (T, error)) <-chan Heard[T] {
	heard := make(chan Heard[T], waiting)
	go func() {
		defer close(heard)
		for {
			what, err := read()
			select {
			case heard <- Heard[T]{what, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return heard
}
