package auth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/sasl"
)

// While all places for deriving are taken, logins that need none go through,
// and the others wait their turn, but not for ever.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(t, auth.Config{Derivations: 3, MaxWait: 5 * time.Second})
		if got := plain(t.Context(), s, safe, "", "bob", password); got != "" {
			t.Fatal(got)
		}
		free := s.Occupy()
		derived := s.Stats().Derived
		var wg sync.WaitGroup
		results := make([]string, 50)
		for i := range results {
			wg.Go(func() { results[i] = plain(t.Context(), s, safe, "", "alice", password) })
		}
		var setPassword error
		wg.Go(func() { setPassword = s.SetPassword(t.Context(), bob, "new") })
		synctest.Wait()
		if got := s.Stats().Waiting; got != 51 {
			t.Errorf("%d wait", got)
		}
		start := time.Now()
		if got := plain(t.Context(), s, safe, "", "bob", password); got != "" {
			t.Errorf("a password proved right before: %q", got)
		}
		if _, err := scramLogin(t.Context(), s, sasl.ScramSHA256, safe, "alice", password); err != nil {
			t.Errorf("SCRAM: %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("they waited %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := plain(ctx, s, safe, "", "alice", "x"); got != "wait to derive keys: context deadline exceeded" {
			t.Errorf("a client that went away: %q", got)
		}
		wg.Wait()
		if got := s.Stats().Derived - derived; got != 0 {
			t.Errorf("%d derivations though all places were taken", got)
		}
		for _, got := range results {
			if got != sasl.TemporaryAuthFailure {
				t.Fatalf("a login that waited too long: %q", got)
			}
		}
		if f, ok := errors.AsType[*sasl.Failure](setPassword); !ok || f.Condition != sasl.TemporaryAuthFailure {
			t.Errorf("a new password that waited too long: %v", setPassword)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("they gave up after %v", d)
		}
		free()
		if got := plain(t.Context(), s, safe, "", "alice", password); got != "" || s.Stats().Waiting != 0 {
			t.Errorf("afterwards: %q, %+v", got, s.Stats())
		}
		if len(store.accounts) != 2 {
			t.Error("accounts changed")
		}
	})
}

// An attempt costs the same whether the user exists or not.
func TestEqualWork(t *testing.T) {
	s, store := newService(t, auth.Config{FailuresPerMinute: 1000})
	if err := s.Update(t.Context(), bob, func(a *auth.Account) { a.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, user string }{
		{"wrong password", "alice"}, {"disabled", "bob"}, {"unknown user", "eve"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			derived, reads := s.Stats().Derived, store.reads
			if got := plain(t.Context(), s, safe, "", tt.user, "x"); got != sasl.NotAuthorized {
				t.Errorf("PLAIN: %q", got)
			}
			if derived, reads := s.Stats().Derived-derived, store.reads-reads; derived != 1 || reads != 1 {
				t.Errorf("PLAIN: %d derivations, %d reads, want one each", derived, reads)
			}
			derived, reads = s.Stats().Derived, store.reads
			proofs := 0
			v := s.Verifier(sasl.ScramSHA256, "example.com")
			keys, err := v.Keys(t.Context(), tt.user)
			if err != nil || len(keys.Salt) != 16 || keys.Iterations != 16 || len(keys.StoredKey) != 32 || len(keys.ServerKey) != 32 {
				t.Errorf("SCRAM: keys %+v, %v", keys, err)
			}
			_, err = v.Prove(t.Context(), tt.user, "", func() bool { proofs++; return false })
			if derived, reads := s.Stats().Derived-derived, store.reads-reads; condition(err) != sasl.NotAuthorized || proofs != 1 || derived != 0 || reads != 1 {
				t.Errorf("SCRAM: %v, %d proofs, %d derivations, %d reads", err, proofs, derived, reads)
			}
		})
	}
	// Right by chance for a user who does not exist: refused after the same work.
	v := s.Verifier(sasl.ScramSHA256, "example.com")
	if _, err := v.Keys(t.Context(), "eve"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Prove(t.Context(), "eve", "", func() bool { return true }); condition(err) != sasl.NotAuthorized {
		t.Errorf("a proof for nobody: %v", err)
	}
}
