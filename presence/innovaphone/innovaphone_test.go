package innovaphone_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/innovaphone"
	"github.com/deskline/deskline/presence/innovaphone/innovaphonetest"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

var discard = slog.New(slog.DiscardHandler)

func client(t *testing.T, cfg innovaphone.Config, lines ...string) *innovaphone.Client {
	t.Helper()
	var err error
	if cfg.Lines, err = innovaphone.Lines(lines); err != nil {
		t.Fatal(err)
	}
	cfg.App, cfg.Log = "deskline", discard
	if cfg.Password == "" {
		cfg.Password = "secret"
	}
	c, err := innovaphone.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPBX has a peer tell of calls, die, come back and hang.
func TestPBX(t *testing.T) {
	t.Parallel()
	p := innovaphonetest.Start(t, "deskline", "secret", "2001", "2002", "alice")
	c := client(t, innovaphone.Config{URL: p.URL(), Ping: 400 * time.Millisecond, Settle: 100 * time.Millisecond}, "2001-2100", "alice")
	s := pbx.New(pbx.Config{Name: "innovaphone:test", Talk: c.Talk, Lines: pbxtest.Everyone{}, Expires: time.Second, Retry: 50 * time.Millisecond, Log: discard})
	w, _ := pbxtest.Run(t, s)
	w.Await("2001", presence.LineIdle)
	w.Await("alice", presence.LineIdle)
	if n := s.Status().Lines; n != 3 {
		t.Errorf("%d lines", n)
	}
	p.Set("2001", innovaphonetest.Item{Contact: "tel:", Status: "open", Activity: "on-the-phone"}, innovaphonetest.Item{Contact: "im:", Status: "open", Activity: "away"})
	w.Renewed(w.Await("2001", presence.LineInCall))
	p.Set("2001", innovaphonetest.Item{Contact: "tel:", Status: "open"})
	w.Await("2001", presence.LineIdle)
	p.Set("2003", innovaphonetest.Item{Contact: "TEL:2003", Status: "open", Activity: "busy"}) // made since
	w.Await("2003", presence.LineInCall)
	p.Set("2003")
	w.Await("2003", presence.LineUnknown)
	p.Set("alice", innovaphonetest.Item{Contact: "tel:", Activity: "on-the-phone"})
	w.Await("alice", presence.LineInCall)

	p.Freeze()
	w.Await("alice", presence.LineUnknown)
	p.Thaw()
	w.Await("alice", presence.LineInCall)
	p.Drop()
	p.Set("alice", innovaphonetest.Item{Contact: "tel:", Status: "open"})
	w.Await("alice", presence.LineIdle)
}

// TestHostile holds that whatever a peer says ends in an error, and in no time.
func TestHostile(t *testing.T) {
	t.Parallel()
	p := innovaphonetest.Start(t, "deskline", "secret", "2001")
	const hello, yes = `{"mt":"AppChallengeResult","challenge":"x"}`, `{"mt":"AppLoginResult","ok":true}`
	for name, tt := range map[string]struct {
		says []string
		want string
	}{
		"no socket":        {nil, "connect to"},
		"silence":          {[]string{}, "does not answer"},
		"no JSON":          {[]string{"hello"}, `no PBX of innovaphone: "hello"`},
		"another":          {[]string{`{"a":1}`}, "no PBX of innovaphone"},
		"no challenge":     {[]string{`{"mt":"AppChallengeResult"}`}, "no challenge"},
		"no":               {[]string{hello, `{"mt":"AppLoginResult","ok":false}`}, "look at the name and the password"},
		"no subscriptions": {[]string{hello, yes}, "SubscribePresence: the switch does not answer"},
		"other's":          {[]string{hello, yes, `{"mt":"SubscribePresenceResult","src":"99"}`, `{"mt":"PresenceUpdate","src":"-1"}`, `{"mt":"PresenceUpdate","src":"x"}`}, "SubscribePresence: the switch does not answer"},
		"too much":         {[]string{`{"mt":"` + strings.Repeat("x", 300_000) + `"}`}, "read from the switch"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tt.says == nil {
					return
				}
				c, err := websocket.Accept(w, r, nil)
				if err != nil {
					return
				}
				defer c.CloseNow()
				for _, text := range tt.says {
					_ = c.Write(r.Context(), websocket.MessageText, []byte(text))
				}
				for err == nil { // answers pings
					_, _, err = c.Read(r.Context())
				}
			}))
			defer server.Close()
			c := client(t, innovaphone.Config{URL: strings.Replace(server.URL, "http", "ws", 1), Ping: 300 * time.Millisecond, Timeout: 300 * time.Millisecond}, "2001")
			if err := c.Talk(t.Context(), pbx.NewBoard(10)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	err := client(t, innovaphone.Config{URL: p.URL(), Password: "wrong"}, "2001").Talk(t.Context(), pbx.NewBoard(1))
	if !errors.Is(err, pbx.ErrRefused) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := innovaphone.New(innovaphone.Config{App: "a"}); err == nil {
		t.Error("no password is taken")
	}
}

func TestLines(t *testing.T) {
	got, err := innovaphone.Lines([]string{"2001", "098-101", "2001-2002", "alice", "+4930", "a-b"})
	if err != nil || strings.Join(got, " ") != "2001 098 099 100 101 2002 alice +4930 a-b" {
		t.Errorf("%q %v", got, err)
	}
	for _, text := range []string{"", "a b", "alice@pbx", "200-100", "1-200", "1000000-9999999", strings.Repeat("x", 129)} {
		if _, err := innovaphone.Lines([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
