package configs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

func TestSIP(t *testing.T) {
	cfg, err := configs.Parse([]byte(`
sip:
  trusted: [192.0.2.10, 198.51.100.0/24]
  transports: [tcp]
  subscribe:
    - {server: "sip:pbx.example.com;transport=tcp", lines: ["2001", "2100-2199"], user: desk, password_file: /run/pbx}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.SIP
	if !s.Enabled() || s.Speaks("udp") || len(s.Trusted) != 2 || s.Subscribe[0].Event != "dialog" || s.Subscribe[0].Expires != 5*time.Minute {
		t.Errorf("%+v", s)
	}
	if cfg, err = configs.Parse(nil); err != nil || cfg.SIP.Enabled() {
		t.Errorf("by itself: %+v %v", cfg.SIP, err)
	}
}

func TestSIPRefused(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"transport":      {"sip: {transports: [sctp]}", `sip.transports: "sctp" is none of udp, tcp, tls`},
		"no transport":   {"sip: {transports: []}", "sip.transports: is empty"},
		"twice":          {"sip: {transports: [udp, udp]}", `sip.transports: "udp" is there twice`},
		"address":        {"sip: {listen: '5060'}", `sip.listen: "5060" is no address`},
		"expires":        {"sip: {min_expires: 10m, max_expires: 5m}", "sip.max_expires: 5m0s is below sip.min_expires"},
		"users by UDP":   {"sip: {users_file: f, transports: [udp]}", "sip.users_file: needs tcp or tls"},
		"no server":      {"sip: {subscribe: [{lines: ['1']}]}", "sip.subscribe[0].server: is missing"},
		"no URI":         {"sip: {subscribe: [{server: 'pbx', lines: ['1']}]}", "sip.subscribe[0]: server"},
		"event":          {"sip: {subscribe: [{server: 'sip:pbx', event: mwi, lines: ['1']}]}", `event "mwi" is neither dialog nor presence`},
		"no lines":       {"sip: {subscribe: [{server: 'sip:pbx'}]}", "sip.subscribe[0].lines: is empty"},
		"lines to":       {"sip: {subscribe: [{server: 'sip:pbx', lists: [a], lines_to: rls}]}", `sip.subscribe[0]: lines_to: takes 1 to 10000 lines, not 0`},
		"a list":         {"sip: {subscribe: [{server: 'sip:pbx', lists: ['a b']}]}", `sip.subscribe[0]: lists "a b": no SIP`},
		"a list twice":   {"sip: {subscribe: [{server: 'sip:pbx', lists: [a, a]}]}", `lists "a": is there twice`},
		"a range":        {"sip: {subscribe: [{server: 'sip:pbx', lines: ['2-1']}]}", `lines "2-1": no range`},
		"over what":      {"sip: {transports: [udp], subscribe: [{server: 'sips:pbx', lines: ['1']}]}", "sip.subscribe[0].server: needs tls in sip.transports"},
		"no password":    {"sip: {subscribe: [{server: 'sip:pbx', lines: ['1'], user: a}]}", "sip.subscribe[0].password_file: and user go together"},
		"the same twice": {"sip: {subscribe: [{server: 'sip:pbx', lines: ['1']}, {server: 'sip:pbx', lines: ['2']}]}", "sip.subscribe[1].server: is that of sip.subscribe[0] already"},
		"too short":      {"sip: {subscribe: [{server: 'sip:pbx', lines: ['1'], expires: 1s}]}", "sip.subscribe[0].expires: 1s is below 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := configs.Parse([]byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
