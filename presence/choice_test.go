package presence_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// drawer keeps choices.
type drawer struct {
	mu  sync.Mutex
	all map[jid.JID]presence.Choice
}

func (d *drawer) Choice(_ context.Context, user jid.JID) (presence.Choice, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[user], nil
}

func (d *drawer) SetChoice(_ context.Context, user jid.JID, c presence.Choice) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if user == person("nobody") {
		return presence.ErrNobody
	}
	d.all[user] = c
	return nil
}

// TestChoiceEnds holds that a choice ends when it is to, that what was heard meanwhile
// is there then, and that what was kept counts for who comes again.
func TestChoiceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drawer{all: map[jid.JID]presence.Choice{}}
		w := newWorldWith(t, func(c *presence.Config) { c.Choices = d }, "alice<bob")
		w.online("bob/desk", "alice/desk")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = w.p.Run(ctx) }()
		pass := func(d time.Duration) {
			time.Sleep(d) //nolint:forbidigo // time is synthetic
			synctest.Wait()
		}
		choose := func(state string, lasts time.Duration) {
			t.Helper()
			c, err := presence.NewChoice(state, time.Now().Add(lasts), "", "alice@example.com/desk", time.Now())
			if err == nil {
				err = w.p.Choose(t.Context(), person("alice"), c)
			}
			if err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		state := func(want presence.Name) {
			t.Helper()
			if r, err := w.p.Report(t.Context(), person("alice")); err != nil || r.State != want {
				t.Fatalf("%s, %v, want %s", r.State, err, want)
			}
		}
		told := func(want string) {
			t.Helper()
			if got := w.desks["bob/desk"].take(); len(got) != 1 || !strings.Contains(got[0], want) {
				t.Fatalf("bob is told %q, want one with %s", got, want)
			}
		}
		choose("dnd", time.Hour)
		state(presence.DND)
		err := w.p.Observe(presence.Evidence{User: person("alice"), Source: "s", Item: "1", Line: presence.LineInCall, Expires: time.Now().Add(2 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		pass(59 * time.Minute)
		state(presence.DND)
		told("state='dnd'")
		pass(time.Minute)
		state(presence.OnThePhone)
		told("state='on-the-phone'")

		// Of two the later counts, though the earlier is told last.
		choose("away", time.Hour)
		old := presence.Choice{State: presence.Unavailable, Since: time.Now().Add(-time.Minute)}
		if w.p.AdoptChoice(person("alice"), old, time.Now()) {
			t.Error("an old choice is taken")
		}
		pass(2 * time.Hour)
		state(presence.Available)
		stop()
	})
}

func TestNewChoice(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		state, text string
		until       time.Time
	}{
		"a state of telephones": {"on-the-phone", "", time.Time{}},
		"available":             {"available", "", time.Time{}},
		"in the past":           {"dnd", "", now},
		"in years":              {"dnd", "", now.AddDate(2, 0, 0)},
		"a long text":           {"dnd", strings.Repeat("x", 201), time.Time{}},
		"lines":                 {"dnd", "a\nb", time.Time{}},
		"no text":               {"dnd", "\xff", time.Time{}},
	} {
		if c, err := presence.NewChoice(tt.state, tt.until, tt.text, "x", now); !errors.Is(err, presence.ErrChoice) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if c, err := presence.NewChoice("automatic", now, "text", "x", now); err != nil || c.State != "" || c.Text != "" || c.Since.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
}
