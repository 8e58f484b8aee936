package auth_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/sasl"
)

func TestSetConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(t, auth.Config{Secret: []byte("of this server")})
		login := func(ch sasl.Channel, pw, want string) time.Duration {
			t.Helper()
			start := time.Now()
			if got := plain(t.Context(), s, ch, "", "alice", pw); got != want {
				t.Fatalf("condition %q, want %q", got, want)
			}
			return time.Since(start)
		}
		login(safe, password, "")
		login(unsafe, password, sasl.EncryptionRequired)
		s.SetConfig(auth.Config{
			Mechanisms: []string{sasl.Plain}, PlainInsecure: true, Iterations: 32,
			FailuresPerMinute: 1, MaxDelay: 3 * time.Second, VerifiedTTL: -1,
		})
		if got := s.Mechanisms("example.com", unsafe); !slices.Equal(got, []string{sasl.Plain}) {
			t.Errorf("offers %v", got)
		}
		if _, err := s.Begin(t.Context(), sasl.ScramSHA256, "example.com", safe); condition(err) != sasl.InvalidMechanism {
			t.Errorf("SCRAM: %v", err)
		}
		login(unsafe, "x", sasl.NotAuthorized)
		if d := login(unsafe, password, ""); d <= 0 || d > 3*time.Second {
			t.Errorf("after one failure and with nothing remembered the delay is %v", d)
		}
		if err := s.SetPassword(t.Context(), alice, "new"); err != nil {
			t.Fatal(err)
		}
		if keys := store.accounts[alice].Keys; len(keys) != 1 || keys[sasl.ScramSHA256].Iterations != 32 {
			t.Errorf("new keys %+v", keys)
		}
		if string(s.Config().Secret) != "of this server" {
			t.Error("the secret changed")
		}
	})
}
