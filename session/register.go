package session

import (
	"context"

	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// Register answers the request to establish a session, which does nothing since
// RFC 6121 but is still made by clients.
func Register(m *mux.Mux) {
	m.Handle(mux.Route{
		Name:    stanza.Name{Space: stream.NSSession, Local: "session"},
		Set:     func(context.Context, *mux.Request) ([]byte, error) { return nil, nil },
		Scope:   mux.ScopeServer | mux.ScopeAccount,
		Feature: "-",
	})
}
