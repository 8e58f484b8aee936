package session_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stream"
)

func TestSetLimits(t *testing.T) {
	m := session.NewManager(session.Config{
		Domains: []jid.JID{jid.MustParse("example.com")}, Limits: session.Limits{Sessions: 1}, Log: slog.New(slog.DiscardHandler),
	})
	open := func(want string) {
		t.Helper()
		_, err := m.Open(t.Context(), nil, session.Opening{To: "example.com"})
		got := ""
		if e, ok := errors.AsType[*stream.Error](err); ok {
			got = e.Condition
		}
		if got != want {
			t.Errorf("condition %q, want %q", got, want)
		}
	}
	open("")
	open(stream.ResourceConstraint)
	m.SetLimits(session.Limits{Sessions: 2})
	open("")
	m.SetLimits(session.Limits{Sessions: 1})
	open(stream.ResourceConstraint)
	if m.Len() != 2 {
		t.Errorf("%d sessions, those beyond a lowered limit stay", m.Len())
	}
}
