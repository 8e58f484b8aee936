package auth_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/sasl"
)

const password = "correct horse"

var (
	alice  = jid.MustParse("alice@example.com")
	bob    = jid.MustParse("bob@example.com")
	safe   = sasl.Channel{Secure: true, Remote: netip.MustParseAddr("192.0.2.1")}
	unsafe = sasl.Channel{Remote: netip.MustParseAddr("192.0.2.1")}
)

func newService(t *testing.T, cfg auth.Config) (*auth.Service, *memory) {
	t.Helper()
	store := newMemory()
	if cfg.Iterations == 0 {
		cfg.Iterations = 16 // the tests are not about strength
	}
	s := auth.New(store, cfg)
	for _, j := range []jid.JID{alice, bob} {
		if err := s.Create(t.Context(), auth.Account{JID: j}, password); err != nil {
			t.Fatal(err)
		}
	}
	return s, store
}

// plain signs in with PLAIN and returns the condition of failure.
func plain(ctx context.Context, s *auth.Service, ch sasl.Channel, authzid, user, password string) string {
	ex, err := s.Begin(ctx, sasl.Plain, "example.com", ch)
	if err != nil {
		return condition(err)
	}
	_, done, err := ex.Step(ctx, []byte(authzid+"\x00"+user+"\x00"+password))
	if err == nil && (!done || ex.Identity().Domain() != "example.com") {
		return "odd success"
	}
	return condition(err)
}

