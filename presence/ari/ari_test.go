package ari_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/ari"
	"github.com/deskline/deskline/presence/ari/aritest"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

const password = "secret & more"

var discard = slog.New(slog.DiscardHandler)

func client(t *testing.T, cfg ari.Config) *ari.Client {
	t.Helper()
	if cfg.User == "" {
		cfg.User = "deskline"
	}
	if cfg.Password == "" {
		cfg.Password = password
	}
	if cfg.App == "" {
		cfg.App = "deskline"
	}
	if cfg.Technologies == nil {
		cfg.Technologies = []string{"PJSIP", "SIP"}
	}
	if cfg.Log == nil {
		cfg.Log = discard
	}
	c, err := ari.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func source(t *testing.T, cfg ari.Config) *pbx.Source {
	t.Helper()
	return pbx.New(pbx.Config{Name: "asterisk:test", Talk: client(t, cfg).Talk, Lines: pbxtest.Everyone{}, Expires: time.Second, Retry: 50 * time.Millisecond, Log: discard})
}

// TestPBX has a peer tell of calls, die, come back and hang.
func TestPBX(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001", "PJSIP/2002", "SIP/2003", "IAX2/2004")
	p.Device("PJSIP/2002", "RINGING") // before anybody hears
	p.Device("Custom:2005", "ONHOLD")
	p.Device("Custom:2006", "INUSE")
	p.Device("IAX2/2004", "INUSE")
	s := source(t, ari.Config{URL: p.URL(), Devices: []string{"Custom:2005", "Local/2007@phones"}, Ping: 400 * time.Millisecond})
	w, _ := pbxtest.Run(t, s)
	w.Await("2001", presence.LineIdle)
	w.Await("2002", presence.LineRinging)
	w.Await("2003", presence.LineIdle)
	w.Await("2005", presence.LineHeld)
	if n := s.Status().Lines; n != 4 { // and no other
		t.Errorf("%d lines: %s", n, w)
	}
	for state, want := range map[string]presence.Line{
		"INUSE": presence.LineInCall, "BUSY": presence.LineInCall, "RINGINUSE": presence.LineInCall, "ONHOLD": presence.LineHeld,
		"RINGING": presence.LineRinging, "NOT_INUSE": presence.LineIdle, "UNAVAILABLE": presence.LineUnknown,
	} {
		p.Device("PJSIP/2001", state)
		w.Await("2001", want)
	}
	p.Device("SIP/2002", "INUSE") // the same line at another technology
	w.Await("2002", presence.LineInCall)
	p.Device("SIP/2002", "NOT_INUSE")
	w.Await("2002", presence.LineRinging)
	p.Device("PJSIP/2001", "INUSE")
	w.Renewed(w.Await("2001", presence.LineInCall)) // for as long as it lives

	p.Restart()
	p.Device("PJSIP/2001", "NOT_INUSE") // while nobody hears
	w.Await("2001", presence.LineIdle)
	p.Device("PJSIP/2001", "INUSE")
	w.Await("2001", presence.LineInCall)
	p.Freeze()
	w.Await("2001", presence.LineUnknown)
	p.Lose("PJSIP/2001", "NOT_INUSE")
	p.Lose("PJSIP/2002", "INUSE")
	p.Thaw()
	w.Await("2002", presence.LineInCall)
	w.Await("2001", presence.LineIdle)
}

// TestLost holds that a change without an event is in the next full picture, and so is what is in no list.
func TestLost(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001")
	w, _ := pbxtest.Run(t, source(t, ari.Config{URL: p.URL(), Technologies: []string{"pjsip", "Custom", "Stasis"}, Resync: 100 * time.Millisecond}))
	w.Await("2001", presence.LineIdle)
	p.Device("Custom:2002", "INUSE")
	e := w.Await("2002", presence.LineInCall)
	p.Lose("PJSIP/2001", "INUSE")
	w.Await("2001", presence.LineInCall)
	w.Renewed(e)
	p.Lose("Custom:2002", "UNKNOWN")
	w.Await("2002", presence.LineUnknown)
	p.Lose("Stasis:2003", "RINGING")
	w.Await("2003", presence.LineRinging)
	p.Lose("PJSIP/2001", "INVALID") // it is gone
	w.Await("2001", presence.LineUnknown)
}

// TestReadOnly has a user who may not subscribe hear all events, also what telephones hold.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001")
	p.ReadOnly()
	w, _ := pbxtest.Run(t, source(t, ari.Config{URL: p.URL()}))
	for range 2 {
		w.Await("2001", presence.LineIdle)
		p.Device("PJSIP/2001", "INUSE")
		w.Await("2001", presence.LineInCall)
		p.Channel("ChannelHold", "1795300381.2", "PJSIP/2001")
		w.Await("2001", presence.LineHeld)
		p.Channel("ChannelCreated", "1795300381.3", "PJSIP/2001") // another call
		w.Await("2001", presence.LineInCall)
		p.Channel("ChannelDestroyed", "1795300381.3", "PJSIP/2001")
		w.Await("2001", presence.LineHeld)
		p.Channel("ChannelUnhold", "1795300381.2", "PJSIP/2001")
		w.Await("2001", presence.LineInCall)
		p.Restart()
		p.Lose("PJSIP/2001", "NOT_INUSE")
	}
}

