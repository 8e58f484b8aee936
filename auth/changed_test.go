package auth_test

import (
	"context"
	"strings"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

// Others hear of what they are shown, and of nothing else.
func TestChanged(t *testing.T) {
	heard := 0
	s, _ := newService(t, auth.Config{Changed: func(context.Context) { heard++ }})
	if heard != 2 {
		t.Fatalf("%d after two accounts were made", heard)
	}
	s.SetConfig(auth.Config{Iterations: 16})
	for _, tt := range []struct {
		name string
		do   func() error
		want int
	}{
		{"password", func() error { return s.SetPassword(t.Context(), alice, "another") }, 0},
		{"name", func() error { return s.Update(t.Context(), alice, func(a *auth.Account) { a.Name = "Alice" }) }, 1},
		{"group", func() error {
			return s.Update(t.Context(), alice, func(a *auth.Account) { a.Groups = append(a.Groups, "Agents") })
		}, 1},
		{"same group", func() error {
			return s.Update(t.Context(), alice, func(a *auth.Account) { a.Groups[0] = "Agents" })
		}, 0},
		{"disabled", func() error { return s.Update(t.Context(), alice, func(a *auth.Account) { a.Disabled = true }) }, 1},
		{"import", func() error {
			_, err := s.Import(t.Context(), strings.NewReader("dan,secret,Dan\neva,secret,Eva\n"), "example.com", auth.ImportOptions{})
			return err
		}, 1},
		{"deleted", func() error { return s.Delete(t.Context(), bob) }, 1},
		{"nobody", func() error { _ = s.Delete(t.Context(), jid.MustParse("nobody@example.com")); return nil }, 0},
	} {
		heard = 0
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if heard != tt.want {
			t.Errorf("%s: heard %d times, want %d", tt.name, heard, tt.want)
		}
	}
}
