// Package mux hands IQ requests to the handlers registered for their payload
// (RFC 6120 §8.2.3). What is registered is what service discovery (XEP-0030)
// tells, so the two cannot drift apart. An IQ nobody handles is answered with
// service-unavailable (RFC 6120 §8.4), never dropped.
//
//	m := mux.New(log)
//	m.Handle(mux.Route{Name: stanza.Name{Space: "urn:xmpp:ping", Local: "ping"}, Get: ping, Scope: mux.ScopeServer | mux.ScopeAccount})
package mux

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Scope says at which addresses a handler answers.
type Scope uint8

// ScopeServer is the domain itself, ScopeAccount a user's bare address (or no address,
// which means the sender's own account, RFC 6120 §10.3.3).
const (
	ScopeServer Scope = 1 << iota
	ScopeAccount
)

// Handler answers one request. The reply is the encoded content of the result,
// nil for an empty one. A *stanza.Error is sent to the client; any other error
// becomes internal-server-error and is logged. It may wait for a store, never
// for another session.
type Handler func(ctx context.Context, req *Request) (reply []byte, err error)

// Request is an IQ of type get or set. Its stanza is read-only.
type Request struct {
	Stanza  *stanza.Stanza
	Payload stanza.Child
	Set     bool
	Scope   Scope
	Owner   jid.JID // the account or domain asked
	Self    bool    // the owner asks for the own account
}

// Element returns the payload as a tree, or bad-request.
func (r *Request) Element() (*etree.Element, error) {
	el, err := r.Stanza.Element(r.Payload)
	if err != nil {
		return nil, stanza.ErrBadRequest("")
	}
	return el, nil
}

// Route registers handlers for one payload. A nil handler refuses its type
// with not-allowed.
type Route struct {
	Name     stanza.Name
	Get, Set Handler
	Scope    Scope
	Public   bool   // at account scope others than the owner may ask
	Feature  string // disco feature; "" is Name.Space, "-" none
}

// Mux is the table of handlers. It is filled at start and read-only afterwards.
type Mux struct {
	log      *slog.Logger
	routes   map[key]Route
	features map[Scope][]string
}

type key struct {
	name  stanza.Name
	scope Scope
}

// New returns an empty table.
func New(log *slog.Logger) *Mux {
	return &Mux{log: log, routes: map[key]Route{}, features: map[Scope][]string{}}
}

// Handle registers rt. It panics if its payload is taken already.
func (m *Mux) Handle(rt Route) {
	for _, scope := range []Scope{ScopeServer, ScopeAccount} {
		if rt.Scope&scope == 0 {
			continue
		}
		k := key{rt.Name, scope}
		if _, taken := m.routes[k]; taken {
			panic("mux: two handlers for " + rt.Name.Space + " " + rt.Name.Local)
		}
		m.routes[k] = rt
		switch rt.Feature {
		case "":
			m.Feature(scope, rt.Name.Space)
		case "-":
		default:
			m.Feature(scope, rt.Feature)
		}
	}
}

// Feature announces ns at the addresses of scope without a handler.
func (m *Mux) Feature(scope Scope, ns string) {
	for _, s := range []Scope{ScopeServer, ScopeAccount} {
		if scope&s != 0 && !slices.Contains(m.features[s], ns) {
			m.features[s] = append(m.features[s], ns)
			slices.Sort(m.features[s])
		}
	}
}

// Features returns what scope announces, sorted.
func (m *Mux) Features(scope Scope) []string { return slices.Clone(m.features[scope]) }

// Serve answers st, an IQ request to owner, and returns the reply to send.
func (m *Mux) Serve(ctx context.Context, st *stanza.Stanza, scope Scope, owner jid.JID) *stanza.Stanza {
	reply, err := m.serve(ctx, st, scope, owner)
	if err == nil {
		r := st.Result(reply)
		return r
	}
	var e *stanza.Error
	if !errors.As(err, &e) {
		m.log.ErrorContext(ctx, "IQ handler", "jid", st.From, "err", err)
		e = stanza.ErrInternal()
	}
	return st.ErrorReply(e)
}

func (m *Mux) serve(ctx context.Context, st *stanza.Stanza, scope Scope, owner jid.JID) ([]byte, error) {
	p, ok := st.Payload()
	if !ok || len(st.Children) != 1 {
		// RFC 6120 §8.2.3: exactly one child in a request.
		return nil, stanza.ErrBadRequest("a request has exactly one child element")
	}
	rt, ok := m.routes[key{p.Name, scope}]
	if !ok {
		return nil, stanza.ErrServiceUnavailable()
	}
	self := st.From.Bare() == owner
	if scope == ScopeAccount && !self && !rt.Public {
		// The same answer as for an account that does not exist (RFC 6121 §8.5.1).
		return nil, stanza.ErrServiceUnavailable()
	}
	h := rt.Get
	if st.Type == "set" {
		h = rt.Set
	}
	if h == nil {
		return nil, stanza.ErrNotAllowed()
	}
	return h(ctx, &Request{Stanza: st, Payload: p, Set: st.Type == "set", Scope: scope, Owner: owner, Self: self})
}
