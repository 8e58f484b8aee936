package app_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/ari/aritest"
)

// withREST has a node ask an Asterisk by its REST interface.
func withREST(t *testing.T, p *aritest.PBX, change func(*configs.Asterisk)) func(*configs.Config) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("very secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(p.URL(), "http://"), "/ari")
	cfg, err := configs.Parse([]byte("presence: {asterisk: [{kind: ari, name: main, address: '" + address + "', user: deskline, password_file: " + secret + "}]}"))
	if err != nil {
		t.Fatal(err)
	}
	one := cfg.Presence.Asterisk
	if change != nil {
		change(&one[0])
	}
	return func(c *configs.Config) { c.Presence.Asterisk = one }
}

// TestREST has a contact see calls at a peer that speaks as the REST interface of Asterisk does.
func TestREST(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", "very secret", "PJSIP/alice", "PJSIP/bob")
	s := start(t, withREST(t, p, func(a *configs.Asterisk) { a.Expires, a.Ping = 2*time.Second, 500*time.Millisecond }))
	_, bob := s.watching()
	p.Device("PJSIP/alice", "INUSE")
	bob.sees(onThePhone)
	p.Device("PJSIP/alice", "NOT_INUSE")
	bob.sees(free)
	p.Device("PJSIP/alice", "ONHOLD")
	bob.sees(onThePhone)
	if _, text := s.readyz(); !strings.Contains(text, "switches: ok, asterisk:main 2 lines") {
		t.Error(text)
	}
	p.Freeze()
	bob.sees(free)
	if _, text := s.readyz(); !strings.Contains(text, "what lines do is not known of asterisk:main") {
		t.Error(text)
	}
	p.Thaw()
	bob.sees(onThePhone)
	p.Restart()
	p.Device("PJSIP/alice", "NOT_INUSE")
	bob.sees(free)
	if strings.Contains(s.log.String(), "very secret") {
		t.Error("the log has the password")
	}
}

// TestRESTChecked tries it without a node, beside one that listens.
func TestRESTChecked(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", "very secret", "PJSIP/2001", "PJSIP/2002")
	for name, tt := range map[string]struct {
		change func(*configs.Asterisk)
		want   string
	}{
		"fine":     {nil, "asterisk:main, 2 lines"},
		"no lines": {func(a *configs.Asterisk) { a.Technologies = []string{"SIP"} }, "it tells of no lines: look at contexts, watch, technologies"},
		"wrong":    {func(a *configs.Asterisk) { a.User = "nobody" }, "look at the user and the password in ari.conf"},
		"no file":  {func(a *configs.Asterisk) { a.PasswordFile += "x" }, "presence.asterisk[0].password_file: open"},
		"path":     {func(a *configs.Asterisk) { a.Path = "/asterisk/ari" }, "there is no REST interface"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configs.Default()
			cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = t.TempDir(), "127.0.0.1:0", configs.Off
			withREST(t, p, tt.change)(&cfg)
			results := app.Check(t.Context(), cfg)
			at := slices.IndexFunc(results, func(r app.CheckResult) bool { return strings.HasPrefix(r.Name, "presence") })
			if at < 0 {
				t.Fatal("not checked")
			}
			text := results[at].Detail + results[at].Warning
			if results[at].Err != nil {
				text += results[at].Err.Error()
			}
			if !strings.Contains(text, tt.want) {
				t.Errorf("%s, want %s", text, tt.want)
			}
		})
	}
	if asked := p.Asked(); slices.ContainsFunc(asked, func(a string) bool { return strings.HasPrefix(a, "POST") }) {
		t.Errorf("a check changes something: %q", asked)
	}
}