func condition(err error) string {
	if f, ok := errors.AsType[*sasl.Failure](err); ok {
		return f.Condition
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// scramLogin signs in with SCRAM and returns what the server said first.
func scramLogin(ctx context.Context, s *auth.Service, mech string, ch sasl.Channel, user, password string) (first string, err error) {
	gen := map[string]scram.HashGeneratorFcn{
		sasl.ScramSHA1: scram.SHA1, sasl.ScramSHA256: scram.SHA256, sasl.ScramSHA512: scram.SHA512,
	}[mech]
	client, err := gen.NewClient(user, password, "")
	if err != nil {
		return "", err
	}
	ex, err := s.Begin(ctx, mech, "example.com", ch)
	if err != nil {
		return "", err
	}
	conv := client.WithMinIterations(1).NewConversation()
	msg, done := "", false
	for !done {
		if msg, err = conv.Step(msg); err != nil {
			return first, err
		}
		var challenge []byte
		if challenge, done, err = ex.Step(ctx, []byte(msg)); err != nil {
			return first, err
		}
		if msg = string(challenge); first == "" {
			first = msg
		}
	}
	_, err = conv.Step(msg)
	return first, err
}

func TestMechanisms(t *testing.T) {
	tests := []struct {
		name string
		cfg  auth.Config
		ch   sasl.Channel
		want string
	}{
		{"safe channel", auth.Config{}, safe, "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		{"unsafe channel", auth.Config{}, unsafe, "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1"},
		{"allowed all the same", auth.Config{PlainInsecure: true}, unsafe, "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"},
		{"chosen", auth.Config{Mechanisms: []string{sasl.Plain, sasl.ScramSHA1}}, safe, "SCRAM-SHA-1 PLAIN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newService(t, tt.cfg)
			offered := s.Mechanisms("example.com", tt.ch)
			if got := strings.Join(offered, " "); got != tt.want {
				t.Fatalf("offered %s", got)
			}
			for _, m := range []string{sasl.ScramSHA512, sasl.ScramSHA256, sasl.ScramSHA1, sasl.Plain, "ANONYMOUS", ""} {
				_, err := s.Begin(t.Context(), m, "example.com", tt.ch)
				if (err == nil) != slices.Contains(offered, m) {
					t.Errorf("begin %s: %v", m, err)
				}
			}
		})
	}
}

func TestSCRAMLogin(t *testing.T) {
	s, store := newService(t, auth.Config{})
	for _, mech := range []string{sasl.ScramSHA1, sasl.ScramSHA256, sasl.ScramSHA512} {
		tests := []struct{ name, user, password, want string }{
			{"right", "alice", password, ""},
			{"prepared name", "ALICE", password, ""},
			{"wrong password", "alice", "x", sasl.NotAuthorized},
			{"unknown user", "eve", password, sasl.NotAuthorized},
			{"impossible user", "e/v@e", password, sasl.NotAuthorized},
		}
		for _, tt := range tests {
			t.Run(mech+"/"+tt.name, func(t *testing.T) {
				_, err := scramLogin(t.Context(), s, mech, unsafe, tt.user, tt.password)
				if condition(err) != tt.want {
					t.Fatal(err)
				}
			})
		}
	}
	for _, k := range store.accounts[alice].Keys {
		if strings.Contains(string(k.StoredKey)+string(k.ServerKey), password) || len(k.Salt) != 16 {
			t.Fatal("odd keys")
		}
	}
}

func TestUnknownUserLooksReal(t *testing.T) {
	cfg := auth.Config{Secret: []byte("of this server"), Iterations: 4096}
	s, store := newService(t, cfg)
	again := auth.New(store, cfg) // as after a restart
	salt := func(s *auth.Service, mech, user string) string {
		first, err := scramLogin(t.Context(), s, mech, unsafe, user, "x")
		if condition(err) != sasl.NotAuthorized {
			t.Fatal(err)
		}
		_, salt, _ := strings.Cut(first, ",s=")
		return salt
	}
	eve := salt(s, sasl.ScramSHA256, "eve")
	if real := salt(s, sasl.ScramSHA256, "alice"); len(eve) != len(real) || eve == real {
		t.Fatalf("made up %q, real %q", eve, real)
	}
	if eve != salt(s, sasl.ScramSHA256, "Eve") || eve != salt(again, sasl.ScramSHA256, "eve") {
		t.Fatal("made-up salt changes")
	}
	if eve == salt(s, sasl.ScramSHA1, "eve") || eve == salt(s, sasl.ScramSHA256, "mallory") {
		t.Fatal("made-up salt is shared")
	}
}

func TestPlainLogin(t *testing.T) {
	tests := []struct {
		name, authzid, user, password, want string
		ch                                  sasl.Channel
	}{
		{name: "right", user: "alice", password: password, ch: safe},
		{name: "prepared name", user: "Alice", password: password, ch: safe},
		{name: "own authzid", authzid: "Alice@example.com", user: "alice", password: password, ch: safe},
		{name: "other's authzid", authzid: "bob@example.com", user: "alice", password: password, want: sasl.InvalidAuthzid, ch: safe},
		{name: "authzid with resource", authzid: "alice@example.com/x", user: "alice", password: password, want: sasl.InvalidAuthzid, ch: safe},
		{name: "odd authzid", authzid: "@", user: "alice", password: password, want: sasl.InvalidAuthzid, ch: safe},
		{name: "wrong password", user: "alice", password: "x", want: sasl.NotAuthorized, ch: safe},
		{name: "wrong password, other's authzid", authzid: "bob@example.com", user: "alice", password: "x", want: sasl.NotAuthorized, ch: safe},
		{name: "impossible password", user: "alice", password: "\a", want: sasl.NotAuthorized, ch: safe},
		{name: "unknown user", user: "eve", password: password, want: sasl.NotAuthorized, ch: safe},
		{name: "unsafe channel", user: "alice", password: password, want: sasl.EncryptionRequired, ch: unsafe},
	}
	s, _ := newService(t, auth.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // the second time perhaps from the cache
				if got := plain(t.Context(), s, tt.ch, tt.authzid, tt.user, tt.password); got != tt.want {
					t.Fatalf("condition %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestDisabledAccount(t *testing.T) {
	s, _ := newService(t, auth.Config{})
	if err := s.Update(t.Context(), alice, func(a *auth.Account) { a.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if got := plain(t.Context(), s, safe, "", "alice", password); got != sasl.AccountDisabled {
		t.Fatalf("right password: %q", got)
	}
	if got := plain(t.Context(), s, safe, "", "alice", "x"); got != sasl.NotAuthorized {
		t.Fatalf("wrong password: %q", got)
	}
	if _, err := scramLogin(t.Context(), s, sasl.ScramSHA1, safe, "alice", password); condition(err) != sasl.AccountDisabled {
		t.Fatalf("SCRAM: %v", err)
	}
}

// A password that proves right is used to make the keys that are missing.
func TestLoginCompletesKeys(t *testing.T) {
	s, store := newService(t, auth.Config{Mechanisms: []string{sasl.ScramSHA1, sasl.Plain}, VerifiedTTL: -1})
	if _, err := scramLogin(t.Context(), s, sasl.ScramSHA1, safe, "alice", password); err != nil {
		t.Fatal(err)
	}
	before := store.accounts[alice].Keys
	s.SetConfig(auth.Config{Iterations: 20, VerifiedTTL: -1})
	scram := func(mech, want string) {
		t.Helper()
		if _, err := scramLogin(t.Context(), s, mech, safe, "alice", password); condition(err) != want {
			t.Errorf("%s: %v, want %q", mech, err, want)
		}
	}
	scram(sasl.ScramSHA512, sasl.NotAuthorized)
	if got := plain(t.Context(), s, safe, "", "alice", "x"); got != sasl.NotAuthorized || len(store.accounts[alice].Keys) != 2 {
		t.Fatalf("%q, keys %v", got, store.accounts[alice].Keys)
	}
	for range 2 {
		if got := plain(t.Context(), s, safe, "", "alice", password); got != "" {
			t.Fatal(got)
		}
	}
	for _, mech := range []string{sasl.ScramSHA1, sasl.ScramSHA256, sasl.ScramSHA512} {
		scram(mech, "")
		if k := store.accounts[alice].Keys[mech]; k.Iterations != 20 {
			t.Errorf("%s has %d iterations", mech, k.Iterations)
		}
	}
	if len(before) != 2 || before[sasl.ScramSHA1].Iterations != 16 {
		t.Errorf("keys handed out before changed: %v", before)
	}
	// A store that cannot write does not keep anybody out.
	s.SetConfig(auth.Config{Iterations: 24, VerifiedTTL: -1})
	store.readOnly = errors.New("disk on fire")
	if got := plain(t.Context(), s, safe, "", "alice", password); got != "" || store.accounts[alice].Keys[sasl.ScramSHA1].Iterations != 20 {
		t.Errorf("%q, keys %v", got, store.accounts[alice].Keys)
	}
}

func TestSetPassword(t *testing.T) {
	s, _ := newService(t, auth.Config{})
	if got := plain(t.Context(), s, safe, "", "alice", password); got != "" {
		t.Fatal(got)
	}
	if err := s.SetPassword(t.Context(), alice, "new"); err != nil {
		t.Fatal(err)
	}
	if got := plain(t.Context(), s, safe, "", "alice", password); got != sasl.NotAuthorized {
		t.Fatalf("old password: %q", got)
	}
	for _, mech := range []string{sasl.ScramSHA1, sasl.ScramSHA256, sasl.ScramSHA512} {
		if _, err := scramLogin(t.Context(), s, mech, safe, "alice", "new"); err != nil {
			t.Fatalf("%s: %v", mech, err)
		}
	}
	for name, tt := range map[string]struct {
		j    jid.JID
		pw   string
		want error
	}{
		"unknown":        {jid.MustParse("eve@example.com"), "x", auth.ErrNotFound},
		"empty password": {alice, "", sasl.ErrPassword},
	} {
		if err := s.SetPassword(t.Context(), tt.j, tt.pw); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateRefused(t *testing.T) {
	s, _ := newService(t, auth.Config{})
	for name, tt := range map[string]struct {
		j    string
		pw   string
		want error
	}{
		"twice":         {"alice@example.com", "x", auth.ErrExists},
		"no local part": {"example.com", "x", jid.ErrMalformed},
		"full JID":      {"eve@example.com/x", "x", jid.ErrMalformed},
		"bad password":  {"eve@example.com", "\x00", sasl.ErrPassword},
	} {
		if err := s.Create(t.Context(), auth.Account{JID: jid.MustParse(tt.j)}, tt.pw); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExists(t *testing.T) {
	s, store := newService(t, auth.Config{})
	eve := jid.MustParse("eve@example.com")
	check := func(j jid.JID, want bool) {
		t.Helper()
		for range 3 {
			if got, err := s.Exists(t.Context(), j); got != want || err != nil {
				t.Fatalf("%s: %v, %v", j, got, err)
			}
		}
	}
	check(alice, true)
	check(jid.MustParse("alice@example.com/desk"), true)
	check(eve, false)
	check(jid.MustParse("example.com"), false)
	if store.reads != 2 {
		t.Fatalf("%d reads", store.reads)
	}
	if err := s.Create(t.Context(), auth.Account{JID: eve}, "x"); err != nil {
		t.Fatal(err)
	}
	check(eve, true)
	if err := s.Delete(t.Context(), eve); err != nil {
		t.Fatal(err)
	}
	check(eve, false)
	store.err = errors.New("disk on fire")
	if _, err := s.Exists(t.Context(), jid.MustParse("new@example.com")); !errors.Is(err, store.err) {
		t.Fatal(err)
	}
	if got := plain(t.Context(), s, safe, "", "alice", password); got != sasl.TemporaryAuthFailure {
		t.Fatal(got)
	}
}
