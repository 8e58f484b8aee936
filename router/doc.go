// Package router decides who gets a stanza. Its heart is the table of
// RFC 6121 §8 ([Decide]): kind × address × resources → verdict, without I/O.
// Around it stand the interfaces that a single node fills with memory and a
// cluster with shared storage: [Registry], where each bound resource lives, and
// [Mailboxes], which take a stanza for sessions wherever they are.
//
//	r := router.New(router.Config{Domains: domains, Registry: reg, Mailboxes: box, Mux: m, ...})
//	err := r.HandleStanza(ctx, st) // st.From is the sender's full JID
package router

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// SID names a session: 128 random bits and, in a cluster, the node it began on.
// Whoever knows it can speak for the session, so it never goes into a log;
// [SID.Ref] does.
type SID string

// NewSID draws a session id.
func NewSID() SID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return SID(base64.RawURLEncoding.EncodeToString(b[:]))
}

// BornAt returns the id with the node that the session begins on; none stands
// alone.
func (s SID) BornAt(node NodeID) SID {
	if node == "" {
		return s
	}
	return s + "@" + SID(node)
}

// Birthplace returns the node that a session began on. It may be anywhere by
// now, unless nobody has signed in to it yet.
func (s SID) Birthplace() NodeID {
	_, node, _ := strings.Cut(string(s), "@")
	return NodeID(node)
}

// Ref returns a short hash that tells sessions apart in logs.
func (s SID) Ref() string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:6])
}

// NodeID names a node of the cluster.
type NodeID string

// ErrUndelivered says that no session took a stanza.
var ErrUndelivered = errors.New("no session took the stanza")

// ErrAway says that what the nodes share cannot be reached for now. Something
// done may have been done or not; it is to be done again, or refused as passing.
var ErrAway = errors.New("what the nodes share is away")

// Handler takes a stanza. It may wait for a store but never for a client, and
// never changes st.
type Handler interface {
	HandleStanza(ctx context.Context, st *stanza.Stanza) error
}

// Binding is one bound resource.
type Binding struct {
	Full     jid.JID
	SID      SID
	Node     NodeID
	Gen      uint64         // set by Registry.Bind; later bindings have higher ones
	Priority int8           // of the last presence
	Presence *stanza.Stanza // last presence broadcast; nil while unavailable
	Since    time.Time      // when that presence came, or the resource was bound
}

// Available reports whether the resource has sent presence.
func (b *Binding) Available() bool { return b.Presence != nil }

// Registry knows where each bound resource lives. An older generation never
// replaces a newer one. Returned slices are shared and must not be changed.
type Registry interface {
	// Bind enters b and returns its generation and the binding of the same full
	// JID that it replaces, if any.
	Bind(ctx context.Context, b Binding) (gen uint64, replaced *Binding, err error)
	// Update replaces a binding of the same generation; others are left alone.
	Update(ctx context.Context, b Binding) error
	// Unbind removes the binding of full with that generation, if it is there.
	Unbind(ctx context.Context, full jid.JID, gen uint64) error
	// Lookup returns the resources of an account in the order they were bound.
	Lookup(ctx context.Context, bare jid.JID) ([]Binding, error)
	// DropNode removes all bindings of a node.
	DropNode(ctx context.Context, node NodeID) error
}

// Mailboxes takes stanzas for sessions. What Post accepted is delivered to a
// session's client or handed back when the session ends.
type Mailboxes interface {
	// Post encodes st once and gives it to each session. It returns
	// ErrUndelivered if none of them took it.
	Post(ctx context.Context, to []SID, st *stanza.Stanza) error
	// Send gives each session its letter; sessions that have gone are passed
	// over. The error is trouble of the storage.
	Send(ctx context.Context, letters []Letter) error
}

// Letter is a stanza encoded for one session.
type Letter struct {
	To     SID
	Stanza *stanza.Stanza // shared by the letters of a broadcast, whose address is another's
	Frame  []byte
}

// Offline keeps messages for accounts without a resource. A *stanza.Error is
// sent to the sender.
type Offline interface {
	Store(ctx context.Context, owner jid.JID, st *stanza.Stanza) error
}

// Accounts knows who exists.
type Accounts interface {
	Exists(ctx context.Context, bare jid.JID) (bool, error)
}
