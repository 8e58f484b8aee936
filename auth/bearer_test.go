package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

// issuer knows tokens by heart.
type issuer map[string]auth.Holder

func (i issuer) Offered(domain string) bool { return domain == "example.com" }

func (i issuer) Check(_ context.Context, _, token string) (auth.Holder, error) {
	h, ok := i[token]
	switch {
	case token == "expired":
		return h, &sasl.Refusal{Status: sasl.InvalidToken, Failure: sasl.NewFailure(sasl.CredentialsExpired, "")}
	case !ok:
		return h, &sasl.Refusal{Status: sasl.InvalidToken, Failure: &sasl.Failure{Condition: sasl.NotAuthorized, Cause: fmt.Errorf("signature: %w", auth.ErrForged)}}
	}
	return h, nil
}

var known = issuer{
	"of alice": {JID: alice},
	"of carol": {JID: jid.MustParse("carol@example.com"), Name: "Carol", Email: "carol@example.com"},
	"of dave":  {JID: jid.MustParse("dave@example.com"), Name: "Dave", Email: "dave@example.com", Create: true},
}

// bearer signs in by token and returns who is in, or the condition of failure.
func bearer(ctx context.Context, s *auth.Service, authzid, token string) (who, failure string) {
	ex, err := s.Begin(ctx, sasl.OAuthBearer, "example.com", safe)
	if err != nil {
		return "", condition(err)
	}
	header := "n,,"
	if authzid != "" {
		header = "n,a=" + authzid + ","
	}
	_, done, err := ex.Step(ctx, []byte(header+"\x01auth=Bearer "+token+"\x01\x01"))
	if err == nil && !done {
		_, _, err = ex.Step(ctx, []byte("\x01"))
	}
	if err != nil {
		return "", condition(err)
	}
	return ex.Identity().String(), ""
}

func TestBearerOffered(t *testing.T) {
	s, _ := newService(t, auth.Config{})
	offered := func(domain string, ch sasl.Channel) bool {
		return slices.Contains(s.Mechanisms(domain, ch), sasl.OAuthBearer)
	}
	if _, err := s.Begin(t.Context(), sasl.OAuthBearer, "example.com", safe); offered("example.com", safe) || condition(err) != sasl.InvalidMechanism {
		t.Errorf("without issuers: %v", err)
	}
	s.SetTokens(known)
	for _, tt := range []struct {
		domain string
		ch     sasl.Channel
		want   bool
	}{{"example.com", safe, true}, {"example.org", safe, false}, {"example.com", unsafe, false}} {
		if offered(tt.domain, tt.ch) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
	if _, err := s.Begin(t.Context(), sasl.OAuthBearer, "example.org", safe); condition(err) != sasl.InvalidMechanism {
		t.Errorf("another domain: %v", err)
	}
	if _, err := s.Begin(t.Context(), sasl.OAuthBearer, "example.com", unsafe); condition(err) != sasl.EncryptionRequired {
		t.Errorf("a channel that others hear: %v", err)
	}
	s.SetConfig(auth.Config{Mechanisms: []string{sasl.OAuthBearer}})
	if got := s.Mechanisms("example.com", safe); !slices.Equal(got, []string{sasl.OAuthBearer}) {
		t.Errorf("nothing else: %v", got)
	}
}

func TestBearer(t *testing.T) {
	s, store := newService(t, auth.Config{})
	if err := s.Update(t.Context(), bob, func(a *auth.Account) { a.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	s.SetTokens(issuer{"alice": known["of alice"], "carol": known["of carol"], "dave": known["of dave"], "bob": {JID: bob, Create: true}})
	for _, tt := range []struct{ name, authzid, token, who, failure string }{
		{"no authzid", "", "alice", "alice@example.com", ""},
		{"own authzid", "alice@example.com", "alice", "alice@example.com", ""},
		{"own authzid, not prepared", "ALICE@example.com", "alice", "alice@example.com", ""},
		{"another's authzid", "bob@example.com", "alice", "", sasl.InvalidAuthzid},
		{"authzid without domain", "alice", "alice", "", sasl.InvalidAuthzid},
		{"disabled account", "", "bob", "", sasl.AccountDisabled},
		{"no account", "", "carol", "", sasl.NotAuthorized},
		{"account is made", "", "dave", "dave@example.com", ""},
		{"account is there by now", "", "dave", "dave@example.com", ""},
		{"expired", "", "expired", "", sasl.CredentialsExpired},
		{"forged", "", "x", "", sasl.NotAuthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if who, failure := bearer(t.Context(), s, tt.authzid, tt.token); who != tt.who || failure != tt.failure {
				t.Errorf("%s, %s", who, failure)
			}
		})
	}
	dave := store.accounts[known["of dave"].JID]
	if dave.Name != "Dave" || dave.Email != "dave@example.com" || len(dave.Keys) != 0 || dave.Created.IsZero() {
		t.Errorf("%+v", dave)
	}
	// He has no password that anybody could guess, until he sets one.
	for _, pw := range []string{"", "x", password} {
		if got := plain(t.Context(), s, safe, "", "dave", pw); got == "" {
			t.Errorf("signed in with %q", pw)
		}
	}
	store.err = errors.New("disk on fire")
	if _, failure := bearer(t.Context(), s, "", "alice"); failure != sasl.TemporaryAuthFailure {
		t.Errorf("a broken store: %s", failure)
	}
}

// Made-up tokens slow down their address, expired ones and those of others not.
func TestBearerThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newService(t, auth.Config{FailuresPerMinute: 5})
		s.SetTokens(issuer{"alice": known["of alice"]})
		took := func(token string) time.Duration {
			began := time.Now()
			bearer(t.Context(), s, "", token)
			return time.Since(began)
		}
		for range 50 {
			if d := took("expired"); d != 0 {
				t.Fatalf("delayed for expired tokens: %v", d)
			}
		}
		for range 5 {
			took("x")
		}
		if d := took("x"); d == 0 {
			t.Error("guessing is not slowed down")
		}
		time.Sleep(10 * time.Minute) // all is forgotten; then the address shows that it is somebody's
		took("alice")
		for range 5 {
			plain(t.Context(), s, safe, "", "bob", "wrong")
		}
		if d := took("alice"); d != 0 {
			t.Errorf("delayed for others' wrong passwords: %v", d)
		}
	})
}

// listing is a directory that has some people, by whether they may chat.
type listing map[jid.JID]bool

func (l listing) Holds(domain string) bool { return domain == "example.com" }

func (l listing) Login(context.Context, jid.JID, string, func() error) error { return auth.ErrWrong }

func (l listing) Exists(_ context.Context, user jid.JID) (bool, error) { return l[user], nil }

func (l listing) Stamp(jid.JID) (uint64, bool) { return 0, false }

func TestBearerOfDirectory(t *testing.T) {
	s, store := newService(t, auth.Config{})
	s.SetTokens(issuer{"alice": known["of alice"], "carol": known["of carol"], "dave": known["of dave"]})
	carol := jid.MustParse("carol@example.com")
	s.Join(listing{carol: true, alice: false})
	if who, failure := bearer(t.Context(), s, "", "carol"); who != carol.String() || failure != "" {
		t.Errorf("enabled: %s %s", who, failure)
	}
	if _, err := store.Account(t.Context(), carol); err != nil {
		t.Errorf("contacts of carol have no account to hang on: %v", err)
	}
	for _, token := range []string{"alice", "dave"} { // not enabled, not in it
		if who, failure := bearer(t.Context(), s, "", token); failure != sasl.AccountDisabled {
			t.Errorf("%s: %s %s", token, who, failure)
		}
	}
}
