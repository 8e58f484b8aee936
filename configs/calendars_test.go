package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

func TestCalendars(t *testing.T) {
	cfg, err := configs.Parse([]byte("presence: {calendars: [{name: a, url: 'https://cal.example.com/{user}/'}, {name: b, kind: ics, file: '/x/{jid}.ics', refresh: 1m}]}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Presence.Calendars; len(got) != 2 || got[0].Kind != "caldav" || got[0].Refresh != 5*time.Minute || got[1].Refresh != time.Minute {
		t.Errorf("%+v", got)
	}
	for name, tt := range map[string]struct{ item, want string }{
		"no name":      {"url: 'https://c.example/{user}'", "[0].name: is missing"},
		"no place":     {"name: a", "[0].url: is missing"},
		"kind":         {"name: a, kind: ews, url: 'https://c.example/{user}'", "[0].kind: \"ews\" is none of"},
		"no TLS":       {"name: a, url: 'http://c.example/{user}'", "[0].url: has no TLS"},
		"login in it":  {"name: a, url: 'https://x:s3cret@c.example/{user}'", "[0].url: has a login"},
		"all the same": {"name: a, url: 'https://c.example/x'", "[0].url: has no {user}"},
		"no password":  {"name: a, url: 'https://c.example/{user}', username: x", "[0].password_file: is missing"},
		"file":         {"name: a, file: x", "[0].file: is for kind ics"},
		"two places":   {"name: a, kind: ics, file: '{user}', url: 'https://c.example/{user}'", "[0].file: url is set too"},
		"keep":         {"name: a, url: 'https://c.example/{user}', refresh: 1h", "[0].keep: 1h is below twice refresh"},
		"zone":         {"name: a, url: 'https://c.example/{user}', zone: Mars", "[0].zone: \"Mars\" is no time zone"},
		"users":        {"name: a, url: 'https://c.example/{user}', users: [x@else.example]", "[0].users: \"x@else.example\" is nobody"},
		"query":        {"name: a, url: 'https://c.example/{user}', query: all", "[0].query: \"all\" is none of"},
		"at once":      {"name: a, url: 'https://c.example/{user}', at_once: 0", "[0].at_once: 0 is below 1"},
	} {
		_, err := configs.Parse([]byte("presence: {calendars: [{" + tt.item + "}]}"))
		if err == nil || !strings.Contains(err.Error(), "presence.calendars"+tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
