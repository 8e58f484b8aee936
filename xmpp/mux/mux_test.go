package mux_test

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0115 says SHA-1
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

const (
	alice  = "alice@example.com"
	bob    = "bob@example.com"
	server = "example.com"
)

func request(t *testing.T, from, to, typ, inner string) *stanza.Stanza {
	t.Helper()
	st, err := stanza.Decode([]byte("<iq xmlns='jabber:client' id='1' from='" + from + "/desk' to='" + to + "' type='" + typ + "'>" + inner + "</iq>"))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// scopeOf is what the router would say.
func scopeOf(to string) mux.Scope {
	if strings.Contains(to, "@") {
		return mux.ScopeAccount
	}
	return mux.ScopeServer
}

func echo(_ context.Context, r *mux.Request) ([]byte, error) {
	return fmt.Appendf(nil, "<ok xmlns='u:ok' set='%t' scope='%d' owner='%s' self='%t'/>", r.Set, r.Scope, r.Owner, r.Self), nil
}

func name(space string) stanza.Name { return stanza.Name{Space: space, Local: "q"} }

func newMux(log *slog.Logger) *mux.Mux {
	m := mux.New(log)
	m.Handle(mux.Route{Name: name("u:both"), Get: echo, Set: echo, Scope: mux.ScopeServer | mux.ScopeAccount})
	m.Handle(mux.Route{Name: name("u:own"), Get: echo, Scope: mux.ScopeAccount})
	m.Handle(mux.Route{Name: name("u:public"), Get: echo, Scope: mux.ScopeAccount, Public: true, Feature: "u:other-name"})
	m.Handle(mux.Route{Name: name("u:quiet"), Scope: mux.ScopeServer, Feature: "-", Get: func(context.Context, *mux.Request) ([]byte, error) {
		return nil, nil
	}})
	m.Handle(mux.Route{Name: name("u:refused"), Scope: mux.ScopeServer, Get: func(context.Context, *mux.Request) ([]byte, error) {
		return nil, fmt.Errorf("wrapped: %w", stanza.ErrForbidden())
	}})
	m.Handle(mux.Route{Name: name("u:broken"), Scope: mux.ScopeServer, Get: func(context.Context, *mux.Request) ([]byte, error) {
		return nil, errors.New("the disk is full")
	}})
	m.Feature(mux.ScopeServer, "a:feature")
	return m
}

func TestServe(t *testing.T) {
	for _, tt := range []struct{ name, to, typ, inner, want string }{
		{"get", server, "get", "<q xmlns='u:both'/>", "set='false' scope='1' owner='example.com' self='false'"},
		{"set", server, "set", "<q xmlns='u:both'/>", "set='true' scope='1' owner='example.com' self='false'"},
		{"own account", alice, "get", "<q xmlns='u:own'/>", "set='false' scope='2' owner='alice@example.com' self='true'"},
		{"account of another", bob, "get", "<q xmlns='u:own'/>", "<service-unavailable "},
		{"public of another", bob, "get", "<q xmlns='u:public'/>", "owner='bob@example.com' self='false'"},
		{"at the wrong address", server, "get", "<q xmlns='u:own'/>", "<service-unavailable "},
		{"without a handler for the type", alice, "set", "<q xmlns='u:own'/>", "<not-allowed "},
		{"unknown namespace", server, "get", "<q xmlns='u:unknown'/>", "<service-unavailable "},
		{"unknown element", server, "get", "<r xmlns='u:both'/>", "<service-unavailable "},
		{"nothing", server, "get", "", "<bad-request "},
		{"two", server, "get", "<q xmlns='u:both'/><q xmlns='u:both'/>", "<bad-request "},
		{"empty result", server, "get", "<q xmlns='u:quiet'/>", " type='result' id='1'/>"},
		{"refused", server, "get", "<q xmlns='u:refused'/>", "<forbidden "},
		{"broken", server, "get", "<q xmlns='u:broken'/>", "<internal-server-error "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			m := newMux(slog.New(slog.NewTextHandler(&log, nil)))
			reply := m.Serve(t.Context(), request(t, alice, tt.to, tt.typ, tt.inner), scopeOf(tt.to), jid.MustParse(tt.to))
			got := string(reply.AppendXML(nil))
			if !strings.HasPrefix(got, "<iq xmlns='jabber:client' from='"+tt.to+"' to='alice@example.com/desk' type='") || !strings.Contains(got, tt.want) {
				t.Fatalf("reply %s", got)
			}
			if strings.Contains(got, "disk") || strings.Contains(log.String(), "disk") != (tt.name == "broken") {
				t.Fatalf("reply %s, log %s", got, log.String())
			}
		})
	}
}

