package app

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// quietFor ends a connection when what was sent is not confirmed for so long.
func quietFor(d time.Duration) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
		}
		return errors.Join(c.Control(set), err)
	}
}
