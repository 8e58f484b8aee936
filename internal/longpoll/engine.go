package longpoll

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config sets up an engine. A duration of 0 means no limit.
type Config struct {
	Handler Handler
	// HandOver gives a connection to the general server. It must not wait.
	HandOver func(Connection)
	// Closed, if not nil, is told of each connection that has ended here.
	Closed func()

	TLS           *tls.Config   // nil = plain only
	HeaderTimeout time.Duration // from the first byte waited for to the end of the head, the TLS handshake included
	BodyTimeout   time.Duration // of a whole body
	WriteTimeout  time.Duration // without anything of a response being taken
	IdleTimeout   time.Duration // between two requests
	MaxHead       int           // larger ones are not of the plain sort; 0 = 8 KiB
	Log           *slog.Logger
}

// Connection is one that is handed over.
type Connection struct {
	net.Conn                // the network connection
	TLS      *tls.Conn      // on top of it; nil = plain
	Head     []byte         // what was read already, of the innermost of the two
	Remote   netip.AddrPort // the peer
}

// ErrUnsupported says that there is no engine for this system or connection.
var ErrUnsupported = errors.New("long polling is left to the general server")

const (
	defaultMaxHead = 8 << 10
	lingerTime     = 500 * time.Millisecond // for the client to take the last response
)
