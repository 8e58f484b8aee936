package caldav_test

import (
	"testing"
	"time"

	"github.com/deskline/deskline/internal/radicaletest"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/caldav"
)

// Most of it is Radicale's time.
func BenchmarkUnchanged_Radicale(b *testing.B) {
	r := radicaletest.Start(b, "alice:secret")
	r.MakeCalendar("alice", "secret", "/alice/work/")
	r.Put("alice", "secret", "/alice/work/a.ics", meeting("a", time.Now(), ""))
	s, err := caldav.New(caldav.Config{ClientConfig: calendar.ClientConfig{URL: r.URL() + "/{user}/work/", Username: "alice", Password: "secret"}})
	if err != nil {
		b.Fatal(err)
	}
	ask := calendar.Ask{User: alice, From: time.Now(), Until: time.Now().Add(48 * time.Hour)}
	answer, err := s.Fetch(b.Context(), ask)
	if err != nil {
		b.Fatal(err)
	}
	ask.Tag = answer.Tag
	b.ReportAllocs()
	for b.Loop() {
		if answer, err := s.Fetch(b.Context(), ask); err != nil || !answer.Same {
			b.Fatal(answer, err)
		}
	}
}
