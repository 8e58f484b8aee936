package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/radicaletest"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
)

// TestMeetingOnPair has a meeting begin in a real calendar; the contact is on
// another node than the one that reads it.
func TestMeetingOnPair(t *testing.T) {
	t.Parallel()
	radicale := radicaletest.Start(t, "alice:"+secret)
	radicale.MakeCalendar("alice", secret, "/alice/work/")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse(fmt.Appendf(nil, "domains: [%[1]s]\npresence: {calendars: [{name: work, url: '%[2]s/{user}/work/', users: [alice@%[1]s], "+
		"username: '{user}', password_file: %[3]s, refresh: 1s, keep: 1m}]}", domain, radicale.URL(), file))
	if err != nil {
		t.Fatal(err)
	}
	meet := func(_ context.Context, order string) error {
		const path = "/alice/work/1.ics"
		if order == "cancels" {
			radicale.Delete("alice", secret, path)
			return nil
		}
		at := time.Now().UTC().Add(2 * time.Second)
		radicale.Put("alice", secret, path, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Secret\r\nDTSTAMP:20260101T000000Z\r\n"+
			"DTSTART:"+at.Format("20060102T150405Z")+"\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
		return nil
	}
	playMeeting(t, "work", cfg.Presence.Calendars, begin{contacts: "alice bob\n"}, meet)
}

// playMeeting has alice's meeting begin and be cancelled, as meet does by those words, with her and bob on two nodes. source is the
// calendar's name.
func playMeeting(t *testing.T, source string, calendars []configs.Calendar, people begin, meet func(ctx context.Context, order string) error) {
	t.Helper()
	r := redistest.Start(t, "--appendfsync", "no")
	pair := newPair(t, &txtar.Archive{}, filledStore(t, people), r, t.Name()+":")
	playMeetingOn(t, pair, source, calendars, meet)
}

func playMeetingOn(t *testing.T, pair stages, source string, calendars []configs.Calendar, meet func(ctx context.Context, order string) error) {
	t.Helper()
	for _, s := range pair {
		s.cfg.Presence.Calendars = calendars
	}
	if err := pair.start(); err != nil {
		t.Fatal(err)
	}
	defer pair.stop()
	script, err := xmpptest.Parse(t.Name(), strings.ReplaceAll(`
bob/desk comes online
alice/desk comes online
bob/desk gets <presence from='alice@example.com/desk'/>
alice/desk gets <presence from='bob@example.com/desk'/>
the administrator begins
bob/desk gets <presence from='alice@example.com/desk'><show>dnd</show><status>In a meeting</status>
  <composed xmlns='urn:deskline:presence:1' state='in-a-meeting' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'>
  <composed xmlns='urn:deskline:presence:1' state='in-a-meeting' ...><source name='SOURCE' item='SOURCE' state='busy' .../></composed></presence>
the administrator cancels
bob/desk gets <presence from='alice@example.com/desk'><composed xmlns='urn:deskline:presence:1' state='available' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'>
  <composed xmlns='urn:deskline:presence:1' state='available' ...><source name='SOURCE' item='SOURCE' state='free' .../></composed></presence>
`, "SOURCE", source))
	if err != nil {
		t.Fatal(err)
	}
	err = xmpptest.Play(t.Context(), xmpptest.Config{
		Domain: domain, Password: secret, Door: xmpptest.WebSocket, URL: pair.apart, Administer: meet,
	}, script)
	if err != nil {
		t.Error(err)
	}
}
