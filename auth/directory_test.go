package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// directory is a directory of example.org that has carol.
type directory struct {
	mu       sync.Mutex
	password string
	err      error // of each sign-in
	stamp    uint64
	unknown  bool // nothing is known but by asking
	asked    int
}

func (d *directory) Holds(domain string) bool { return domain == "example.org" }

func (d *directory) Login(_ context.Context, user jid.JID, password string, turn func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := turn(); err != nil {
		return err
	}
	d.asked++
	if d.err != nil {
		return d.err
	}
	if user.Local() != "carol" || password != d.password {
		return auth.ErrWrong
	}
	return nil
}

func (d *directory) Exists(_ context.Context, user jid.JID) (bool, error) {
	return user.Local() == "carol", nil
}

func (d *directory) Stamp(user jid.JID) (uint64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stamp, user.Local() == "carol" && !d.unknown
}

func (d *directory) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// inOrg signs in to example.org and returns the condition of failure.
func inOrg(ctx context.Context, s *auth.Service, user, password string) string {
	ex, err := s.Begin(ctx, sasl.Plain, "example.org", safe)
	if err != nil {
		return condition(err)
	}
	_, _, err = ex.Step(ctx, []byte("\x00"+user+"\x00"+password))
	return condition(err)
}

func TestDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := newService(t, auth.Config{VerifiedTTL: time.Minute, LoginCache: time.Hour})
		d := &directory{password: "one"}
		s.Join(d)
		carol := jid.MustParse("carol@example.org")
		step := func(what, user, password, want string, asks int) {
			t.Helper()
			before := d.asked
			if got := inOrg(t.Context(), s, user, password); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			if got := d.asked - before; got != asks {
				t.Errorf("%s: the directory was asked %d times, not %d", what, got, asks)
			}
		}
		if _, err := store.Account(t.Context(), carol); !errors.Is(err, auth.ErrNotFound) {
			t.Fatal(err)
		}
		step("first", "carol", "one", "", 1)
		if a, err := store.Account(t.Context(), carol); err != nil || len(a.Keys) != 0 {
			t.Errorf("%+v, %v", a, err)
		}
		step("verified", "carol", "one", "", 0)
		step("wrong", "carol", "two", sasl.NotAuthorized, 1)
		step("nobody", "dora", "one", sasl.NotAuthorized, 1)
		step("no name", "a@b", "one", sasl.NotAuthorized, 0)
		d.set(func() { d.password, d.stamp = "two", 1 })
		step("changed, old", "carol", "one", sasl.NotAuthorized, 1)
		step("changed, new", "carol", "two", "", 1)

		// Without the directory: who signed in before, with the last password.
		d.set(func() { d.err, d.stamp = fmt.Errorf("%w: it is night", auth.ErrDirectoryAway), 2 })
		step("away, remembered", "carol", "two", "", 1)
		step("away, old password", "carol", "one", sasl.TemporaryAuthFailure, 1)
		step("away, unknown", "dora", "two", sasl.TemporaryAuthFailure, 1)
		d.set(func() { d.unknown = true })
		step("away, not enabled any more", "carol", "two", sasl.TemporaryAuthFailure, 1)
		d.set(func() { d.unknown = false })
		time.Sleep(2 * time.Hour)
		step("away, long ago", "carol", "two", sasl.TemporaryAuthFailure, 1)

		d.set(func() { d.err = sasl.NewFailure(sasl.AccountDisabled, "no") })
		step("disabled", "carol", "two", sasl.AccountDisabled, 1)
		d.set(func() { d.err = errors.New("out of order") })
		step("trouble", "carol", "two", sasl.TemporaryAuthFailure, 1)
		if ok, err := s.Exists(t.Context(), carol); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if ok, err := s.Exists(t.Context(), jid.MustParse("dora@example.org")); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
}

// TestDirectoryGuesses sends many wrong passwords at once: once some have failed, the
// others that stood in line are delayed or refused, too.
func TestDirectoryGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newService(t, auth.Config{FailuresPerMinute: 5, MaxDelay: time.Second})
		d := &directory{password: "one"}
		s.Join(d)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { _ = inOrg(t.Context(), s, "carol", fmt.Sprint("guess ", i)) })
		}
		wg.Wait()
		if d.asked > 20 {
			t.Errorf("%d of 200 guesses were tried", d.asked)
		}
	})
}
