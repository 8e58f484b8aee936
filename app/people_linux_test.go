package app_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
	"github.com/deskline/deskline/xmpp/jid"
)

// Whom a command adds, changes or deletes while nodes run is found, or not found
// any more, on each of them.
func TestPeopleOnEachNode(t *testing.T) {
	t.Parallel()
	pair := newPair(t, &txtar.Archive{}, filledStore(t, begin{}), redistest.Start(t, "--appendfsync", "no"), "people:")
	defer pair.stop()
	if err := pair.start(); err != nil {
		t.Fatal(err)
	}
	store, err := app.OpenStore(t.Context(), pair[0].cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	accounts := auth.New(store, auth.Config{Iterations: 4096, Changed: app.AccountsChanged(store, slog.New(slog.DiscardHandler))})
	newton := jid.MustParse("newton@" + domain)
	n := 0
	pace := func() bool { n++; return n%10 == 1 }
	seen := func(name string) {
		n = 0
		t.Helper()
		found := "<item jid='newton@example.com'><nick>" + name + "</nick></item>"
		if name == "" {
			found = ""
		}
		for i, user := range []string{"alice", "bob"} {
			eventually(t, fmt.Sprintf("node %d finds %q", i, name), func() bool {
				if !pace() { // logins and searches are bounded
					return false
				}
				script, err := xmpptest.Parse("search", fmt.Sprintf("%s/x%d signs in\n%s/x%d sends <iq type='set' to='%s' id='1'><query xmlns='jabber:iq:search'><nick>new</nick></query></iq>\n"+
					"%s/x%d gets <iq type='result' from='%s' id='1'><query xmlns='jabber:iq:search'>%s</query></iq>\n%s/x%d closes\n", user, i, user, i, domain, user, i, domain, found, user, i))
				if err != nil {
					t.Fatal(err)
				}
				err = xmpptest.Play(t.Context(), xmpptest.Config{Domain: domain, Password: secret, Door: xmpptest.WebSocket, URL: pair.apart}, script)
				if err != nil && !strings.Contains(err.Error(), "gets:") {
					t.Fatal(err)
				}
				return err == nil
			})
		}
	}
	act := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	act("create", accounts.Create(t.Context(), auth.Account{JID: newton, Name: "Ike Newton"}, secret))
	seen("Ike Newton")
	act("update", accounts.Update(t.Context(), newton, func(a *auth.Account) { a.Name = "Isaac Newton" }))
	seen("Isaac Newton")
	act("disable", accounts.Update(t.Context(), newton, func(a *auth.Account) { a.Disabled = true }))
	seen("")
	act("delete", accounts.Delete(t.Context(), newton))
}
