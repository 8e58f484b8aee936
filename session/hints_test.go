package session_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stream"
)

type silent struct{}

func (silent) Write(...session.Frame) error             { return nil }
func (silent) Close(*stream.Error) error                { return nil }
func (silent) Info() session.ConnInfo                   { return session.ConnInfo{Transport: "test"} }
func (silent) Mechanisms(string, sasl.Channel) []string { return []string{"PLAIN"} }
func (silent) Begin(context.Context, string, string, sasl.Channel) (sasl.Exchange, error) {
	return nil, sasl.NewFailure("invalid-mechanism", "")
}

// hints names the user back.
type hints struct{}

func (hints) AppendHints(dst []byte, user jid.JID) []byte {
	return append(dst, "<hostname>"+user.String()+"</hostname>"...)
}

func TestHints(t *testing.T) {
	for _, tt := range []struct {
		name, from string
		hints      session.Hints
		want       string
	}{
		{"a user", "alice@example.com", hints{}, "<hostname>alice@example.com</hostname>"},
		{"with a resource", "Alice@Example.com/desk", hints{}, "<hostname>alice@example.com</hostname>"},
		{"nobody said", "", hints{}, ""},
		{"of another server", "alice@example.net", hints{}, ""},
		{"the server", "example.com", hints{}, ""},
		{"nonsense", "@@", hints{}, ""},
		{"no hints to give", "alice@example.com", nil, ""},
	} {
		m := session.NewManager(session.Config{Domains: []jid.JID{jid.MustParse("example.com")}, Auth: silent{}, Hints: tt.hints, Log: slog.New(slog.DiscardHandler)})
		s, err := m.Open(t.Context(), silent{}, session.Opening{To: "example.com", From: tt.from})
		if err != nil {
			t.Fatal(tt.name, err)
		}
		want := "<mechanism>PLAIN</mechanism>" + tt.want + "</mechanisms>"
		if got := string(s.Features()); !strings.Contains(got, want) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func TestRedirect(t *testing.T) {
	var asked jid.JID
	m := session.NewManager(session.Config{
		Domains: []jid.JID{jid.MustParse("example.com")}, Auth: silent{}, Log: slog.New(slog.DiscardHandler),
		Redirect: func(_ string, user jid.JID) *stream.Error {
			if asked = user; user.Local() != "alice" {
				return nil
			}
			return &stream.Error{Condition: stream.SeeOtherHost, Detail: "https://n2.example.com/http-bind"}
		},
	})
	_, err := m.Open(t.Context(), silent{}, session.Opening{To: "example.com", From: "alice@example.com/desk"})
	if e, ok := errors.AsType[*stream.Error](err); !ok || e.Detail != "https://n2.example.com/http-bind" || m.Len() != 0 {
		t.Errorf("%v, %d sessions", err, m.Len())
	}
	for from, want := range map[string]jid.JID{"bob@example.com/desk": jid.MustParse("bob@example.com"), "": {}} {
		if _, err := m.Open(t.Context(), silent{}, session.Opening{To: "example.com", From: from}); err != nil || asked != want {
			t.Errorf("from %q: asked for %q, %v", from, asked, err)
		}
	}
}
