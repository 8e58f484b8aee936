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
		"kind":         {"name: a, kind: google, url: 'https://c.example/{user}'", "[0].kind: \"google\" is none of"},
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

func TestExchange(t *testing.T) {
	cfg, err := configs.Parse([]byte(`presence: {calendars: [
  {name: cloud, kind: graph, tenant: example.onmicrosoft.com, client_id: x, client_secret_file: /s},
  {name: gov, kind: graph, url: 'https://graph.microsoft.us/v1.0', token_url: 'https://login.microsoftonline.us/t/oauth2/v2.0/token', client_id: x, client_cert_file: /c, client_key_file: /k},
  {name: here, kind: ews, url: 'https://mail.example.com/EWS/Exchange.asmx', username: 'EXAMPLE\presence', password_file: /p, mailbox: '{mail}'},
  {name: hybrid, kind: ews, auth: oauth, url: 'https://outlook.office365.com/EWS/Exchange.asmx', tenant: t, client_id: x, client_secret_file: /s, ask_as: p@example.com}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ address, tokens, scope string }{
		{"https://graph.microsoft.com/v1.0", "https://login.microsoftonline.com/example.onmicrosoft.com/oauth2/v2.0/token", "https://graph.microsoft.com/.default"},
		{"https://graph.microsoft.us/v1.0", "https://login.microsoftonline.us/t/oauth2/v2.0/token", "https://graph.microsoft.us/.default"},
		{address: "https://mail.example.com/EWS/Exchange.asmx"},
		{"https://outlook.office365.com/EWS/Exchange.asmx", "https://login.microsoftonline.com/t/oauth2/v2.0/token", "https://outlook.office365.com/.default"},
	} {
		c := cfg.Presence.Calendars[i]
		if c.Address() != want.address || want.scope != "" && (c.Tokens() != want.tokens || c.Scope() != want.scope) || c.OAuth() != (want.scope != "") {
			t.Errorf("%s: %s %s %s", c.Name, c.Address(), c.Tokens(), c.Scope())
		}
	}
	graph := "name: a, kind: graph, client_id: x, client_secret_file: /s, "
	ews := "name: a, kind: ews, url: 'https://c.example/EWS/Exchange.asmx', "
	for name, tt := range map[string]struct{ item, want string }{
		"no tenant":       {graph, "[0].tenant: is missing"},
		"tenant":          {graph + "tenant: a/b", "[0].tenant: \"a/b\" is neither"},
		"both":            {graph + "tenant: a, token_url: 'https://x.example'", "[0].token_url: tenant is set too"},
		"tokens by http":  {graph + "token_url: 'http://x.example'", "[0].token_url: has no TLS"},
		"two secrets":     {graph + "tenant: a, client_cert_file: /c", "[0].client_cert_file: client_secret_file is set too"},
		"no key":          {"name: a, kind: graph, tenant: a, client_id: x, client_cert_file: /c", "[0].client_key_file: is missing"},
		"no secret":       {"name: a, kind: graph, tenant: a, client_id: x", "[0].client_secret_file: is missing"},
		"no client":       {"name: a, kind: graph, tenant: a, client_secret_file: /s", "[0].client_id: is missing"},
		"a password":      {graph + "tenant: a, username: x", "[0].username: is not for sign-in by a token"},
		"one mailbox":     {graph + "tenant: a, mailbox: a@example.com", "[0].mailbox: has no {user}, {jid} or {mail}"},
		"placeholder":     {graph + "tenant: a, url: 'https://x.example/{user}'", "[0].url: is the same for all"},
		"nobody asks":     {graph + "tenant: a, ask_as: presence", "[0].ask_as: \"presence\" is no mail address"},
		"own logins":      {graph + "tenant: a, logins_file: /l", "[0].logins_file: is for kinds ics and caldav"},
		"no url":          {"name: a, kind: ews", "[0].url: is missing"},
		"ews no account":  {ews, "[0].username: is missing"},
		"ews no password": {ews + "username: x", "[0].password_file: is missing"},
		"auth":            {ews + "auth: kerberos", "[0].auth: \"kerberos\" is none of"},
		"impersonate":     {ews + "auth: oauth, tenant: a, client_id: x, client_secret_file: /s", "[0].ask_as: is missing"},
		"no token":        {ews + "username: x, password_file: /p, tenant: a", "[0].tenant: is for kind graph"},
		"watch":           {graph + "tenant: a, watch: true", "[0].notify_url: is missing: the address of this node on the internet"},
		"watch of ics":    {"name: a, kind: ics, file: '/{user}', watch: true", "[0].watch: is for kinds graph and ews"},
		"notify http":     {graph + "tenant: a, watch: true, notify_url: 'http://x/presence/v1/graph'", `[0].notify_url: "http://x/presence/v1/graph" is not https, which Microsoft 365 asks for`},
		"notify path":     {graph + "tenant: a, watch: true, notify_url: 'https://x/'", `[0].notify_url: "https://x/" does not end in /presence/v1/graph`},
		"notify query":    {graph + "tenant: a, watch: true, notify_url: 'https://x/presence/v1/graph?a'", `[0].notify_url: "https://x/presence/v1/graph?a" is no address, such as`},
		"notify alone":    {graph + "tenant: a, notify_url: 'https://x/presence/v1/graph'", "[0].notify_url: does nothing without watch: true"},
		"of caldav":       {"name: a, url: 'https://c.example/{user}', ask_as: x@example.com", "[0].mailbox: and ask_as are for"},
	} {
		_, err := configs.Parse([]byte("presence: {calendars: [{" + tt.item + "}]}"))
		if err == nil || !strings.Contains(err.Error(), "presence.calendars"+tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
