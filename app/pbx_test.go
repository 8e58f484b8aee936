//go:build asterisk

package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/asterisktest"
)

// withAsterisk has a node speak with an Asterisk, whose line 2001 is alice's.
func withAsterisk(t *testing.T, p *asterisktest.PBX, change func(*configs.Asterisk)) func(*configs.Config) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(asterisktest.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse([]byte("presence: {asterisk: [{name: main, address: '" + p.AMI() + "', user: " + asterisktest.User + ", password_file: " + secret + "}]}"))
	if err != nil {
		t.Fatal(err)
	}
	one := cfg.Presence.Asterisk[0]
	if change != nil {
		change(&one)
	}
	return func(c *configs.Config) {
		c.Presence.Lines = []string{"2001=alice", "2001@phones=alice"}
		c.Presence.Asterisk = []configs.Asterisk{one}
	}
}

// byREST has an Asterisk asked by its REST interface, which tells of no hints.
func byREST(p *asterisktest.PBX) func(*configs.Asterisk) {
	return func(a *configs.Asterisk) {
		a.Kind, a.Address = "ari", strings.TrimSuffix(strings.TrimPrefix(p.ARI(), "http://"), "/ari")
		a.Devices = []string{"Local/2001@phones"}
	}
}

// TestAsterisk has a contact see calls at a real Asterisk, which dies, comes back and hangs.
func TestAsterisk(t *testing.T) {
	t.Parallel()
	for kind, change := range map[string]func(*asterisktest.PBX) func(*configs.Asterisk){
		"ami": func(*asterisktest.PBX) func(*configs.Asterisk) { return func(*configs.Asterisk) {} },
		"ari": byREST,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := asterisktest.Start(t, asterisktest.Config{ARI: kind == "ari"})
			seenAt(t, p, withAsterisk(t, p, func(a *configs.Asterisk) {
				a.Expires, a.Ping = 2*time.Second, 500*time.Millisecond
				change(p)(a)
			}))
		})
	}
}

func seenAt(t *testing.T, p *asterisktest.PBX, with func(*configs.Config)) {
	t.Helper()
	s := start(t, with)
	_, bob := s.watching()
	p.Call("2001")
	bob.sees(onThePhone)
	p.Hangup()
	bob.sees(free)
	p.Call("2001")
	bob.sees(onThePhone)
	if status, text := s.readyz(); status != http.StatusOK || !strings.Contains(text, "switches: ok, asterisk:main ") {
		t.Errorf("%d %s", status, text)
	}

	p.Kill()
	bob.sees(free)
	if status, text := s.readyz(); status != http.StatusOK || !strings.Contains(text, "what lines do is not known of asterisk:main") {
		t.Errorf("%d %s", status, text)
	}
	p.Start()
	p.Call("2001")
	bob.sees(onThePhone)
	p.Freeze()
	bob.sees(free)
	p.Thaw()
	bob.sees(onThePhone)
	p.Hangup()
	bob.sees(free)
	if strings.Contains(s.log.String(), asterisktest.Secret) {
		t.Error("the log has the secret")
	}
}

// TestAsteriskChecked tries Asterisk without a node.
func TestAsteriskChecked(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{ARI: true})
	for name, tt := range map[string]struct {
		change func(*configs.Asterisk)
		want   string
	}{
		"fine":     {nil, " lines"},
		"no lines": {func(a *configs.Asterisk) { a.Contexts = []string{"elsewhere"} }, "it tells of no lines"},
		"wrong":    {func(a *configs.Asterisk) { a.User = "nobody" }, "Authentication failed"},
		"REST":     {byREST(p), "asterisk:main, 1 lines"},
		"no file":  {func(a *configs.Asterisk) { a.PasswordFile += "x" }, "presence.asterisk[0].password_file: open"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configs.Default()
			cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = t.TempDir(), "127.0.0.1:0", configs.Off
			withAsterisk(t, p, tt.change)(&cfg)
			for _, r := range app.Check(t.Context(), cfg) {
				text := r.Detail + r.Warning
				if r.Err != nil {
					text += r.Err.Error()
				}
				if strings.HasPrefix(r.Name, "presence") {
					if !strings.Contains(text, tt.want) {
						t.Errorf("%s: %s, want %s", r.Name, text, tt.want)
					}
					return
				}
			}
			t.Error("not checked")
		})
	}
}