// TestOrder has events told while the full picture is on its way, which say what is newer than it.
func TestOrder(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001", "PJSIP/2002")
	p.Device("PJSIP/2002", "INUSE")
	p.OnAnswer(func(asked string) {
		switch asked {
		case "GET /ari/endpoints": // which say that it is idle
			p.Device("PJSIP/2001", "INUSE")
		case "GET /ari/deviceStates/PJSIP%2F2002": // which says that it is in a call
			p.Device("PJSIP/2002", "NOT_INUSE")
		}
	})
	s := source(t, ari.Config{URL: p.URL()})
	w, _ := pbxtest.Run(t, s)
	if e := w.First("2001"); e.Line != presence.LineInCall {
		t.Errorf("2001 was %v first", e.Line)
	}
	if e := w.First("2002"); e.Line != presence.LineIdle {
		t.Errorf("2002 was %v first", e.Line)
	}
}

// TestReplaced holds that an app that another has taken is given up for a time, though the
// connection stands.
func TestReplaced(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001")
	s := source(t, ari.Config{URL: p.URL()})
	w, _ := pbxtest.Run(t, s)
	w.Await("2001", presence.LineIdle)
	other, _ := pbxtest.Run(t, source(t, ari.Config{URL: p.URL()}))
	other.Await("2001", presence.LineIdle)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(time.Minute); !strings.Contains(s.Status().Err, "signed in as the app deskline"); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("%+v", s.Status())
		}
	}
}

