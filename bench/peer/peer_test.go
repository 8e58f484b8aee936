package peer_test

import (
	"path/filepath"
	"testing"

	"github.com/deskline/deskline/bench/peer"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/xmpp/jid"
)

func TestSeed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deskline.db")
	if err := peer.Seed(t.Context(), path, peer.Options{Users: 30, Contacts: 4}); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	accounts, err := s.ListAccounts(t.Context(), peer.Domain, "", 100)
	if err != nil || len(accounts) != 30 || len(accounts[0].Keys) == 0 {
		t.Fatalf("%d accounts, %v", len(accounts), err)
	}
	r, err := s.Roster(t.Context(), jid.MustParse("u0@localhost"))
	if err != nil || len(r.Items) != 4 || r.Items[0].Subscription != roster.Both {
		t.Errorf("roster %+v, %v", r, err)
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	if _, err := peer.Start(t.Context(), "nothing", peer.Options{}); err == nil {
		t.Error("started a server that does not exist")
	}
	if _, err := peer.Start(t.Context(), peer.Relay, peer.Options{Relay: "/nonexistent/relay"}); err == nil {
		t.Error("started a binary that does not exist")
	}
}