func TestFeatures(t *testing.T) {
	m := newMux(slog.New(slog.DiscardHandler))
	m.Feature(mux.ScopeServer, "a:feature") // twice is once
	for scope, want := range map[mux.Scope][]string{
		mux.ScopeServer:  {"a:feature", "u:both", "u:broken", "u:refused"},
		mux.ScopeAccount: {"u:both", "u:other-name", "u:own"},
	} {
		got := m.Features(scope)
		if !slices.Equal(got, want) {
			t.Errorf("scope %d: %v", scope, got)
		}
		got[0] = "changed"
		if slices.Contains(m.Features(scope), "changed") {
			t.Error("the caller can change them")
		}
	}
}

func TestTwoHandlers(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	newMux(slog.New(slog.DiscardHandler)).Handle(mux.Route{Name: name("u:own"), Get: echo, Scope: mux.ScopeAccount | mux.ScopeServer})
}

func newDisco(m *mux.Mux) mux.Disco {
	d := mux.Disco{
		Server:  mux.Identity{Category: "server", Type: "im", Name: "Desk & line"},
		Account: mux.Identity{Category: "account", Type: "registered"},
		Items:   func(jid.JID) []jid.JID { return []jid.JID{jid.MustParse("rooms.example.com")} },
		MayAsk:  func(_ context.Context, from, _ jid.JID) bool { return from == jid.MustParse(bob) },
	}
	m.RegisterDisco(d)
	return d
}

func TestDisco(t *testing.T) {
	const (
		info  = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
		items = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
	)
	for _, tt := range []struct{ name, from, to, inner, want string }{
		{"server", alice, server, info, "<identity category='server' type='im' name='Desk &amp; line'/><feature var='a:feature'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='u:both'/>"},
		{"own account", alice, alice, info, "<identity category='account' type='registered'/><feature var='http://jabber.org/protocol/disco#info'/>"},
		{"account of a contact", bob, alice, info, "<identity category='account' type='registered'/>"},
		{"account of a stranger", alice, bob, info, "<service-unavailable "},
		{"items", alice, server, items, "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='rooms.example.com'/></query>"},
		{"items of an account", alice, alice, items, "<query xmlns='http://jabber.org/protocol/disco#items'></query>"},
		{"items of a stranger", alice, bob, items, "<service-unavailable "},
		{"unknown node", alice, server, strings.Replace(info, "/>", " node='x'/>", 1), "<item-not-found "},
		{"node of the capabilities", alice, server, strings.Replace(info, "/>", " node='urn:deskline:caps#v&apos;'/>", 1), "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:deskline:caps#v&apos;'><identity "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMux(slog.New(slog.DiscardHandler))
			newDisco(m)
			reply := m.Serve(t.Context(), request(t, tt.from, tt.to, "get", tt.inner), scopeOf(tt.to), jid.MustParse(tt.to))
			if got := string(reply.AppendXML(nil)); !strings.Contains(got, tt.want) {
				t.Fatalf("reply %s", got)
			}
		})
	}
}

// TestCaps holds the hash in the stream features against what the server says of
// itself (XEP-0115 §5.1).
func TestCaps(t *testing.T) {
	m := newMux(slog.New(slog.DiscardHandler))
	d := newDisco(m)
	reply := m.Serve(t.Context(), request(t, alice, server, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"), mux.ScopeServer, jid.MustParse(server))
	c, _ := reply.Payload()
	el, err := reply.Element(c)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, id := range el.SelectElements("identity") {
		s.WriteString(id.SelectAttrValue("category", "") + "/" + id.SelectAttrValue("type", "") + "//" + id.SelectAttrValue("name", "") + "<")
	}
	for _, f := range el.SelectElements("feature") {
		s.WriteString(f.SelectAttrValue("var", "") + "<")
	}
	sum := sha1.Sum([]byte(s.String())) //nolint:gosec // XEP-0115 says SHA-1
	want := "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:deskline:caps' ver='" + base64.StdEncoding.EncodeToString(sum[:]) + "'/>"
	if got := string(d.Caps(m)); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}
