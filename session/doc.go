// Package session is one logged-in client above any transport: authentication,
// resource binding, what the client sends in order, what it is sent. It knows
// no wire; a door (BOSH, WebSocket) carries it by a [Conn] and calls
// [Session.Receive] for each element in order.
//
//	s, err := manager.Open(ctx, conn, session.Opening{To: "example.com"})
//	door sends s.Features()
//	err = s.Receive(ctx, node)                  // for each element
//	s.Ended(ctx, "inactivity", undelivered)     // once the transport is gone
//
// A session can be written down ([Session.Snapshot]) and taken up again, here or
// on another node ([Manager.Resume]).
package session

import (
	"context"
	"errors"
	"net/netip"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// ErrBacklog says that a client does not take what it is sent.
var ErrBacklog = errors.New("too much is waiting for the client")

// ErrEnded says that the session is over.
var ErrEnded = errors.New("session has ended")

// Frame is one encoded element for the client.
type Frame struct {
	Bytes  []byte         // shared with other receivers, read-only
	Stanza *stanza.Stanza // what to save if it is not delivered; nil for nothing
	Number uint64         // in the session's mailbox, 0 for what is not from there
}

// Conn is a transport below a session. It has no Read: the door calls
// Session.Receive.
type Conn interface {
	// Write queues frames in order. It never blocks; ErrBacklog, which ends the
	// session, says that none was queued.
	Write(frames ...Frame) error
	// Close ends the transport after what is queued; a nil reason is an orderly
	// end. The door calls Session.Ended in its own time.
	Close(reason *stream.Error) error
	Info() ConnInfo
}

// ConnInfo tells about a transport.
type ConnInfo struct {
	Transport string // "bosh", "websocket"
	Remote    netip.AddrPort
	Secure    bool // by TLS, or it never leaves the machine
	UserAgent string
	Moves     bool // the door writes the session down, so that it can go on elsewhere
}

// Opening is what a client says when it opens or restarts a stream.
type Opening struct {
	To   string // domain
	From string // who it is going to log in as; only a hint
	Lang string
}

// Authenticator checks who a client is.
type Authenticator interface {
	// Mechanisms lists what to offer those of a domain on a channel, best first.
	Mechanisms(domain string, ch sasl.Channel) []string
	// Begin starts an exchange; the error is a *sasl.Failure for the client.
	Begin(ctx context.Context, mech, domain string, ch sasl.Channel) (sasl.Exchange, error)
}

// Hints adds to the offer of SASL mechanisms what a client can use before it
// signs in.
type Hints interface {
	// AppendHints appends encoded elements for whoever says to be user; whether
	// that is true or the user exists must not show. It does not block.
	AppendHints(dst []byte, user jid.JID) []byte
}

// Observer is told when a bound session is over, however it ended.
type Observer interface {
	// SessionEnded gets the last state of the binding, which is no longer in
	// the registry, and what the session was interested in. It is called once
	// more, with a binding that is not available, for a session whose resource
	// another one has taken.
	SessionEnded(ctx context.Context, b router.Binding, in *router.Interest)
}

// Keeper keeps bound sessions for the other nodes of a cluster.
type Keeper interface {
	// Enter has stanzas for the session accepted, before anybody knows of it.
	Enter(ctx context.Context, sid router.SID, full jid.JID, to Receiver) error
	// Passed says up to which number a transport that cannot be taken up
	// elsewhere has passed frames on.
	Passed(sid router.SID, number uint64)
	// End ends a session that is on another node, after what it was sent before.
	End(ctx context.Context, sid router.SID, condition, reason string) error
	// Drop forgets a session that ended.
	Drop(ctx context.Context, sid router.SID) error
	// Await waits for as long as it cannot be reached; an error says that it is
	// not worth waiting for any more.
	Await(ctx context.Context) error
	// Leave stops delivering to a session that goes on elsewhere.
	Leave(sid router.SID)
}

// Receiver takes the frames of a session's mailbox in their order.
type Receiver interface {
	DeliverNumbered(st *stanza.Stanza, frame []byte, number uint64) error
}

// Metrics counts what sessions do. Calls are frequent and must be cheap.
type Metrics interface {
	Login(mechanism, result string)
	Received(kind stanza.Kind)
	Sent(kind stanza.Kind)
	Ended(transport, reason string)
}
