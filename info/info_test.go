package info_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/info"
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

type seen struct {
	at     time.Time
	status string
}

type memory map[jid.JID]seen

func (m memory) LastSeen(_ context.Context, owner jid.JID) (time.Time, string, bool, error) {
	s, ok := m[owner]
	return s.at, s.status, ok, nil
}

func (m memory) SetLastSeen(_ context.Context, owner jid.JID, t time.Time, status string) error {
	if owner.Local() == "gone" {
		return info.ErrNotFound
	}
	m[owner] = seen{t, status}
	return nil
}

// presence: bob may see alice and carol; carol is there.
type presence struct{}

func (presence) MaySee(_ context.Context, _, contact jid.JID) (bool, error) {
	return contact.Local() == "bob", nil
}

func (presence) Available(_ context.Context, owner jid.JID) (bool, error) {
	return owner.Local() == "carol", nil
}

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := make(memory)
		s := info.New(info.Config{Name: "Desk<line", Version: "1.2", OS: "Linux", Store: store, Presence: presence{}})
		s.Register(mux.New(slog.New(slog.DiscardHandler)))
		for _, owner := range []string{"alice@example.com/desk", "gone@example.com"} {
			if err := s.Left(t.Context(), jid.MustParse(owner), "gone & home"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(90*time.Second + 500*time.Millisecond) // fake time
		const last = "<query xmlns='jabber:iq:last'/>"
		tests := []struct{ name, from, to, payload, want, condition string }{
			{name: "uptime", from: "alice@example.com/x", to: "example.com", payload: last, want: "<query xmlns='jabber:iq:last' seconds='90'></query>"},
			{name: "own", from: "alice@example.com/x", to: "alice@example.com", payload: last, want: "<query xmlns='jabber:iq:last' seconds='90'>gone &amp; home</query>"},
			{name: "contact's", from: "bob@example.com/x", to: "alice@example.com", payload: last, want: "<query xmlns='jabber:iq:last' seconds='90'>gone &amp; home</query>"},
			{name: "contact who is here", from: "bob@example.com/x", to: "carol@example.com", payload: last, want: "<query xmlns='jabber:iq:last' seconds='0'></query>"},
			{name: "stranger", from: "eve@example.com/x", to: "alice@example.com", payload: last, condition: "forbidden"},
			{name: "stranger asks for nobody", from: "eve@example.com/x", to: "nobody@example.com", payload: last, condition: "forbidden"},
			{name: "never seen", from: "bob@example.com/x", to: "dave@example.com", payload: last, condition: "item-not-found"},
			{name: "version", from: "bob@example.com/x", to: "example.com", payload: "<query xmlns='jabber:iq:version'/>", want: "<query xmlns='jabber:iq:version'><name>Desk&lt;line</name><version>1.2</version><os>Linux</os></query>"},
			{name: "ping the server", from: "bob@example.com/x", to: "example.com", payload: "<ping xmlns='urn:xmpp:ping'/>"},
			{name: "ping the account", from: "bob@example.com/x", to: "bob@example.com", payload: "<ping xmlns='urn:xmpp:ping'/>"},
			{name: "time", from: "bob@example.com/x", to: "example.com", payload: "<time xmlns='urn:xmpp:time'/>", want: "<time xmlns='urn:xmpp:time'><tzo>" + time.Now().Format("-07:00") + "</tzo><utc>2000-01-01T00:01:30.500Z</utc></time>"},
		}
		for _, tt := range tests {
			req := ask(t, tt.from, tt.to, "get", tt.payload)
			reply, err := s.Handlers()[req.Payload.Name.Space](t.Context(), req)
			if string(reply) != tt.want || condition(err) != tt.condition {
				t.Errorf("%s: reply %s, error %v", tt.name, reply, err)
			}
		}
	})
}

func TestStatusIsBounded(t *testing.T) {
	store := make(memory)
	s := info.New(info.Config{Store: store})
	alice := jid.MustParse("alice@example.com")
	if err := s.Left(t.Context(), alice, "x"+strings.Repeat("ä", 1000)); err != nil {
		t.Fatal(err)
	}
	if got := store[alice].status; len(got) != 1023 || strings.Trim(got[1:], "ä") != "" {
		t.Fatalf("%d bytes kept", len(got))
	}
}
