package router_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// shelf keeps messages and knows everybody.
type shelf struct {
	mu  sync.Mutex // guards ids
	ids []string
}

func (s *shelf) Store(_ context.Context, _ jid.JID, st *stanza.Stanza) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, st.ID)
	return nil
}

func (s *shelf) Exists(context.Context, jid.JID) (bool, error) { return true, nil }

// What a session left is kept before what comes meanwhile, unless it takes too
// long.
func TestReroute(t *testing.T) {
	for _, tc := range []struct {
		name string
		took time.Duration
		want []string
	}{
		{"older first", time.Second, []string{"older", "newer"}},
		{"without end", time.Minute, []string{"newer", "older"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := &shelf{}
				table := router.NewTable()
				bob := jid.MustParse("bob@example.com")
				r := router.New(router.Config{
					Domains: []jid.JID{jid.MustParse("example.com")}, Registry: router.NewMemory(), Mailboxes: router.Local{Table: table},
					Table: table, Mux: mux.New(nil), Offline: kept, Accounts: kept,
				})
				message := func(id string) *stanza.Stanza {
					return &stanza.Stanza{Kind: stanza.KindMessage, Type: "chat", ID: id, From: jid.MustParse("alice@example.com/a"), To: bob}
				}
				done := make(chan struct{})
				go r.Reroute(t.Context(), bob, func(ctx context.Context) {
					defer close(done)
					time.Sleep(tc.took)
					if err := r.Undelivered(ctx, message("older"), bob); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				if err := r.HandleStanza(t.Context(), message("newer")); err != nil {
					t.Fatal(err)
				}
				<-done
				kept.mu.Lock()
				defer kept.mu.Unlock()
				if len(kept.ids) != 2 || kept.ids[0] != tc.want[0] || kept.ids[1] != tc.want[1] {
					t.Fatalf("kept %v", kept.ids)
				}
			})
		})
	}
}
