package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

func TestSwitches(t *testing.T) {
	cfg, err := configs.Parse([]byte(`
presence:
  asterisk:
    - {address: pbx.example.com, user: desk, password_file: /run/a}
    - {name: b, address: "[2001:db8::1]:5555", tls: true, user: desk, password_file: /run/b, watch: devices, expires: 30s, prefix: "+4930"}
    - {address: "2001:db8::2", tls: true, server_name: c.example.com, user: desk, password_file: /run/c}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ id, address, host string }{
		{"pbx.example.com", "pbx.example.com:5038", "pbx.example.com"}, {"b", "[2001:db8::1]:5555", "2001:db8::1"}, {"2001:db8::2", "[2001:db8::2]:5039", "c.example.com"},
	} {
		a := cfg.Presence.Asterisk[i]
		if a.ID() != want.id || a.HostPort() != want.address || a.Host() != want.host {
			t.Errorf("%d: %s %s %s", i, a.ID(), a.HostPort(), a.Host())
		}
	}
	cfg2, err := configs.Parse([]byte(`presence: {freeswitch: [{address: "::1", password_file: f}, {address: pbx, tls: true, password_file: f}, {name: x, address: "pbx:1", plain: any, password_file: f}]}`))
	if err != nil || cfg2.Presence.FreeSWITCH[0].HostPort() != "[::1]:8021" || cfg2.Presence.FreeSWITCH[1].Host() != "pbx" || cfg2.Presence.FreeSWITCH[2].ID() != "x" {
		t.Errorf("%+v %v", cfg2.Presence.FreeSWITCH, err)
	}
	a := cfg.Presence.Asterisk
	if a[0].OfDevices() || a[0].Kind != "ami" || a[0].Expires != time.Minute || !a[1].OfDevices() || a[1].Prefix != "+4930" || len(a[1].Technologies) != 5 {
		t.Errorf("%+v", a)
	}
}

func TestAsteriskByREST(t *testing.T) {
	cfg, err := configs.Parse([]byte(`
presence:
  asterisk:
    - {kind: ari, address: 127.0.0.1, user: desk, password_file: /run/a}
    - {kind: ari, address: pbx.example.com, tls: true, path: /asterisk/ari, user: desk, password_file: /run/a, watch: devices, devices: ["Custom:2001"]}
    - {kind: ari, address: "[2001:db8::1]:80", plain: any, user: desk, password_file: /run/a, app: desk_2}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"http://127.0.0.1:8088/ari", "https://pbx.example.com:8089/asterisk/ari", "http://[2001:db8::1]:80/ari"} {
		if a := cfg.Presence.Asterisk[i]; a.URL() != want || !a.OfDevices() {
			t.Errorf("%s, want %s", a.URL(), want)
		}
	}
}

func TestSwitchesRefused(t *testing.T) {
	const good = "presence: {asterisk: [{address: pbx, user: a, password_file: f, "
	for name, tt := range map[string]struct{ file, want string }{
		"no address":    {"presence: {asterisk: [{user: a, password_file: f}]}", "presence.asterisk[0].address: is missing"},
		"bad address":   {"presence: {asterisk: [{address: 'a b', user: a, password_file: f}]}", `presence.asterisk[0].address: "a b" is no address`},
		"bad port":      {"presence: {asterisk: [{address: 'a:99999', user: a, password_file: f}]}", `presence.asterisk[0].address: "a:99999" is no address`},
		"no user":       {"presence: {asterisk: [{address: a, password_file: f}]}", "presence.asterisk[0].user: is missing"},
		"no password":   {"presence: {asterisk: [{address: a, user: a}]}", "presence.asterisk[0].password_file: is missing"},
		"password":      {good + "password: x}]}", "presence.asterisk[0].password: unknown key"},
		"watch":         {good + "watch: all}]}", `presence.asterisk[0].watch: "all" is none of hints, devices`},
		"technologies":  {good + "watch: devices, technologies: []}]}", "presence.asterisk[0].technologies: is empty"},
		"TLS":           {good + "ca_file: f}]}", "presence.asterisk[0].ca_file: and server_name are for TLS, which is off"},
		"ping":          {good + "ping: 2m}]}", "presence.asterisk[0].ping: 2m0s is not below expires, 1m0s"},
		"expires":       {good + "expires: 1s, ping: 1s}]}", "presence.asterisk[0].expires: 1s is below 5s"},
		"prefix":        {good + "prefix: '+49 30'}]}", `presence.asterisk[0].prefix: "+49 30" is no beginning of a number`},
		"domain":        {good + "domain: a@b}]}", `presence.asterisk[0].domain: "a@b" is no domain`},
		"name":          {good + "name: 'a b'}]}", `presence.asterisk[0].name: "a b" is no name`},
		"twice":         {good + "}, {address: pbx, user: a, password_file: f}]}", `presence.asterisk[1].name: "pbx" is there twice`},
		"user's signs":  {"presence: {asterisk: [{address: a, user: \"a\\r\\nb\", password_file: f}]}", "presence.asterisk[0].user: has signs"},
		"not a list":    {"presence: {asterisk: {address: a}}", "presence.asterisk: is no list"},
		"plain":         {"presence: {freeswitch: [{address: pbx.example.com, password_file: f}]}", "presence.freeswitch[0].address: pbx.example.com would get the password as it is"},
		"plain, what":   {"presence: {freeswitch: [{address: pbx, password_file: f, plain: all}]}", `presence.freeswitch[0].plain: "all" is none of loopback, any`},
		"no URL":        {"presence: {innovaphone: [{app: a}]}", "presence.innovaphone[0].url: is missing"},
		"bad URL":       {"presence: {innovaphone: [{url: 'http://pbx'}]}", "presence.innovaphone[0].url: is no address such as wss://"},
		"no lines":      {"presence: {innovaphone: [{url: 'wss://pbx', password_file: f}]}", "presence.innovaphone[0].lines: is empty"},
		"bad lines":     {"presence: {innovaphone: [{url: 'wss://pbx', password_file: f, lines: ['9-1']}]}", `presence.innovaphone[0].lines: "9-1" is no range`},
		"same URL":      {"presence: {innovaphone: [{url: 'wss://pbx', password_file: f, lines: ['1']}, {url: 'wss://pbx/x', password_file: f, lines: ['1']}]}", `presence.innovaphone[1].name: "pbx" is there twice`},
		"kind":          {good + "kind: http}]}", `presence.asterisk[0].kind: "http" is none of ami, ari`},
		"other's keys":  {good + "devices: ['Custom:1']}]}", "presence.asterisk[0].devices: is for kind: ari"},
		"REST, plain":   {good + "kind: ari}]}", "presence.asterisk[0].address: pbx would get the password as it is: set tls"},
		"REST, what":    {good + "kind: ari, plain: all}]}", `presence.asterisk[0].plain: "all" is none of loopback, any`},
		"REST, hints":   {good + "kind: ari, tls: true, watch: hints}]}", "presence.asterisk[0].watch: and contexts: the REST interface tells of no hints"},
		"REST, context": {good + "kind: ari, tls: true, contexts: [a]}]}", "presence.asterisk[0].watch: and contexts"},
		"REST, app":     {good + "kind: ari, tls: true, app: 'a,b'}]}", `presence.asterisk[0].app: "a,b" is no name of an app`},
		"REST, path":    {good + "kind: ari, tls: true, path: ari}]}", `presence.asterisk[0].path: "ari" is no path such as /ari`},
		"REST, devices": {good + "kind: ari, tls: true, devices: ['2001']}]}", `presence.asterisk[0].devices: "2001" is no device such as`},
		"REST, user":    {"presence: {asterisk: [{kind: ari, address: '::1', user: 'a:b', password_file: f}]}", "presence.asterisk[0].user: has a colon"},
		"REST, nothing": {good + "kind: ari, tls: true, technologies: []}]}", "presence.asterisk[0].technologies: is empty"},
		"lines at most": {good + "max_lines: 0}]}", "presence.asterisk[0].max_lines: 0 is below 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configs.Parse([]byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestNumbersRefused(t *testing.T) {
	for file, want := range map[string]string{
		"presence: {numbers: {country: '+49'}}":         "presence.numbers.country: \"+49\" is no code of a country",
		"presence: {numbers: {country: 'de'}}":          "presence.numbers.country: \"de\" is none",
		"presence: {numbers: {trunk: 'x'}}":             "presence.numbers.trunk: \"x\" is none",
		"presence: {numbers: {rules: ['(=1']}}":         "presence.numbers.rules: \"(=1\"",
		"presence: {numbers: {rules: ['1']}}":           "presence.numbers.rules: \"1\" is not written pattern=number",
		"presence: {numbers: {national_digits: 99}}":    "presence.numbers.national_digits: 99 is above 15",
		"ldap: {attributes: {lines: ['a b', ipPhone]}}": "ldap.attributes.lines: \"a b\" is no name of an attribute",
	} {
		if _, err := configs.Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
}
