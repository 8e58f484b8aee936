package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/radicaletest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// The sources that a configuration asks for tell of whom they have to.
func TestCalendars(t *testing.T) {
	r := radicaletest.Start(t, "alice:secret")
	r.MakeCalendar("alice", "secret", "/alice/work/")
	begin := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	text := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:" + begin.Format("20060102T150405Z") +
		"\r\nDURATION:PT1H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	r.Put("alice", "secret", "/alice/work/1.ics", text)
	dir := t.TempDir()
	for name, text := range map[string]string{"password": "secret\n", "bob.ics": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := configs.Parse([]byte(`
domains: [example.com]
presence:
  calendars:
    - name: work
      url: ` + r.URL() + `/{user}/work/
      users: [alice@example.com]
      username: "{user}"
      password_file: ` + dir + `/password
    - name: exported
      kind: ics
      file: ` + dir + `/{user}.ics
`))
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := jid.MustParse("alice@example.com"), jid.MustParse("bob@example.com")
	all, err := calendars(cfg, nil, func() []jid.JID { return []jid.JID{alice, bob} }, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(chan presence.Evidence), make(chan error, len(all))
	for _, s := range all {
		go func() { ended <- s.Run(ctx, out) }()
	}
	said := map[string]presence.Evidence{}
	for limit := time.After(time.Minute); len(said) < 2; {
		select {
		case e := <-out:
			said[e.Source+" "+e.User.String()] = e
		case <-limit:
			t.Fatalf("only %v", said)
		}
	}
	cancel()
	for range all {
		<-ended
	}
	for _, who := range []string{"work alice@example.com", "exported bob@example.com"} {
		if e := said[who]; len(e.Periods) != 1 || !e.Periods[0].From.Equal(begin) || e.Periods[0].Slot != presence.SlotBusy {
			t.Errorf("%s: %+v", who, e)
		}
	}
}
