package account_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/deskline/deskline/account"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/sasl"
	"github.com/deskline/deskline/xmpp/stanza"
)

// ask makes a request as the mux does.
func ask(t *testing.T, from, owner, typ, payload string) *mux.Request {
	t.Helper()
	n, err := stanza.ParseFrame([]byte("<iq xmlns='jabber:client' id='1' type='"+typ+"' from='"+from+"' to='"+owner+"'>"+payload+"</iq>"), stanza.Limits{StanzaBytes: 1 << 20, Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.Stanza()
	if err != nil {
		t.Fatal(err)
	}
	c, ok := st.Payload()
	if !ok {
		t.Fatal("no payload")
	}
	o := jid.MustParse(owner)
	return &mux.Request{Stanza: st, Payload: c, Set: typ == "set", Owner: o, Self: st.From.Bare() == o}
}

// condition is that of a stanza error, or the text of any other.
func condition(err error) string {
	if e, ok := errors.AsType[*stanza.Error](err); ok {
		return e.Condition
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// server notes what is asked of it and fails at one thing.
type server struct {
	calls []string
	fail  string
}

var errBroken = errors.New("broken")

func (s *server) note(what string, bare jid.JID, detail string) error {
	s.calls = append(s.calls, strings.TrimSpace(fmt.Sprint(what, " ", bare, " ", detail)))
	if s.fail == what {
		return errBroken
	}
	return nil
}

func (s *server) SetPassword(_ context.Context, bare jid.JID, password string) error {
	if password == "odd" {
		return fmt.Errorf("set: %w", sasl.ErrPassword)
	}
	return s.note("password", bare, password)
}
func (s *server) Delete(_ context.Context, bare jid.JID) error { return s.note("delete", bare, "") }
func (s *server) Leave(_ context.Context, bare jid.JID) error  { return s.note("leave", bare, "") }
func (s *server) Forget(bare jid.JID)                          { _ = s.note("forget", bare, "") }

func (s *server) End(_ context.Context, bare jid.JID, last *stanza.Stanza) error {
	return s.note("end", bare, last.Type+" "+last.ID+" "+last.To.String())
}

func TestAccount(t *testing.T) {
	query := func(inner string) string { return "<query xmlns='jabber:iq:register'>" + inner + "</query>" }
	const (
		alice = "alice@example.com"
		names = "<username>Alice</username>"
	)
	tests := []struct {
		name, from, to, typ, payload string
		fixed                        bool
		fail                         string
		reply, condition, calls      string
	}{
		{name: "what is registered", typ: "get", payload: query(""), reply: query("<registered/><username>alice</username><password/>")},
		{name: "change of password", typ: "set", payload: query(names + "<password>n&lt;w</password>"), calls: "password alice@example.com n<w"},
		{name: "asked of the server", to: "example.com", typ: "set", payload: query(names + "<password>new</password>"), calls: "password alice@example.com new"},
		{name: "empty password", typ: "set", payload: query(names + "<password/>"), condition: "bad-request"},
		{name: "no password", typ: "set", payload: query(names), condition: "bad-request"},
		{name: "no user name", typ: "set", payload: query("<password>new</password>"), condition: "bad-request"},
		{name: "other user's", to: "example.com", typ: "set", payload: query("<username>bob</username><password>new</password>"), condition: "forbidden"},
		{name: "password of no use", typ: "set", payload: query(names + "<password>odd</password>"), condition: "not-acceptable"},
		{name: "store in trouble", typ: "set", payload: query(names + "<password>new</password>"), fail: "password", condition: "change password: broken", calls: "password alice@example.com new"},
		{name: "other domain", to: "example.org", typ: "get", payload: query(""), condition: "forbidden"},
		{name: "other account", to: "bob@example.com", typ: "get", payload: query(""), condition: "forbidden"},
		{name: "fixed", typ: "get", payload: query(""), fixed: true, condition: "not-allowed"},
		{
			name: "cancel", typ: "set", payload: query("<remove/>"),
			calls: "leave alice@example.com, delete alice@example.com, forget alice@example.com, end alice@example.com result 1 alice@example.com/desk",
		},
		{name: "cancel and more", typ: "set", payload: query("<remove/>" + names), condition: "bad-request"},
		{name: "remove of another namespace", typ: "set", payload: query("<remove xmlns='u:x'/>"), condition: "bad-request"},
		{name: "contacts cannot be told", typ: "set", payload: query("<remove/>"), fail: "leave", condition: "leave contacts of alice@example.com: broken", calls: "leave alice@example.com"},
		{name: "cannot be deleted", typ: "set", payload: query("<remove/>"), fail: "delete", condition: "cancel account: broken", calls: "leave alice@example.com, delete alice@example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := &server{fail: tt.fail}
			cfg := account.Config{Accounts: srv, Contacts: srv, Sessions: srv, Fixed: func(string) bool { return tt.fixed }}
			account.Register(mux.New(slog.New(slog.DiscardHandler)), cfg)
			h, set := account.Handlers(cfg)
			if tt.typ == "set" {
				h = set
			}
			to := alice
			if tt.to != "" {
				to = tt.to
			}
			reply, err := h(t.Context(), ask(t, alice+"/desk", to, tt.typ, tt.payload))
			if string(reply) != tt.reply || condition(err) != tt.condition {
				t.Fatalf("reply %s, error %v", reply, err)
			}
			if got := strings.Join(srv.calls, ", "); got != tt.calls {
				t.Fatalf("calls %s", got)
			}
		})
	}
}
