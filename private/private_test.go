package private_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/deskline/deskline/private"
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
	elements map[stanza.Name][]byte
	err      error
}

func (m *memory) Private(_ context.Context, _ jid.JID, space, local string) ([]byte, error) {
	return m.elements[stanza.Name{Space: space, Local: local}], m.err
}

func (m *memory) SetPrivate(_ context.Context, _ jid.JID, limit int, elements ...private.Element) error {
	if m.err != nil {
		return m.err
	}
	after := maps.Clone(m.elements)
	for _, e := range elements {
		name := stanza.Name{Space: e.Space, Local: e.Local}
		if after[name] = e.XML; e.XML == nil {
			delete(after, name)
		}
	}
	if len(after) > limit {
		return private.ErrFull
	}
	m.elements = after
	return nil
}

func TestPrivate(t *testing.T) {
	const (
		alice   = "alice@example.com"
		open    = "<query xmlns='jabber:iq:private'>"
		shut    = "</query>"
		storage = "<storage xmlns='storage:bookmarks'><conference jid='a&lt;b@c'/></storage>"
	)
	tests := []struct {
		name, from, typ, payload string
		broken                   error
		want, condition          string
	}{
		{name: "get what is not there", typ: "get", payload: open + "<storage xmlns='storage:none'/>" + shut, want: open + "<storage xmlns='storage:none'/>" + shut},
		{name: "set", typ: "set", payload: open + storage + shut},
		{name: "get it", typ: "get", payload: open + "<storage xmlns='storage:bookmarks'/>" + shut, want: open + storage + shut},
		{name: "set two", typ: "set", payload: open + "<a xmlns='u:a'/>\n<b xmlns='u:b'>x</b>" + shut},
		{name: "get the second", typ: "get", payload: open + "<b xmlns='u:b'/>" + shut, want: open + "<b xmlns='u:b'>x</b>" + shut},
		{name: "set with a prefix declared outside", typ: "set", payload: "<q:query z='>' xmlns:q='jabber:iq:private' xmlns:p='u:p'><p:a><p:b/></p:a></q:query>"},
		{name: "get it by another prefix", typ: "get", payload: open + "<a xmlns='u:p'/>" + shut, want: open + "<p:a xmlns:p='u:p'><p:b/></p:a>" + shut},
		{name: "one too many", typ: "set", payload: open + "<d xmlns='u:d'>x</d>" + shut, condition: "resource-constraint"},
		{name: "one too many among two", typ: "set", payload: open + "<b xmlns='u:b'>y</b><d xmlns='u:d'>x</d>" + shut, condition: "resource-constraint"},
		{name: "nothing of them is kept", typ: "get", payload: open + "<b xmlns='u:b'/>" + shut, want: open + "<b xmlns='u:b'>x</b>" + shut},
		{name: "an empty one makes room", typ: "set", payload: open + "<b xmlns='u:b'></b><d xmlns='u:d' x='1'/>" + shut},
		{name: "it is gone", typ: "get", payload: open + "<b xmlns='u:b'/>" + shut, want: open + "<b xmlns='u:b'/>" + shut},
		{name: "one with an attribute is not empty", typ: "get", payload: open + "<d xmlns='u:d'/>" + shut, want: open + "<d xmlns='u:d' x='1'/>" + shut},
		{name: "get nothing", typ: "get", payload: "<query xmlns='jabber:iq:private'/>", condition: "bad-request"},
		{name: "get two", typ: "get", payload: open + "<a xmlns='u:a'/><b xmlns='u:b'/>" + shut, condition: "bad-request"},
		{name: "set nothing", typ: "set", payload: open + shut, condition: "not-acceptable"},
		{name: "set three", typ: "set", payload: open + strings.Repeat("<a xmlns='u:a'/>", 3) + shut, condition: "not-acceptable"},
		{name: "no namespace of its own", typ: "set", payload: open + "<a/>" + shut, condition: "not-acceptable"},
		{name: "too large", typ: "set", payload: open + "<a xmlns='u:a'>" + strings.Repeat("x", 1000) + "</a>" + shut, condition: "policy-violation"},
		{name: "somebody else", from: "bob@example.com/x", typ: "get", payload: open + "<a xmlns='u:a'/>" + shut, condition: "forbidden"},
		{name: "store in trouble", typ: "set", payload: open + storage + shut, broken: errors.New("full"), condition: "store private elements of " + alice + ": full"},
		{name: "account gone", typ: "set", payload: open + storage + shut, broken: private.ErrNotFound, condition: "service-unavailable"},
	}
	store := &memory{elements: make(map[stanza.Name][]byte)}
	get, set := private.Handlers(store)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store.err = tt.broken
			from := alice + "/desk"
			if tt.from != "" {
				from = tt.from
			}
			h := get
			if tt.typ == "set" {
				h = set
			}
			reply, err := h(t.Context(), ask(t, from, alice, tt.typ, tt.payload))
			if string(reply) != tt.want || condition(err) != tt.condition {
				t.Fatalf("reply %s, error %v", reply, err)
			}
		})
	}
}

func TestRegister(*testing.T) {
	private.New(private.Config{}).Register(mux.New(slog.New(slog.DiscardHandler)))
}

// What was set comes back as something a client's parser reads alone.
func FuzzSet(f *testing.F) {
	f.Add("<query xmlns='jabber:iq:private'><a xmlns='u:a'>x</a></query>")
	f.Add("<q:query z='>' xmlns:q='jabber:iq:private' xmlns:p='u:p'><p:a><p:b/></p:a></q:query>")
	f.Fuzz(func(t *testing.T, payload string) {
		n, err := stanza.ParseFrame([]byte("<iq xmlns='jabber:client' type='set'>"+payload+"</iq>"), stanza.Limits{})
		if err != nil {
			return
		}
		st, err := n.Stanza()
		if err != nil || len(st.Children) != 1 {
			return
		}
		store := &memory{elements: make(map[stanza.Name][]byte)}
		_, set := private.Handlers(store)
		_, _ = set(t.Context(), &mux.Request{Stanza: st, Payload: st.Children[0], Self: true})
		for name, raw := range store.elements {
			back, err := stanza.ParseFrame(raw, stanza.Limits{})
			if err != nil || back.Name != name {
				t.Fatalf("%v stored as %s: %v", name, raw, err)
			}
		}
	})
}
