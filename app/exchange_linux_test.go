package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/exchangetest"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
)

// TestExchangeOnPair has a meeting begin in a mailbox, of which the node hears by a
// stream, and end early; the contact is on another node than the one that asks.
func TestExchangeOnPair(t *testing.T) {
	t.Parallel()
	exchange := exchangetest.Start(t, false)
	const box = "a.smith@mail.example.com"
	exchange.Do(func() { exchange.Mailboxes[box] = nil })
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(exchangetest.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse(fmt.Appendf(nil, `domains: [%s]
presence: {calendars: [{name: exchange, kind: ews, url: '%s', username: '%s\%s', password_file: %s, mailbox: '{mail}', watch: true}]}`,
		domain, exchange.Address(), exchangetest.Domain, exchangetest.User, file))
	if err != nil {
		t.Fatal(err)
	}
	r := redistest.Start(t, "--appendfsync", "no")
	pair := newPair(t, &txtar.Archive{}, filledStore(t, begin{contacts: "alice bob\n", names: "alice Alice Smith, a.smith@mail.example.com\n"}), r, "exchange:")
	for _, s := range pair {
		s.cfg.Presence.Calendars = cfg.Presence.Calendars
	}
	if err := pair.start(); err != nil {
		t.Fatal(err)
	}
	defer pair.stop()
	script, err := xmpptest.Parse(t.Name(), `
bob/desk comes online
alice/desk comes online
bob/desk gets <presence from='alice@example.com/desk'/>
alice/desk gets <presence from='bob@example.com/desk'/>
the administrator begins
bob/desk gets <presence from='alice@example.com/desk'><show>dnd</show><status>In a meeting</status>
  <composed xmlns='urn:deskline:presence:1' state='in-a-meeting' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'>
  <composed xmlns='urn:deskline:presence:1' state='in-a-meeting' ...><source name='exchange' item='exchange' state='busy' .../></composed></presence>
the administrator cancels
bob/desk gets <presence from='alice@example.com/desk'><composed xmlns='urn:deskline:presence:1' state='available' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'>
  <composed xmlns='urn:deskline:presence:1' state='available' ...><source name='exchange' item='exchange' state='free' .../></composed></presence>
`)
	if err != nil {
		t.Fatal(err)
	}
	meet := func(ctx context.Context, order string) error {
		for exchange.Subscriptions() == 0 {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		exchange.Do(func() {
			exchange.Mailboxes[box] = nil
			if order == "begins" {
				now := time.Now().UTC()
				exchange.Mailboxes[box] = []exchangetest.Event{{From: now.Add(2 * time.Second), Until: now.Add(time.Hour), Busy: "Busy"}}
			}
		})
		exchange.Change(box)
		return nil
	}
	err = xmpptest.Play(t.Context(), xmpptest.Config{
		Domain: domain, Password: secret, Door: xmpptest.WebSocket, URL: pair.apart, Administer: meet,
	}, script)
	if err != nil {
		t.Error(err)
	}
}