// TestQuiet has the full picture alone, and nothing asked for that another would notice.
func TestQuiet(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password, "PJSIP/2001", "PJSIP/2002")
	n, err := pbx.Try(t.Context(), client(t, ari.Config{URL: p.URL(), Quiet: true}).Talk, 10)
	if n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if asked := p.Asked(); slices.ContainsFunc(asked, func(a string) bool { return !strings.HasPrefix(a, "GET ") }) {
		t.Errorf("%q", asked)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	p := aritest.Start(t, "deskline", password)
	var log bytes.Buffer
	err := client(t, ari.Config{URL: p.URL(), Password: "wrong", Log: slog.New(slog.NewTextHandler(&log, nil))}).Talk(t.Context(), pbx.NewBoard(1))
	if !errors.Is(err, pbx.ErrRefused) || !strings.Contains(err.Error(), "ari.conf") || strings.Contains(err.Error()+log.String(), "wrong") {
		t.Errorf("got %v, log %s", err, &log)
	}
	good := ari.Config{URL: "http://pbx/ari", User: "a", Password: "b", App: "c"}
	for name, change := range map[string]func(*ari.Config){
		"no URL": func(c *ari.Config) { c.URL = "" }, "another scheme": func(c *ari.Config) { c.URL = "ws://pbx" }, "no host": func(c *ari.Config) { c.URL = "http:///ari" },
		"no user": func(c *ari.Config) { c.User = "" }, "a colon": func(c *ari.Config) { c.User = "a:b" }, "no password": func(c *ari.Config) { c.Password = "" },
		"no app": func(c *ari.Config) { c.App = "" }, "apps": func(c *ari.Config) { c.App = "a,b" },
	} {
		cfg := good
		change(&cfg)
		if _, err := ari.New(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := ari.New(good); err != nil {
		t.Error(err)
	}
}

// answers is a peer that answers with what a test wants: by path, or as a WebSocket with events.
type answers struct {
	rest   map[string]string // a body, or a number for a status, which is 404 otherwise
	events []string          // nil = there is no WebSocket
	redirect,
	mute bool // pings are not answered
}

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := a.rest[r.Method+" "+r.URL.Path]
	switch {
	case a.redirect:
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	case r.URL.Path == "/ari/events" && a.events != nil:
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for _, text := range a.events {
			kind := websocket.MessageText
			if strings.HasPrefix(text, "\x00") {
				kind = websocket.MessageBinary
			}
			_ = c.Write(r.Context(), kind, []byte(text))
		}
		if a.mute {
			<-r.Context().Done()
		}
		for err == nil { // answers pings
			_, _, err = c.Read(r.Context())
		}
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case body == "hang":
		<-r.Context().Done()
	default:
		_, _ = w.Write([]byte(body))
	}
}

// TestHostile holds that whatever a peer says ends in an error, and in no time.
func TestHostile(t *testing.T) {
	t.Parallel()
	rest := func(more ...string) map[string]string {
		all := map[string]string{"POST /ari/applications/deskline/subscription": "{}", "GET /ari/endpoints": "[]", "GET /ari/deviceStates": "[]"}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	none := []string{}
	const post, endpoints, states = "POST /ari/applications/deskline/subscription", "GET /ari/endpoints", "GET /ari/deviceStates"
	for name, tt := range map[string]struct {
		peer answers
		want string
	}{
		"nothing there":    {answers{}, "there is no REST interface"},
		"no socket":        {answers{rest: map[string]string{post: "{}", "GET /ari/events": "hello"}}, "connect to"},
		"elsewhere":        {answers{redirect: true}, "302 Found"},
		"silence":          {answers{rest: map[string]string{post: "hang"}}, "does not answer"},
		"silent socket":    {answers{rest: map[string]string{post: "{}", "GET /ari/events": "hang"}}, "does not answer"},
		"silent list":      {answers{rest: rest(endpoints, "hang"), events: none}, "does not answer"},
		"no pongs":         {answers{rest: rest(), events: none, mute: true}, "does not answer"},
		"no list":          {answers{rest: rest(endpoints, "<html>"), events: none}, "this is no list of Asterisk's"},
		"another list":     {answers{rest: rest(endpoints, "[1]"), events: none}, "this is no list of Asterisk's"},
		"half a list":      {answers{rest: rest(states, `[{"name":"PJSIP/1","state":"INUSE"}`), events: none}, "the list does not end"},
		"no states":        {answers{rest: map[string]string{post: "{}", endpoints: "[]"}, events: none}, "404 Not Found"},
		"a device's state": {answers{rest: rest(endpoints, `[{"technology":"PJSIP","resource":"1"}]`, "GET /ari/deviceStates/PJSIP/1", "[]"), events: none}, "deviceStates/PJSIP%2F1"},
		"no JSON":          {answers{rest: rest(endpoints, "hang"), events: []string{"hello"}}, `no REST interface of Asterisk: "hello"`},
		"no event":         {answers{rest: rest(endpoints, "hang"), events: []string{`{"a":1}`}}, "no REST interface of Asterisk"},
		"no text":          {answers{rest: rest(endpoints, "hang"), events: []string{"\x00"}}, "no text"},
		"too much":         {answers{rest: rest(endpoints, "hang"), events: []string{`{"type":"` + strings.Repeat("x", 2_000_000) + `"}`}}, "read from the switch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.peer)
			defer server.Close()
			defer server.CloseClientConnections()
			cfg := ari.Config{URL: server.URL + "/ari"}
			if strings.Contains(tt.want, "does not answer") {
				cfg.Ping, cfg.Timeout = time.Second, 2*time.Second
			}
			err := client(t, cfg).Talk(t.Context(), pbx.NewBoard(10))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), password) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
