package app

import (
	"net"
	"time"
)

// line connects to other nodes. A node behind a network that was cut neither
// answers nor refuses, so its system's silence has to end the connection; a node
// that merely takes its time is not meant, for its system does answer.
var line = &net.Dialer{
	Timeout:         time.Second,
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: 500 * time.Millisecond, Count: 2},
	Control:         quietFor(time.Second),
}
