package vcard_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/deskline/deskline/vcard"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
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

type memory struct {
	card []byte
	err  error
}

func (m *memory) VCard(context.Context, jid.JID) ([]byte, error) { return m.card, m.err }

func (m *memory) SetVCard(_ context.Context, _ jid.JID, xml []byte) error {
	if m.err == nil {
		m.card = xml
	}
	return m.err
}

func TestVCard(t *testing.T) {
	const (
		alice, bob = "alice@example.com/desk", "bob@example.com/desk"
		empty      = "<vCard xmlns='vcard-temp'/>"
		card       = "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>"
	)
	tests := []struct {
		name, from, typ, payload string
		broken                   error
		want, condition          string
	}{
		{name: "own, none", from: alice, typ: "get", payload: empty, condition: "item-not-found"},
		{name: "other's, none", from: bob, typ: "get", payload: empty, condition: "service-unavailable"},
		{name: "other's, no account", from: bob, typ: "get", payload: empty, broken: vcard.ErrNotFound, condition: "service-unavailable"},
		{name: "set other's", from: bob, typ: "set", payload: card, condition: "forbidden"},
		{name: "set own", from: alice, typ: "set", payload: card},
		{name: "own", from: alice, typ: "get", payload: empty, want: card},
		{name: "other's", from: bob, typ: "get", payload: empty, want: card},
		{name: "too large", from: alice, typ: "set", payload: "<vCard xmlns='vcard-temp'>" + strings.Repeat("x", 1000) + "</vCard>", condition: "policy-violation"},
		{name: "store in trouble", from: alice, typ: "get", payload: empty, broken: errors.New("torn"), condition: "read vCard of alice@example.com: torn"},
		{name: "account gone", from: alice, typ: "set", payload: card, broken: vcard.ErrNotFound, condition: "service-unavailable"},
	}
	store := &memory{}
	get, set := vcard.Handlers(store)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store.err = tt.broken
			h := get
			if tt.typ == "set" {
				h = set
			}
			reply, err := h(t.Context(), ask(t, tt.from, "alice@example.com", tt.typ, tt.payload))
			if condition(err) != tt.condition || err == nil && string(reply) != tt.want {
				t.Fatalf("reply %s, error %v", reply, err)
			}
		})
	}
}

func TestRegister(*testing.T) {
	vcard.New(vcard.Config{}).Register(mux.New(slog.New(slog.DiscardHandler)))
}
