package esl_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/esl"
	"github.com/deskline/deskline/presence/esl/esltest"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

const password = "ClueCon & more"

var discard = slog.New(slog.DiscardHandler)

func client(t *testing.T, cfg esl.Config) *esl.Client {
	t.Helper()
	if cfg.Password == "" {
		cfg.Password = password
	}
	if cfg.Log == nil {
		cfg.Log = discard
	}
	c, err := esl.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func source(t *testing.T, cfg esl.Config) *pbx.Source {
	t.Helper()
	return pbx.New(pbx.Config{Name: "freeswitch:test", Talk: client(t, cfg).Talk, Lines: pbxtest.Everyone{}, Expires: time.Second, Retry: 50 * time.Millisecond, Log: discard})
}

// TestFreeSWITCH has a peer tell of calls, die, come back and hang.
func TestFreeSWITCH(t *testing.T) {
	t.Parallel()
	s := esltest.Start(t, password)
	s.Call("u1", "1001@pbx", "inbound", "ACTIVE") // before anybody hears
	w, _ := pbxtest.Run(t, source(t, esl.Config{Address: s.Addr(), Ping: 400 * time.Millisecond, Resync: 200 * time.Millisecond, Timeout: time.Second}))
	w.Await("1001@pbx", presence.LineInCall)

	s.Call("u2", "1002@pbx", "outbound", "RINGING")
	w.Await("1002@pbx", presence.LineRinging)
	s.Call("u2", "1002@pbx", "outbound", "ACTIVE")
	w.Await("1002@pbx", presence.LineInCall)
	s.Call("u2", "1002@pbx", "outbound", "HELD")
	w.Await("1002@pbx", presence.LineHeld)
	s.Call("u3", "1002@pbx", "inbound", "DOWN") // a second call, while the first one is held
	w.Await("1002@pbx", presence.LineInCall)
	s.Hangup("u3")
	w.Await("1002@pbx", presence.LineHeld)
	s.Hangup("u2")
	w.Await("1002@pbx", presence.LineIdle)
	w.Renewed(w.Await("1001@pbx", presence.LineInCall)) // for as long as it lives

	s.Kill()
	w.Await("1001@pbx", presence.LineUnknown)
	s.Restart()
	s.Call("u4", "1001@pbx", "inbound", "RINGING") // it calls: off the hook
	w.Await("1001@pbx", presence.LineInCall)
	s.Freeze()
	w.Await("1001@pbx", presence.LineUnknown)
	s.Thaw()
	w.Await("1001@pbx", presence.LineInCall)
	s.Hangup("u4")
	w.Await("1001@pbx", presence.LineIdle)
}

// TestLost has a channel end without an event: the next list has it no more.
func TestLost(t *testing.T) {
	t.Parallel()
	s := esltest.Start(t, password)
	w, _ := pbxtest.Run(t, source(t, esl.Config{Address: s.Addr(), User: "desk@example.com", Resync: 100 * time.Millisecond}))
	s.Call("u1", "1001@pbx", "inbound", "ACTIVE")
	w.Await("1001@pbx", presence.LineInCall)
	s.Lose("u1")
	w.Await("1001@pbx", presence.LineIdle) // after the time for which a list may lag
	if asked := s.Asked(); !slices.Contains(asked, "userauth") {
		t.Errorf("asked: %q", asked)
	}
}

func TestRefused(t *testing.T) {
	s := esltest.Start(t, password)
	var log bytes.Buffer
	err := client(t, esl.Config{Address: s.Addr(), Password: "wrong", Log: slog.New(slog.NewTextHandler(&log, nil))}).Talk(t.Context(), pbx.NewBoard(1))
	if !errors.Is(err, pbx.ErrRefused) || !strings.Contains(err.Error(), "-ERR invalid") || strings.Contains(err.Error()+log.String(), "wrong") {
		t.Errorf("got %v, log %s", err, &log)
	}
	for _, cfg := range []esl.Config{{}, {Password: "a\nb"}, {Password: "a", User: "b:c"}, {Password: "a", User: "b\n"}} {
		if _, err := esl.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// TestHostile holds that whatever a peer says ends in an error, and in no time.
func TestHostile(t *testing.T) {
	t.Parallel()
	const hello, yes = "Content-Type: auth/request\n\n", "Content-Type: command/reply\nReply-Text: +OK\n\nContent-Type: command/reply\nReply-Text: +OK\n\n"
	for name, tt := range map[string]struct{ says, want string }{
		"another protocol": {"220 mail.example.com ESMTP\r\n\r\n", "no event socket"},
		"not asked":        {"Content-Type: text/other\n\n", "no event socket"},
		"silence":          {"", "does not answer"},
		"no answer":        {hello, "auth: the switch does not answer"},
		"an address list":  {"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n", "Access Denied, go away.: look at apply-inbound-acl"},
		"good-bye":         {hello + "Content-Type: text/disconnect-notice\nContent-Length: 8\n\nGood-bye", "ends the connection: Good-bye"},
		"too much":         {hello + "Content-Type: api/response\nContent-Length: 99999999999\n\n", "sends 99999999999 bytes"},
		"less than naught": {hello + "Content-Type: api/response\nContent-Length: -1\n\n", "sends -1 bytes"},
		"no list":          {hello + yes + "Content-Type: api/response\nContent-Length: 9\n\n-ERR no!\n", "show channels: -ERR no!"},
		"a broken list":    {hello + yes + "Content-Type: api/response\nContent-Length: 9\n\n{\"rows\":1", "list of channels"},
		"half a list":      {hello + yes + "Content-Type: api/response\nContent-Length: 12\n\n{\"rows\":[{}]", "list of channels"},
		"no end":           {hello + strings.Repeat("a: b\n", 5000), "more than 1000 headers"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				_, _ = c.Write([]byte(tt.says))
				_, _ = io.Copy(io.Discard, c)
			}()
			err = client(t, esl.Config{Address: l.Addr().String(), Ping: 300 * time.Millisecond, Timeout: 300 * time.Millisecond}).Talk(t.Context(), pbx.NewBoard(10))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			_ = l.Close()
			<-done
		})
	}
}
