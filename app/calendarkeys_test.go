package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/radicaletest"
)

// meeting is a calendar with one that goes on now.
func meeting() string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:" +
		time.Now().UTC().Add(-time.Minute).Format("20060102T150405Z") + "\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

// calendarsOf reads items of presence.calendars.
func calendarsOf(t *testing.T, items ...string) []configs.Calendar {
	t.Helper()
	cfg, err := configs.Parse([]byte("presence: {calendars: [" + strings.Join(items, ", ") + "]}"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Presence.Calendars
}

// of returns what the node knows of somebody.
func (s *server) of(user string) string {
	s.t.Helper()
	return get(s.t, "http://"+s.ops+"/presence?user="+user+"@localhost")
}

func (s *server) knows(user string, parts ...string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprint(user, parts), func() bool {
		text := s.of(user)
		return !slices.ContainsFunc(parts, func(p string) bool {
			word, not := strings.CutPrefix(p, "!")
			return strings.Contains(text, word) == not
		})
	})
}

const inAMeeting, atLeisure = `"state":"in-a-meeting"`, `"state":"available"`

// TestCalendarKeys adds, changes and removes calendars of a node that runs; one is of a
// real Radicale.
func TestCalendarKeys(t *testing.T) {
	t.Parallel()
	radicale := radicaletest.Start(t, "alice:secret", "bob:secret")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, user := range []string{"alice", "bob"} {
		radicale.MakeCalendar(user, "secret", "/"+user+"/work/")
		radicale.Put(user, "secret", "/"+user+"/work/1.ics", meeting())
		write(user+".ics", meeting())
	}
	secret := write("password", "wrong\n")
	work := func(more string) string {
		return "{name: work, url: '" + radicale.URL() + "/{user}/work/', username: '{user}', password_file: " + secret + more + "}"
	}
	files := "{name: files, kind: ics, file: '" + dir + "/{user}.ics'}"

	r := startReloader(t, nil)
	for _, user := range []string{"alice", "bob"} {
		r.login(user).ask("<presence xmlns='jabber:client'/>")
	}
	r.knows("alice", atLeisure)

	r.changes(func(c *configs.Config) { c.Presence.Calendars = calendarsOf(t, files) })
	r.knows("alice", inAMeeting, `"files"`)
	r.knows("bob", inAMeeting, `"files"`)

	// A second one leaves the first alone. Its password is wrong at first, and another by and by: the path is the same.
	r.changes(func(c *configs.Config) { c.Presence.Calendars = calendarsOf(t, files, work("")) })
	r.sources("kind=calendars ended=[] begun=[work] kept=1")
	write("password", "secret\n")
	r.changes(func(*configs.Config) {})
	r.sources("kind=calendars ended=[work] begun=[work] kept=1")
	r.knows("alice", `"work"`, `"files"`)
	r.knows("bob", `"work"`, `"files"`)

	// Nothing of this is taken over, though the list of calendars could be.
	for name, tt := range map[string]struct {
		change func(*configs.Config)
		why    string
	}{
		"a bad one beside": {func(c *configs.Config) {
			c.Presence.Calendars = append(calendarsOf(t, files), configs.Calendar{Name: "bad", Kind: "ics"})
		}, "presence.calendars[1]"},
		"no password": {func(c *configs.Config) {
			c.Presence.Calendars = calendarsOf(t, strings.ReplaceAll(work(""), "/password", "/nowhere"))
		}, "presence.calendars[0]"},
		"another key": {func(c *configs.Config) { c.Presence.Calendars, c.BOSH.Wait = nil, time.Hour }, "bosh.wait"},
	} {
		t.Run(name, func(t *testing.T) { r.refuses(tt.change, tt.why) })
	}
	r.knows("alice", `"work"`, `"files"`)

	// For alice alone: bob's is forgotten, hers counts all the while.
	radicale.Kill()
	r.changes(func(c *configs.Config) {
		c.Presence.Calendars = calendarsOf(t, files, work(", users: [alice@localhost]"))
	})
	r.knows("bob", `!"work"`, `"files"`)
	r.knows("alice", `"work"`, `"files"`)
	radicale.Start()

	r.changes(func(c *configs.Config) { c.Presence.Calendars = calendarsOf(t, work(", users: [alice@localhost]")) })
	r.sources("kind=calendars ended=[files] begun=[] kept=1")
	r.knows("bob", atLeisure)
	r.knows("alice", inAMeeting, `!"files"`)
	r.changes(func(c *configs.Config) { c.Presence.Calendars = nil })
	r.knows("alice", atLeisure)

	for range 10 { // faster than any is read
		r.changes(func(c *configs.Config) { c.Presence.Calendars = calendarsOf(t, files, work("")) })
		r.changes(func(c *configs.Config) { c.Presence.Calendars = nil })
	}
	r.knows("alice", atLeisure)
	r.knows("bob", atLeisure)
}
