package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/exchangetest"
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
	playMeeting(t, "exchange", cfg.Presence.Calendars, begin{contacts: "alice bob\n", names: "alice Alice Smith, a.smith@mail.example.com\n"}, meet)
}
