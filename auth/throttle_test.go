package auth_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/sasl"
)

func TestThrottle(t *testing.T) {
	other := sasl.Channel{Secure: true, Remote: netip.MustParseAddr("198.51.100.7")}
	synctest.Test(t, func(t *testing.T) {
		s, _ := newService(t, auth.Config{})
		took := func(ch sasl.Channel, user, pw, want string) time.Duration {
			t.Helper()
			start := time.Now()
			if got := plain(t.Context(), s, ch, "", user, pw); got != want {
				t.Fatalf("%s: condition %q, want %q", user, got, want)
			}
			return time.Since(start)
		}
		took(safe, "bob", password, "") // at home here
		for i := range 20 {
			if d := took(safe, "alice", "x", sasl.NotAuthorized); d != 0 {
				t.Fatalf("failure %d took %v", i, d)
			}
		}
		first := took(safe, "alice", "x", sasl.NotAuthorized)
		if second := took(safe, "alice", "x", sasl.NotAuthorized); first <= 0 || second <= first {
			t.Fatalf("delays %v, %v", first, second)
		}
		for name, d := range map[string]time.Duration{
			"right password":           took(safe, "alice", password, ""),
			"unknown user, same place": took(safe, "eve", "x", sasl.NotAuthorized),
			"other account, SCRAM":     scramTook(t, s, safe, "carol"),
		} {
			if d == 0 || d > 10*time.Second {
				t.Errorf("%s: not delayed or too long: %v", name, d)
			}
		}
		if d := took(safe, "alice", password, ""); d != 0 {
			t.Errorf("verified password: %v", d)
		}
		if d := took(safe, "bob", "x", sasl.NotAuthorized); d != 0 {
			t.Errorf("neighbour known here: %v", d)
		}
		time.Sleep(3 * time.Minute) // fake time
		if d := took(safe, "eve", "x", sasl.NotAuthorized); d != 0 {
			t.Errorf("after a pause: %v", d)
		}
		for range 22 {
			took(safe, "dave", "x", sasl.NotAuthorized)
		}
		if d := took(other, "dave", "x", sasl.NotAuthorized); d == 0 {
			t.Error("account attacked from elsewhere is not delayed")
		}
		if d := took(other, "frank", "x", sasl.NotAuthorized); d != 0 {
			t.Errorf("other address, other account: %v", d)
		}
	})
}

func scramTook(t *testing.T, s *auth.Service, ch sasl.Channel, user string) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := scramLogin(t.Context(), s, sasl.ScramSHA256, ch, user, "x"); condition(err) != sasl.NotAuthorized {
		t.Fatal(err)
	}
	return time.Since(start)
}

// Many attempts at once gain nothing.
func TestThrottleParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newService(t, auth.Config{Derivations: 2})
		var mu sync.Mutex
		got := make(map[string]int)
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				c := plain(t.Context(), s, safe, "", "alice", "x")
				mu.Lock()
				defer mu.Unlock()
				got[c]++
			})
		}
		wg.Wait()
		if n := got[sasl.NotAuthorized]; n < 20 || n > 20+45 || n+got[sasl.TemporaryAuthFailure] != 500 {
			t.Fatalf("answers %v", got)
		}
	})
}

func TestDelayEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newService(t, auth.Config{})
		for range 22 {
			plain(t.Context(), s, safe, "", "alice", "x")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got := plain(ctx, s, safe, "", "alice", "x"); got != context.DeadlineExceeded.Error() {
			t.Fatal(got)
		}
	})
}
